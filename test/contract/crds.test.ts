/** The CRDs in a real kube-apiserver: they are accepted, and what they refuse by themselves is what the parser refuses too. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseGatewayNode } from '../../failover/core/parseGatewayNode.ts';
import { createGatewayNodeWriter } from '../../failover/io/gatewayNodeWriter.ts';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { createRestClient } from '../../kube/restClient.ts';
import { CILIUM_EGRESS_GATEWAY_POLICY, collectionPath, EGRESS_IP, GATEWAY_NODE } from '../../policy/names.ts';
import { parsePolicy } from '../../policy/parsePolicy.ts';
import { createLogger } from '../../runtime/logger.ts';
import { type ApiServer, startApiServer } from './apiServer.ts';

const CRDS = path.resolve(import.meta.dirname, '../../charts/sallyport/files/crds');
const POLICIES = collectionPath(CILIUM_EGRESS_GATEWAY_POLICY);
let server: ApiServer;
let client: KubeClient;

function kubectl(args: readonly string[], input?: string): string {
  const result = spawnSync(
    path.join(server.binaries, 'kubectl'),
    ['--kubeconfig', server.kubeconfigPath, '--cache-dir', `${server.kubeconfigPath}-cache`, ...args],
    {
      encoding: 'utf8',
      ...(input === undefined ? {} : { input }),
    },
  );
  if (result.status !== 0) throw new Error(`kubectl ${args.join(' ')}: ${result.stderr}`);
  return result.stdout;
}

beforeAll(async () => {
  server = await startApiServer({ onProgress: (line) => console.log(line) });
  client = createRestClient(server.access);
  kubectl(['apply', '-f', CRDS]);
  kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s']);
}, 1_800_000);
afterAll(async () => {
  await client?.close();
  await server?.stop();
});

/** The manifest that README and design show, verbatim. */
const MANIFEST = `apiVersion: cilium.io/v1alpha1
kind: CiliumEgressGatewayPolicy
metadata:
  name: egress-gateway-policy
spec:
  selectors:
  - matchLabels: {app: my-app}
  destinationCIDRs: ["0.0.0.0/0"]
  egressGateway:
    ippools:
    - cidr: "203.0.113.10/32"
`;

function policyWith(change: object, spec: object = {}) {
  return {
    apiVersion: 'cilium.io/v1alpha1',
    kind: 'CiliumEgressGatewayPolicy',
    metadata: { generateName: 'case-' },
    spec: {
      selectors: [{ matchLabels: { app: 'my-app' } }],
      destinationCIDRs: ['0.0.0.0/0'],
      egressGateway: { ippools: [{ cidr: '203.0.113.10/32' }], ...change },
      ...spec,
    },
  };
}

describe('policies', () => {
  test('the manifest of the README is stored as it is and read back by kubectl', () => {
    kubectl(['apply', '-f', '-'], MANIFEST);
    expect(kubectl(['get', 'cegp'])).toMatch(
      /NAME\s+EGRESS\s+PODS\s+ACCEPTED\s+PROGRAMMED\s+AVAILABLE\s+AGE/,
    );
    const stored: unknown = JSON.parse(kubectl(['get', 'cegp', 'egress-gateway-policy', '-o', 'json']));
    expect(parsePolicy(stored, 'CiliumEgressGatewayPolicy')).toMatchObject({
      kind: 'ok',
      value: { generation: 1 },
    });
  });

  const pool = (...ippools: readonly object[]) => policyWith({ ippools });
  test.each([
    {
      name: 'two disjoint prefixes',
      body: pool({ cidr: '203.0.113.0/28' }, { cidr: '203.0.113.16/28' }),
      accepted: true,
    },
    {
      name: 'both families',
      body: pool({ cidr: '203.0.113.0/28' }, { cidr: '2001:db8::/124' }),
      accepted: true,
    },
    { name: 'a range', body: pool({ from: '203.0.113.4', to: '203.0.113.9' }), accepted: true },
    {
      name: 'every choice',
      body: policyWith({
        strategy: 'Failover',
        affinity: 'Connection',
        failureMode: 'Open',
        returnPolicy: 'Return',
        returnAfter: '90s',
      }),
      accepted: true,
    },
    {
      name: '64 entries and 1,000 destinations',
      body: policyWith(
        { ippools: Array.from({ length: 64 }, (_, i) => ({ cidr: `203.0.113.${i}/32` })) },
        { destinationCIDRs: Array.from({ length: 1000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`) },
      ),
      accepted: true,
    },
    { name: 'host bits', body: pool({ cidr: '203.0.113.10/24' }), accepted: false },
    { name: 'a bare address', body: pool({ cidr: '203.0.113.10' }), accepted: false },
    { name: 'upper case', body: pool({ cidr: '2001:DB8::/124' }), accepted: false },
    { name: 'uncompressed', body: pool({ cidr: '2001:db8:0:0::/124' }), accepted: false },
    { name: 'leading zeros', body: pool({ cidr: '203.0.113.010/32' }), accepted: false },
    {
      name: 'entries that overlap',
      body: pool({ cidr: '203.0.113.0/28' }, { cidr: '203.0.113.8/29' }),
      accepted: false,
    },
    {
      name: 'the same entry twice',
      body: pool({ cidr: '203.0.113.0/28' }, { cidr: '203.0.113.0/28' }),
      accepted: false,
    },
    {
      name: 'a prefix and a range in one entry',
      body: pool({ cidr: '203.0.113.0/28', from: '203.0.113.4', to: '203.0.113.9' }),
      accepted: false,
    },
    { name: 'half a range', body: pool({ from: '203.0.113.4' }), accepted: false },
    {
      name: 'a range of two families',
      body: pool({ from: '203.0.113.4', to: '2001:db8::' }),
      accepted: false,
    },
    { name: 'no pool', body: pool(), accepted: false },
    {
      name: '65 entries',
      body: policyWith({ ippools: Array.from({ length: 65 }, (_, i) => ({ cidr: `203.0.113.${i}/32` })) }),
      accepted: false,
    },
    {
      name: 'a destination with host bits',
      body: policyWith({}, { destinationCIDRs: ['10.0.0.1/8'] }),
      accepted: false,
    },
    { name: 'no destination', body: policyWith({}, { destinationCIDRs: [] }), accepted: false },
    { name: 'no selector', body: policyWith({}, { selectors: [] }), accepted: false },
    { name: 'an unknown strategy', body: policyWith({ strategy: 'Random' }), accepted: false },
    {
      name: 'an unknown operator',
      body: policyWith({}, { selectors: [{ matchExpressions: [{ key: 'a', operator: 'Like' }] }] }),
      accepted: false,
    },
  ])('$name: accepted $accepted, by schema and parser alike', async ({ body, accepted }) => {
    const parsed = parsePolicy({ ...body, metadata: { name: 'x' } }, 'CiliumEgressGatewayPolicy');
    // An overlap within the object is a rule of the webhook, not of its parser.
    if (!JSON.stringify(body).includes('203.0.113.0/28"},{'))
      expect(parsed.kind).toBe(accepted ? 'ok' : 'refused');
    const created = await client.create(POLICIES, body);
    expect(created).toMatchObject(accepted ? { kind: 'ok' } : { kind: 'refused', error: { status: 422 } });
  });
});

describe('what the programs write', () => {
  test("an agent's report becomes the status of its GatewayNode, and is read back", async () => {
    const failures: string[] = [];
    const writer = createGatewayNodeWriter({
      client,
      node: 'gw-1',
      logger: createLogger({ program: 'test', level: 'error' }),
      wallClock: Date.now,
      onFailed: () => failures.push('failed'),
    });
    const report = {
      session: 5,
      lastSession: 5,
      underlay: { address: '203.0.113.11', interfaceName: 'eth0', tunnelMac: '02:53:cb:00:71:0b' },
      interfaces: [{ name: 'eth0', addresses: ['203.0.113.11/24'] }],
      onLink: [{ cidr: '203.0.113.0/24', interfaceName: 'eth0' }],
      nextHops: [{ address: '203.0.113.1', interfaceName: 'eth0' }],
      capacity: 256,
      holding: 1,
      addresses: [
        { address: '203.0.113.10', state: 'Answering', epoch: 3, index: 1, session: 5, blocksVersion: 2 },
      ],
      dead: [{ gateway: 'gw-2', session: 3 }],
      voterConfigVersion: 4,
      voterSets: [['gw-1', 'worker-1']],
      peerKeys: [1, 2],
      peerSigningKey: 1,
      demand: [{ address: '203.0.113.10', ports: 64, returned: 2 }],
      selected: [{ policyUid: 'u', pods: 2, generation: 1 }],
      versions: { agent: '0.1.0', kernel: '6.1', nftables: '1.0.6' },
      dataPlaneReady: true,
      dataPlaneMessage: '',
      forwardingMessage: 'closed',
      health: { healthy: false, reasons: ['NoCarrier'], message: 'the uplink eth0: it has no carrier' },
    } as const;
    writer.write({ ...report, session: 4 });
    writer.write(report);
    await writer.drained();
    expect(failures).toEqual([]);
    const stored = await client.get(`${collectionPath(GATEWAY_NODE)}/gw-1`);
    expect(stored.kind === 'ok' && parseGatewayNode(stored.value)).toMatchObject({
      session: 5,
      lastSession: 5,
      demand: [{ ports: 64, returned: 2 }],
      dataPlaneReady: true,
      healthy: false,
      healthMessage: 'the uplink eth0: it has no carrier',
      addresses: [{ state: 'Answering', epoch: 3, index: 1 }],
      dead: [{ gateway: 'gw-2', session: 3 }],
      voterConfig: { version: 4, sets: [['gw-1', 'worker-1']] },
    });
    expect(kubectl(['get', 'gwn'])).toMatch(/gw-1\s+True\s+False\s+1\s+203\.0\.113\.11/);
  });

  test('an EgressIP shows who holds it', async () => {
    await client.create(collectionPath(EGRESS_IP), {
      apiVersion: 'sallyport.dev/v1alpha1',
      kind: 'EgressIP',
      metadata: { name: '203.0.113.10' },
      spec: { address: '203.0.113.10', epoch: 3, order: [{ gateway: 'gw-1', session: 5 }] },
    });
    await client.mergePatch(`${collectionPath(EGRESS_IP)}/203.0.113.10/status`, {
      status: { gateway: 'gw-1', standbyNames: 'gw-2,gw-3', phase: 'Announced' },
    });
    expect(kubectl(['get', 'eip'])).toMatch(/203\.0\.113\.10\s+gw-1\s+gw-2,gw-3\s+Announced\s+3/);
  });
});
