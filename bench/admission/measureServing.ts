/** The webhook's process in a cluster of the largest size: its memory, and how soon it answers over HTTPS. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { formatAddress } from '../../policy/address.ts';
import type { PodFacts } from '../../policy/facts.ts';
import {
  CILIUM_EGRESS_GATEWAY_POLICY,
  collectionPath,
  EGRESS_POLICY,
  GATEWAY_NODE,
} from '../../policy/names.ts';
import {
  createStoredObjects,
  createWorkloads,
  GATEWAYS,
  LOAD_BALANCERS,
  loadBalancerAddress,
  NODES,
  PODS,
  ROUTABLE,
  SERVICE_NETWORKS,
} from '../population.ts';
import { type Collection, startListServer } from './listServer.ts';
import type { HttpsFigures } from './measureHttps.ts';
import { measureHttpsApart } from './measureHttpsApart.ts';
import { startWebhookProcess } from './webhookProcess.ts';

export interface ServingFigures extends HttpsFigures {
  readonly rssMb: number;
  readonly peakRssMb: number;
  readonly readyMs: number;
}

export async function measureServing(
  prefixes: number,
  candidates: readonly { readonly body: unknown; readonly conflicting: boolean }[],
): Promise<ServingFigures> {
  const lists = await startListServer(createCollections(prefixes));
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-bench-'));
  const kubeconfigPath = path.join(folder, 'kubeconfig');
  writeFileSync(kubeconfigPath, renderKubeconfig(lists.url));
  try {
    const beganMs = performance.now();
    const webhook = await startWebhookProcess({ kubeconfigPath, routable: ROUTABLE });
    try {
      await webhook.ready();
      const readyMs = performance.now() - beganMs;
      const https = await measureHttpsApart(
        webhook.port,
        candidates.map(({ body, conflicting }) => ({ body: JSON.stringify(body), allowed: !conflicting })),
      );
      const { now, peak } = webhook.memoryMb();
      return { ...https, rssMb: now, peakRssMb: peak, readyMs };
    } finally {
      await webhook.stop();
    }
  } finally {
    await lists.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function createCollections(prefixes: number): Readonly<Record<string, Collection>> {
  const stored = createStoredObjects(prefixes);
  const { pods, namespaces } = createWorkloads();
  const of = (objects: readonly unknown[]): Collection => ({
    count: objects.length,
    at: (at) => objects[at],
  });
  const byName = new Map(stored.map((object) => [object.metadata.name, object]));
  const ofKind = (kind: string): Collection => ({
    ...of(stored.filter((object) => object.kind === kind)),
    named: (name) => (byName.get(name)?.kind === kind ? byName.get(name) : undefined),
  });
  return {
    '/api/v1/nodes': { count: NODES, at: createNode },
    [collectionPath(GATEWAY_NODE)]: { count: GATEWAYS, at: createGatewayNode },
    [collectionPath(CILIUM_EGRESS_GATEWAY_POLICY)]: ofKind('CiliumEgressGatewayPolicy'),
    [collectionPath(EGRESS_POLICY)]: ofKind('EgressPolicy'),
    '/api/v1/pods': { count: PODS, at: (at) => createPod(at, pods[at]) },
    '/api/v1/namespaces': of(namespaces.map((metadata) => ({ metadata }))),
    '/api/v1/services': { count: LOAD_BALANCERS, at: createService },
    '/apis/networking.k8s.io/v1/servicecidrs': of([
      { metadata: { name: 'kubernetes' }, spec: { cidrs: SERVICE_NETWORKS } },
    ]),
  };
}

const address = (network: number, at: number): string => `172.${network}.${at >> 8}.${at & 255}`;

function createNode(at: number): object {
  return {
    metadata: {
      name: `node-${at}`,
      uid: `uid-node-${at}`,
      labels: {
        'kubernetes.io/hostname': `node-${at}`,
        ...(at < GATEWAYS ? { 'sallyport.dev/gateway': '' } : {}),
      },
    },
    spec: {},
    status: {
      addresses: [{ type: 'InternalIP', address: address(16, at + 1) }],
      conditions: [{ type: 'Ready', status: 'True' }],
    },
  };
}

function createGatewayNode(at: number): object {
  return {
    metadata: { name: `node-${at}`, uid: `uid-gateway-${at}` },
    status: {
      interfaces: [{ name: 'eth0', addresses: [`${address(16, at + 1)}/16`] }],
      onLink: [{ cidr: '172.16.0.0/16', interfaceName: 'eth0' }],
    },
  };
}

/** About the size of a real one, most of which no rule looks at. */
const PADDING = 'x'.repeat(3500);

function createPod(at: number, pod: PodFacts | undefined): object {
  return {
    metadata: {
      name: `pod-${at}`,
      namespace: pod?.namespace,
      uid: `uid-pod-${at}`,
      labels: pod?.labels,
      annotations: { padding: PADDING },
    },
    spec: { nodeName: pod?.node, containers: [{ name: 'main', image: 'image' }] },
    status: { phase: 'Running', podIPs: [{ ip: address(20, at % 65_536) }], podIP: address(20, at % 65_536) },
  };
}

function createService(at: number): object {
  return {
    metadata: { name: `s-${at}`, namespace: 'ns-0', uid: `uid-service-${at}` },
    spec: { type: 'LoadBalancer' },
    status: { loadBalancer: { ingress: [{ ip: formatAddress(loadBalancerAddress(at)) }] } },
  };
}

function renderKubeconfig(server: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'bench', cluster: { server } }],
    users: [{ name: 'bench', user: {} }],
    contexts: [{ name: 'bench', context: { cluster: 'bench', user: 'bench' } }],
    'current-context': 'bench',
  });
}
