/** A node's view of a large cluster, the same in every run: what its agent plans and programs from. */
import type { AgentView, LocalPod } from '../../failover/core/agent/agentView.ts';
import { tunnelMac } from '../../failover/core/dataplane/tunnelMac.ts';
import type { EgressIp, PortBlock } from '../../failover/core/egressIp.ts';
import type { AddressStatement, GatewayNode } from '../../failover/core/gatewayNode.ts';
import { egressIpName, makeAddress } from '../../policy/address.ts';
import { makeCidr } from '../../policy/cidr.ts';
import type { Address, NodeFacts, Policy } from '../../policy/model.ts';
import { parsePolicy } from '../../policy/parsePolicy.ts';

export const NODES = 1000;
export const PODS = 50_000;
export const POLICIES = 12_000;
export const EGRESS_IPS = 1400;
export const GATEWAYS = 16;
/** What a node is given at first of an address. */
const PORTS_PER_NODE = 512;
const FIRST_PORT = 1024;
const KIND = 'EgressPolicy';

const egressAddress = (index: number): Address => makeAddress(4, 0xcb00_0000n + BigInt(index + 1));
const nodeAddress = (index: number): Address => makeAddress(4, 0x0a32_0002n + BigInt(index));
const nodeName = (index: number): string => `node-${index}`;
export const gatewayName = (index: number): string => nodeName(1 + (index % GATEWAYS));
const podNetwork = (index: number): bigint => 0x0a80_0000n + BigInt(index * 256);
/** In no order: the pods of one node are those of many policies, and the other way round. */
const policyOfPod = (pod: number): number => (Math.imul(pod, 0x9e37_79b1) >>> 0) % POLICIES;
/** Pod `p` of the cluster is the node's `p % NODES`. */
const podOf = (pod: number): LocalPod => ({
  namespace: `team-${pod % 100}`,
  name: `pod-${pod}`,
  labels: { app: `app-${policyOfPod(pod)}` },
  addresses: [makeAddress(4, podNetwork(pod % NODES) + BigInt(2 + Math.floor(pod / NODES)))],
});

/** The first node's, which holds nothing itself; its address is 10.50.0.2. */
export function bigClusterView(uplink: string): AgentView {
  const indices = Array.from({ length: NODES }, (_, index) => index);
  const address = nodeAddress(0);
  return {
    node: nodeName(0),
    self: { node: nodeName(0), address, mac: tunnelMac(address) },
    nodes: new Map(indices.map((index) => [nodeName(index), nodeFacts(index)])),
    namespaces: new Map(Array.from({ length: 100 }, (_, index) => [`team-${index}`, { team: `${index}` }])),
    pods: new Map(
      Array.from({ length: PODS / NODES }, (_, index) => [`pod-${index * NODES}`, podOf(index * NODES)]),
    ),
    policies: new Map(
      Array.from({ length: POLICIES }, (_, index) => [`policy-${index}`, policyOf(index)] as const),
    ),
    egressIps: egressIps(),
    gatewayNodes: new Map(indices.map((index) => [nodeName(index), gatewayNode(index, uplink)])),
    serviceCidrs: [makeCidr(4, 0x0a60_0000n, 16)],
  };
}

/** One more pod of the node that the view is of; its policy's address has ports here already. */
export function waitingPod(): readonly [name: string, pod: LocalPod] {
  const { addresses: _, ...pod } = podOf(0);
  return ['waiting', { ...pod, name: 'waiting', addresses: [makeAddress(4, podNetwork(0) + 200n)] }];
}

function nodeFacts(index: number): NodeFacts {
  return {
    name: nodeName(index),
    labels: {},
    addresses: [nodeAddress(index)],
    podCidrs: [makeCidr(4, podNetwork(index), 24)],
    unschedulable: false,
    drained: false,
    taints: [],
    ready: true,
  };
}

function policyOf(index: number): Policy {
  const cidr = `${addressText(index % EGRESS_IPS)}/32`;
  const manifest = {
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: KIND,
    metadata: { name: `policy-${index}`, uid: `policy-${index}`, creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: {
      selectors: [{ matchLabels: { app: `app-${index}` } }],
      destinationCIDRs: ['0.0.0.0/0'],
      egressGateway: { ippools: [{ cidr, shared: true }] },
    },
  };
  const parsed = parsePolicy(manifest, KIND);
  if (parsed.kind === 'refused') throw new Error(JSON.stringify(parsed.error));
  return parsed.value;
}

function addressText(index: number): string {
  return egressIpName(egressAddress(index));
}

/** Who has pods on an address has ports of it. */
function egressIps(): ReadonlyMap<string, EgressIp> {
  const users = Array.from({ length: EGRESS_IPS }, () => new Set<number>());
  for (let pod = 0; pod < PODS; pod += 1) users[policyOfPod(pod) % EGRESS_IPS]?.add(pod % NODES);
  return new Map(
    users.map((nodes, index) => {
      const blocks: readonly PortBlock[] = [...nodes].map((node, at) => {
        const first = FIRST_PORT + at * PORTS_PER_NODE;
        return { node: nodeName(node), first, last: first + PORTS_PER_NODE - 1, version: 1 };
      });
      const name = addressText(index);
      const owners = Array.from({ length: Math.ceil((POLICIES - index) / EGRESS_IPS) }, (_, at) => {
        const policy = `policy-${index + at * EGRESS_IPS}`;
        return { kind: KIND, name: policy, uid: policy } as const;
      });
      const egressIp: EgressIp = {
        name,
        uid: name,
        resourceVersion: '1',
        address: egressAddress(index),
        policies: owners,
        epoch: 1,
        order: [gatewayName(index), gatewayName(index + 1)].map((gateway) => ({ gateway, session: 1 })),
        fence: [],
        blocksVersion: 1,
        blocks,
        resting: [],
      };
      return [name, egressIp];
    }),
  );
}

function gatewayNode(index: number, uplink: string): GatewayNode {
  const address = nodeAddress(index);
  return {
    name: nodeName(index),
    uid: nodeName(index),
    resourceVersion: '1',
    session: 1,
    underlay: { address, interfaceName: uplink, tunnelMac: tunnelMac(address) },
    interfaces: [],
    onLink: [],
    nextHops: [],
    capacity: EGRESS_IPS,
    dataPlaneReady: true,
    dataPlaneMessage: '',
    healthy: true,
    healthMessage: '',
    addresses: index >= 1 && index <= GATEWAYS ? statements(index) : [],
    dead: [],
    voterConfig: { version: 0, sets: [] },
    demand: [],
    selected: [],
    versions: { agent: '', kernel: '', nftables: '' },
  };
}

/** Each gateway forwards for all addresses and answers for its own. */
function statements(index: number): readonly AddressStatement[] {
  return Array.from({ length: EGRESS_IPS }, (_, at) => ({
    address: egressAddress(at),
    state: gatewayName(at) === nodeName(index) ? 'Answering' : 'Standby',
    epoch: 1,
    index: 0,
    session: 1,
    blocksVersion: 1,
  }));
}

/** The watch event of a move: the `at`th address is answered for by the next gateway, by a higher right. */
export function moved(view: AgentView, at: number): AgentView {
  const name = gatewayName(at + 1);
  const gateway = view.gatewayNodes.get(name);
  if (gateway === undefined) return view;
  const { value } = egressAddress(at);
  const addresses = gateway.addresses.map(
    (it): AddressStatement =>
      it.address.value === value ? { ...it, state: 'Answering', epoch: 1, index: 1 } : it,
  );
  return { ...view, gatewayNodes: new Map(view.gatewayNodes).set(name, { ...gateway, addresses }) };
}
