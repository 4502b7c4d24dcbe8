/**
 * What the pair of webhooks adds to a create through a real kube-apiserver and etcd. The configurations select by a label,
 * and every second policy carries it: both sides meet the same machine, the same API server and the same second.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import type { KubeClient, KubeOutcome } from '../../kube/kubeClient.ts';
import { createRestClient } from '../../kube/restClient.ts';
import { collectionPath, EGRESS_POLICY, GATEWAY_NODE } from '../../policy/names.ts';
import { waitUntil } from '../../test/cluster/waitUntil.ts';
import { type ApiServer, startApiServer } from '../../test/contract/apiServer.ts';
import { percentile } from '../statistics.ts';
import { CONFIGURATION, NAMESPACE, startWebhookProcess, WEBHOOK_HOST } from './webhookProcess.ts';

const CRDS = path.resolve(import.meta.dirname, '../../charts/sallyport/files/crds');
const POLICIES = collectionPath(EGRESS_POLICY);
const ADMISSION = '/apis/admissionregistration.k8s.io/v1';
/** Of each side. */
const CREATES = 1000;
const WARM_UP = 200;
const PER_S = 100;
const WAIT_MS = 60_000;
const LABEL = 'bench.sallyport.dev/asks';

export interface CreateFigures {
  readonly withP50Ms: number | undefined;
  readonly withP99Ms: number | undefined;
  readonly withoutP50Ms: number | undefined;
  readonly withoutP99Ms: number | undefined;
  readonly creates: number;
}

export async function measureCreates(say: (line: string) => void): Promise<CreateFigures> {
  const api = await startApiServer({ onProgress: say });
  const client = createRestClient(api.access, { deadlineMs: 30_000 });
  try {
    await installKinds(client);
    return await measureWithWebhook(api, client);
  } finally {
    await client.close();
    await api.stop();
  }
}

async function measureWithWebhook(api: ApiServer, client: KubeClient): Promise<CreateFigures> {
  const webhook = await startWebhookProcess({ kubeconfigPath: api.kubeconfigPath, routable: '10.0.0.0/8' });
  try {
    await createConfigurations(client, webhook.port);
    await webhook.ready();
    await waitUntil('the webhooks are in force', () => isInForce(client), { timeoutMs: WAIT_MS });
    await createMany(client, { from: 0, count: WARM_UP });
    const { asked, unasked } = await createMany(client, { from: WARM_UP, count: 2 * CREATES });
    return {
      withP50Ms: percentile(asked, 50),
      withP99Ms: percentile(asked, 99),
      withoutP50Ms: percentile(unasked, 50),
      withoutP99Ms: percentile(unasked, 99),
      creates: CREATES,
    };
  } finally {
    await webhook.stop();
  }
}

/** Milliseconds from sent to answered. One after the other, so that no create waits for another. */
async function createMany(
  client: KubeClient,
  { from, count }: { readonly from: number; readonly count: number },
): Promise<{ readonly asked: readonly number[]; readonly unasked: readonly number[] }> {
  const tookMs: { readonly asked: number[]; readonly unasked: number[] } = { asked: [], unasked: [] };
  const beganMs = performance.now();
  for (let at = 0; at < count; at += 1) {
    const earlyMs = beganMs + (at * 1000) / PER_S - performance.now();
    if (earlyMs > 0) await new Promise((resolve) => setTimeout(resolve, earlyMs));
    const asks = at % 2 === 0;
    const sentMs = performance.now();
    must(await client.create(POLICIES, policy(from + at, asks)));
    tookMs[asks ? 'asked' : 'unasked'].push(performance.now() - sentMs);
  }
  return tookMs;
}

function policy(at: number, asks: boolean): object {
  const name = `policy-${at}`;
  return {
    apiVersion: `${EGRESS_POLICY.group}/${EGRESS_POLICY.version}`,
    kind: EGRESS_POLICY.kind,
    metadata: { name, labels: { [LABEL]: String(asks) } },
    spec: {
      selectors: [{ matchLabels: { app: name } }],
      destinationCIDRs: ['0.0.0.0/0'],
      egressGateway: { ippools: [{ cidr: `10.0.${at >> 8}.${at & 255}/32` }] },
    },
  };
}

/** A dry run is completed by the one webhook and refused by the other. */
async function isInForce(client: KubeClient): Promise<true | undefined> {
  const dryRun = `${POLICIES}?dryRun=All`;
  const completed = await client.create(dryRun, policy(0, true));
  const wrong = JSON.stringify(policy(0, true)).replace('10.0.0.0/32', '192.0.2.1/32');
  const refused = await client.create(dryRun, JSON.parse(wrong));
  const completes = completed.kind === 'ok' && JSON.stringify(completed.value).includes('Distribute');
  const refuses = refused.kind === 'refused' && refused.error.message.includes('(pool-unroutable)');
  return (completes && refuses) || undefined;
}

function must(outcome: KubeOutcome<unknown>): void {
  if (outcome.kind !== 'ok') throw new Error(`${outcome.error.code}: ${outcome.error.message}`);
}

async function installKinds(client: KubeClient): Promise<void> {
  for (const file of readdirSync(CRDS))
    must(
      await client.create(
        '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
        parse(readFileSync(path.join(CRDS, file), 'utf8')),
      ),
    );
  const { group, version, kind } = GATEWAY_NODE;
  const gateways = collectionPath(GATEWAY_NODE);
  for (const served of [POLICIES, gateways])
    await waitUntil(
      `${served} is served`,
      async () => (await client.get(served)).kind === 'ok' || undefined,
      {
        timeoutMs: WAIT_MS,
      },
    );
  const metadata = { name: 'gw-1', labels: { 'sallyport.dev/gateway': '' } };
  must(await client.create('/api/v1/namespaces', { metadata: { name: NAMESPACE } }));
  must(await client.create('/api/v1/nodes', { metadata }));
  must(
    await client.create(gateways, { apiVersion: `${group}/${version}`, kind, metadata: { name: 'gw-1' } }),
  );
}

/** As the chart installs them, but for the address and the label. */
async function createConfigurations(client: KubeClient, port: number): Promise<void> {
  const { group, version, plural } = EGRESS_POLICY;
  const webhooks = (verb: string, failurePolicy: string) => [
    {
      name: `${verb}.policies.sallyport.dev`,
      clientConfig: { url: `https://${WEBHOOK_HOST}:${port}/${verb}` },
      admissionReviewVersions: ['v1'],
      sideEffects: 'None',
      timeoutSeconds: 5,
      failurePolicy,
      matchPolicy: 'Equivalent',
      objectSelector: { matchLabels: { [LABEL]: 'true' } },
      rules: [
        {
          apiGroups: [group],
          apiVersions: [version],
          resources: [plural],
          operations: ['CREATE', 'UPDATE'],
          scope: 'Cluster',
        },
      ],
    },
  ];
  const metadata = { name: CONFIGURATION };
  const create = async (kinds: string, body: object): Promise<void> =>
    must(await client.create(`${ADMISSION}/${kinds}`, { metadata, ...body }));
  await create('validatingwebhookconfigurations', { webhooks: webhooks('validate', 'Fail') });
  await create('mutatingwebhookconfigurations', { webhooks: webhooks('mutate', 'Ignore') });
}
