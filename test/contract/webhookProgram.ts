/** The webhook program, started as it is deployed but on loopback, and what a real API server needs to call it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { request } from 'node:https';
import path from 'node:path';
import type { KubeClient, KubeOutcome } from '../../kube/kubeClient.ts';
import {
  CILIUM_EGRESS_GATEWAY_POLICY,
  CILIUM_GROUP,
  collectionPath,
  EGRESS_POLICY,
  GATEWAY_NODE,
} from '../../policy/names.ts';
import { waitUntil } from '../cluster/waitUntil.ts';
import { egressPolicy } from '../lab/egressPolicy.ts';
import { freePort } from '../lab/freePort.ts';
import { type MemoryLimit, wrapped } from '../lab/memoryLimit.ts';
import type { ApiServer } from './apiServer.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
export const NAMESPACE = 'sallyport';
/** The name under which the API server reaches the webhook, so that the certificate carries it. */
export const HOST = 'localhost';
const REGISTRATION = '/apis/admissionregistration.k8s.io/v1';
const IN_FORCE_MS = 30_000;

export interface WebhookProgram {
  /** For tests of how it ends. */
  readonly child: ChildProcess;
  readonly port: number;
  log(): string;
  /** The decision of this one, asked past the API server: status and parsed body. */
  ask(endpoint: 'validate' | 'mutate', review: unknown): Promise<{ status: number; body: unknown }>;
  stop(): Promise<void>;
}

export async function startWebhookProgram(
  { kubeconfigPath }: Pick<ApiServer, 'kubeconfigPath'>,
  podName: string,
  /** Environment beside the usual, or in its place. */
  settings: Readonly<Record<string, string>> = {},
  limit?: MemoryLimit,
): Promise<WebhookProgram> {
  const port = await freePort();
  let log = '';
  const { command, args } = wrapped(limit, process.execPath, [path.join(ROOT, 'webhook/main.ts')]);
  const child = spawn(command, args, {
    env: {
      PATH: process.env.PATH,
      KUBECONFIG: kubeconfigPath,
      POD_NAME: podName,
      SALLYPORT_NAMESPACE: NAMESPACE,
      WEBHOOK_PORT: String(port),
      WEBHOOK_SERVICE: HOST,
      CERT_SECRET: 'webhook-cert',
      VALIDATING_CONFIGURATION: 'sallyport',
      MUTATING_CONFIGURATION: 'sallyport',
      ...settings,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
  return {
    child,
    port,
    log: () => log,
    ask: (endpoint, review) => ask(port, endpoint, review),
    stop: () => end(child),
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exited;
}

function ask(port: number, endpoint: string, review: unknown): Promise<{ status: number; body: unknown }> {
  return new Promise((resolve, reject) => {
    // Who answers is not in question here: the API server checks the certificate whenever it asks.
    const outgoing = request({
      host: HOST,
      port,
      path: `/${endpoint}`,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      rejectUnauthorized: false,
    });
    outgoing.on('error', reject);
    outgoing.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }));
    });
    outgoing.end(JSON.stringify(review));
  });
}

export function must(outcome: KubeOutcome<unknown>): unknown {
  if (outcome.kind !== 'ok') throw new Error(`${outcome.error.code}: ${outcome.error.message}`);
  return outcome.value;
}

/** A gateway with 203.0.113.0/24 and 2001:db8:1::/64 on its link: the Node, and what its agent reports. */
export const GATEWAY_OBJECT = {
  metadata: { name: 'gw-1', labels: { 'sallyport.dev/gateway': '' } },
  status: { addresses: [{ type: 'InternalIP', address: '203.0.113.11' }] },
};
export const GATEWAY_NODE_STATUS = {
  interfaces: [{ name: 'eth0', addresses: ['203.0.113.11/24', '2001:db8:1::11/64'] }],
  onLink: ['203.0.113.0/24', '2001:db8:1::/64'].map((cidr) => ({ cidr, interfaceName: 'eth0' })),
};

/** The namespace of the program, and the gateway. */
export async function createGateway(client: KubeClient): Promise<void> {
  must(await client.create('/api/v1/namespaces', { metadata: { name: NAMESPACE } }));
  must(await client.create('/api/v1/nodes', GATEWAY_OBJECT));
  const reports = collectionPath(GATEWAY_NODE);
  const { group, version, kind } = GATEWAY_NODE;
  const { name } = GATEWAY_OBJECT.metadata;
  must(await client.create(reports, { apiVersion: `${group}/${version}`, kind, metadata: { name } }));
  must(await client.mergePatch(`${reports}/${name}/status`, { status: GATEWAY_NODE_STATUS }));
}

/** As the chart installs them, but for the address; without a caBundle, which is the program's to write. */
export async function createConfigurations(
  client: KubeClient,
  port: number,
  metadata: { readonly name: string } & Readonly<Record<string, unknown>> = { name: 'sallyport' },
): Promise<void> {
  const rules = [CILIUM_EGRESS_GATEWAY_POLICY, EGRESS_POLICY].map(({ group, version, plural }) => ({
    apiGroups: [group],
    apiVersions: group === CILIUM_GROUP ? [version, 'v2'] : [version],
    operations: ['CREATE', 'UPDATE'],
    resources: [plural],
  }));
  const webhook = (endpoint: string, failurePolicy: string) => ({
    name: `${endpoint}.${metadata.name}.dev`,
    clientConfig: { url: `https://${HOST}:${port}/${endpoint}` },
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    timeoutSeconds: 5,
    failurePolicy,
    rules,
  });
  const configurations = [
    ['validatingwebhookconfigurations', webhook('validate', 'Fail')],
    ['mutatingwebhookconfigurations', webhook('mutate', 'Ignore')],
  ] as const;
  for (const [plural, entry] of configurations)
    must(await client.create(`${REGISTRATION}/${plural}`, { metadata, webhooks: [entry] }));
}

/** The API server learns of a configuration and of its bundle by its own watch: dry runs show when it has. */
export async function waitUntilInForce(client: KubeClient): Promise<void> {
  const dryRun = `${collectionPath(EGRESS_POLICY)}?dryRun=All`;
  const attempt = async (cidr: string): Promise<string> => {
    const outcome = await client.create(dryRun, egressPolicy('probe', [{ cidr }]));
    return outcome.kind === 'ok' ? JSON.stringify(outcome.value) : outcome.error.message;
  };
  await waitUntil(
    'the webhook to be in force',
    async () => {
      const [refused, completed] = [await attempt('192.0.2.1/32'), await attempt('203.0.113.250')];
      if (refused.includes('(pool-unroutable)') && completed.includes('203.0.113.250/32')) return true;
      throw new Error(`${refused} ${completed}`);
    },
    { timeoutMs: IN_FORCE_MS },
  );
}
