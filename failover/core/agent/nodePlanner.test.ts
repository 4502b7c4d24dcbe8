import fc from 'fast-check';
import { expect, test } from 'vitest';
import { egressIpName, formatAddress, makeAddress } from '../../../policy/address.ts';
import { makeCidr } from '../../../policy/cidr.ts';
import type { LabelRequirement, NodeFacts, Policy, WorkloadSelector } from '../../../policy/model.ts';
import type { EgressIp } from '../egressIp.ts';
import type { AddressStatement, GatewayNode } from '../gatewayNode.ts';
import { soleUplink } from '../uplinks.ts';
import type { AgentView, LocalPod } from './agentView.ts';
import { NodePlanner } from './nodePlanner.ts';
import { type KnownAnswers, planNode } from './planNode.ts';
import { selectPods } from './selectPods.ts';

const NODES = ['self', 'gw-1', 'gw-2'];
const egress = (of: number) =>
  makeAddress(
    of % 4 === 3 ? 6 : 4,
    of % 4 === 3 ? (0x20010db8n << 96n) + BigInt(of) : 0xcb007100n + BigInt(of),
  );
const nodeAddress = (of: number) => makeAddress(4, 0x0a000001n + BigInt(of));

const label = fc.record({ key: fc.constantFrom('app', 'tier'), value: fc.constantFrom('a', 'b', 'c') });
const labels = fc
  .array(label, { maxLength: 2 })
  .map((it) => Object.fromEntries(it.map(({ key, value }) => [key, value])));
const requirement: fc.Arbitrary<LabelRequirement> = fc.record({
  key: fc.constantFrom('app', 'tier'),
  operator: fc.constantFrom('In', 'In', 'NotIn', 'Exists', 'DoesNotExist'),
  values: fc.uniqueArray(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 2 }),
});
const labelSelector = fc.array(requirement, { maxLength: 2 }).map((requirements) => ({ requirements }));
const selector: fc.Arbitrary<WorkloadSelector> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ pods: labelSelector }) },
  { weight: 2, arbitrary: fc.record({ pods: labelSelector, namespaces: labelSelector }) },
  { weight: 1, arbitrary: fc.record({ pods: labelSelector, nodes: labelSelector }) },
);
const who = fc.constantFrom(...NODES);
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('pod' as const),
      of: fc.nat(3),
      namespace: fc.nat(1),
      labels,
      isPlaced: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('no-pod' as const), of: fc.nat(3) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('policy' as const),
      of: fc.nat(1),
      selectors: fc.array(selector, { minLength: 1, maxLength: 2 }),
      prefix: fc.constantFrom(0, 1, 8),
      connection: fc.boolean(),
      open: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('no-policy' as const), of: fc.nat(1) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('egress-ip' as const),
      of: fc.nat(3),
      policies: fc.uniqueArray(fc.nat(1)),
      epoch: fc.nat(3),
      order: fc.oneof(fc.constant<string[]>([]), fc.uniqueArray(who)),
      version: fc.nat(3),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('no-egress-ip' as const), of: fc.nat(3) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('gateway' as const),
      node: who,
      statements: fc.uniqueArray(
        fc.record({ of: fc.nat(3), answering: fc.boolean(), epoch: fc.nat(3), version: fc.nat(2) }),
        { selector: ({ of }) => of, maxLength: 4 },
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('no-gateway' as const), node: who }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('namespace' as const), of: fc.nat(1), labels }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('node' as const), labels }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('given-back' as const), of: fc.nat(3), upTo: fc.nat(2) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('holding' as const),
      of: fc.nat(3),
      epoch: fc.nat(3),
      on: fc.boolean(),
    }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

interface World {
  readonly view: AgentView;
  readonly known: KnownAnswers;
}

function start(): World {
  const none = new Map<string, never>();
  const self = { node: 'self', address: nodeAddress(0), mac: '02:53:0a:00:00:01' };
  const view = {
    node: 'self',
    self,
    nodes: none,
    namespaces: none,
    pods: none,
    policies: none,
  };
  return {
    view: { ...view, egressIps: none, gatewayNodes: none, serviceCidrs: [] },
    known: {
      holdings: [],
      heard: none,
      holders: none,
      recalled: new Map([[formatAddress(egress(0)), '02:53:0a:00:00:02']]),
      givenBack: none,
      uplinks: soleUplink('eth0'),
    },
  };
}

function take({ view, known }: World, action: Step): World {
  const put = <V>(map: ReadonlyMap<string, V>, key: string, value: V) =>
    new Map([...map, [key, value] as const]);
  const drop = <V>(map: ReadonlyMap<string, V>, key: string) =>
    new Map([...map].filter(([it]) => it !== key));
  switch (action.kind) {
    case 'pod': {
      const name = `pod-${action.of}`;
      const both = [
        makeAddress(4, 0x0af40000n + BigInt(action.of)),
        makeAddress(6, (0xfd00n << 112n) + BigInt(action.of)),
      ];
      const addresses = action.isPlaced ? both : [];
      const pod: LocalPod = { namespace: `ns-${action.namespace}`, name, labels: action.labels, addresses };
      return { known, view: { ...view, pods: put(view.pods, name, pod) } };
    }
    case 'no-pod':
      return { known, view: { ...view, pods: drop(view.pods, `pod-${action.of}`) } };
    case 'policy':
      return { known, view: { ...view, policies: put(view.policies, `uid-${action.of}`, policy(action)) } };
    case 'no-policy':
      return { known, view: { ...view, policies: drop(view.policies, `uid-${action.of}`) } };
    case 'egress-ip': {
      const next = egressIp(action);
      return { known, view: { ...view, egressIps: put(view.egressIps, next.name, next) } };
    }
    case 'no-egress-ip':
      return { known, view: { ...view, egressIps: drop(view.egressIps, egressIpName(egress(action.of))) } };
    case 'gateway':
      return { known, view: { ...view, gatewayNodes: put(view.gatewayNodes, action.node, gateway(action)) } };
    case 'no-gateway':
      return { known, view: { ...view, gatewayNodes: drop(view.gatewayNodes, action.node) } };
    case 'namespace':
      return { known, view: { ...view, namespaces: put(view.namespaces, `ns-${action.of}`, action.labels) } };
    case 'node':
      return { known, view: { ...view, nodes: put(view.nodes, 'self', facts(action.labels)) } };
    case 'holding': {
      const address = formatAddress(egress(action.of));
      const rest = known.holdings.filter((it) => it.address !== address);
      const holding = { address, right: { epoch: action.epoch, index: 0 }, blocksVersion: 1 };
      const heard = new Map([
        [address, [{ node: 'gw-1', session: 1, right: { epoch: action.epoch, index: 1 }, blocksVersion: 1 }]],
      ]);
      return { view, known: { ...known, holdings: action.on ? [...rest, holding] : rest, heard } };
    }
    case 'given-back':
      return {
        view,
        known: { ...known, givenBack: put(known.givenBack, egressIpName(egress(action.of)), action.upTo) },
      };
    default:
      return action satisfies never;
  }
}

function facts(own: NodeFacts['labels']): NodeFacts {
  return {
    name: 'self',
    labels: own,
    addresses: [nodeAddress(0)],
    podCidrs: [makeCidr(4, 0x0af40000n, 24)],
    unschedulable: false,
    drained: false,
    taints: [],
    ready: true,
  };
}

function policy(action: Extract<Step, { readonly kind: 'policy' }>): Policy {
  const uid = `uid-${action.of}`;
  const pools = [action.of, 3].map(egress).map(({ family, value }) => ({
    range: { family, first: value - 2n, last: value + 2n },
    shared: true,
    text: '',
    path: '',
  }));
  return {
    ref: { kind: 'EgressPolicy', name: uid, uid, createdAtMs: action.of },
    generation: 1,
    deleting: false,
    selectors: action.selectors,
    destinations: [makeCidr(4, 0n, action.prefix), makeCidr(6, 0n, 0)],
    excluded: [],
    pools,
    strategy: 'Distribute',
    affinity: action.connection ? 'Connection' : 'Pod',
    failureMode: action.open ? 'Open' : 'Closed',
    returnPolicy: 'Stay',
    returnAfterMs: 0,
  };
}

function egressIp({
  of,
  policies,
  epoch,
  order,
  version,
}: Extract<Step, { readonly kind: 'egress-ip' }>): EgressIp {
  const address = egress(of);
  return {
    name: egressIpName(address),
    uid: `${of}`,
    resourceVersion: '1',
    address,
    policies: policies.map((it) => ({ kind: 'EgressPolicy', name: `uid-${it}`, uid: `uid-${it}` })),
    epoch,
    order: order.map((name) => ({ gateway: name, session: 1 })),
    fence: [],
    blocksVersion: version,
    blocks: NODES.map((node, at) => ({ node, first: 1024 + at * 64, last: 1087 + at * 64, version: at + 1 })),
    resting: [],
  };
}

function gateway({ node, statements }: Extract<Step, { readonly kind: 'gateway' }>): GatewayNode {
  const address = nodeAddress(NODES.indexOf(node));
  const addresses = statements.map(
    ({ of, answering, epoch, version }): AddressStatement => ({
      address: egress(of),
      state: answering ? 'Answering' : 'Standby',
      epoch,
      index: 0,
      session: 1,
      blocksVersion: version,
    }),
  );
  const mac = `02:53:0a:00:00:0${NODES.indexOf(node) + 1}`;
  return {
    name: node,
    uid: node,
    resourceVersion: '1',
    session: 1,
    underlay: { address, interfaceName: 'eth0', tunnelMac: mac },
    interfaces: [],
    onLink: [],
    nextHops: [],
    capacity: 8,
    dataPlaneReady: true,
    dataPlaneMessage: '',
    healthy: true,
    healthMessage: '',
    addresses,
    dead: [],
    voterConfig: { version: 0, sets: [] },
    demand: [],
    selected: [],
    versions: { agent: '', kernel: '', nftables: '' },
  };
}

test('a planner that follows changes plans what one that begins anew does, over random histories', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 60 }), (steps) => {
      const planner = new NodePlanner();
      let world = start();
      for (const action of steps) {
        world = take(world, action);
        const { view, known } = world;
        const selection = selectPods(view);
        const expected = planNode(view, selection, known);
        const planned = planner.plan(view, known);
        expect(planned).toEqual(expected);
        expect(planner.select(view)).toEqual(selection);
        expect([...planner.select(view).selected]).toEqual([...selection.selected]);
        world = { view, known: { ...known, holders: planned.holders } };
      }
    }),
    { numRuns: 400 },
  );
});

test('what a change does not touch stays the same object', () => {
  const actions: readonly Step[] = [
    {
      kind: 'policy',
      of: 0,
      selectors: [{ pods: { requirements: [] } }],
      prefix: 0,
      connection: false,
      open: false,
    },
    { kind: 'egress-ip', of: 0, policies: [0], epoch: 1, order: ['gw-1'], version: 1 },
    { kind: 'egress-ip', of: 1, policies: [0], epoch: 1, order: ['gw-1'], version: 1 },
    { kind: 'pod', of: 0, namespace: 0, labels: {}, isPlaced: true },
  ];
  const planner = new NodePlanner();
  const world = actions.reduce(take, start());
  const before = planner.plan(world.view, world.known).dataPlane;
  const moved = take(world, {
    kind: 'gateway',
    node: 'gw-2',
    statements: [{ of: 1, answering: true, epoch: 2, version: 1 }],
  });
  const after = planner.plan(moved.view, moved.known).dataPlane;
  expect(after.addresses.map((it, at) => it === before.addresses[at])).toEqual([true, false]);
  expect(after.pods).toBe(before.pods);
  expect(after.direct).toBe(before.direct);
});
