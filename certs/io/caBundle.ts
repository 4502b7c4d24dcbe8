/**
 * Writes the `caBundle` of our webhook configurations and nothing else in them, by JSON patch. Each change tests the
 * configuration's version and the webhook's name first: what was changed meanwhile is read again, and a write whose answer was
 * lost cannot undo a later one. Called again and again, it also undoes a GitOps tool's revert.
 */
import type { KubeClient, KubeError } from '../../kube/kubeClient.ts';
import { splitPem } from '../../runtime/pem.ts';
import { asRecord } from './readFacts.ts';

const API = '/apis/admissionregistration.k8s.io/v1';
/** Each loss means that another replica wrote, most likely the same. */
const ATTEMPTS_MAX = 3;

export type ConfigurationPlural = 'validatingwebhookconfigurations' | 'mutatingwebhookconfigurations';
export interface ConfigurationName {
  readonly plural: ConfigurationPlural;
  readonly name: string;
}

/** `absent`: the configuration is not installed, which is nothing to repair. */
export type BundleOutcome =
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'written'; readonly webhooks: readonly string[] }
  | { readonly kind: 'absent' }
  | { readonly kind: 'failed'; readonly error: KubeError };

interface WebhookEntry {
  readonly index: number;
  readonly name: string;
  readonly caBundle: unknown;
}

export type BundleRead =
  | {
      readonly kind: 'ok';
      /** By webhook, PEM of each certificate. */
      readonly bundles: readonly (readonly string[])[];
    }
  | { readonly kind: 'absent' }
  | { readonly kind: 'failed'; readonly error: KubeError };

export async function readCaBundles(
  client: KubeClient,
  { plural, name }: ConfigurationName,
): Promise<BundleRead> {
  const read = await client.get(`${API}/${plural}/${name}`);
  if (read.kind !== 'ok')
    return read.error.code === 'not-found' ? { kind: 'absent' } : { kind: 'failed', error: read.error };
  const bundles = parseWebhooks(read.value).map(({ caBundle }) =>
    typeof caBundle === 'string' ? splitPem(Buffer.from(caBundle, 'base64').toString('utf8')) : [],
  );
  return { kind: 'ok', bundles };
}

/** `bundlePem`: one or more PEM certificates. */
export async function writeCaBundle(
  client: KubeClient,
  configuration: ConfigurationName,
  bundlePem: string,
): Promise<BundleOutcome> {
  let outcome = await tryWrite(client, configuration, bundlePem);
  for (let attempt = 1; attempt < ATTEMPTS_MAX && isLost(outcome); attempt += 1)
    outcome = await tryWrite(client, configuration, bundlePem);
  return outcome;
}

/** The API server calls a test that fails invalid. */
function isLost(outcome: BundleOutcome): boolean {
  return outcome.kind === 'failed' && ['invalid', 'conflict'].includes(outcome.error.code);
}

async function tryWrite(
  client: KubeClient,
  { plural, name }: ConfigurationName,
  bundlePem: string,
): Promise<BundleOutcome> {
  const path = `${API}/${plural}/${name}`;
  const read = await client.get(path);
  if (read.kind !== 'ok')
    return read.error.code === 'not-found' ? { kind: 'absent' } : { kind: 'failed', error: read.error };
  const caBundle = Buffer.from(bundlePem, 'utf8').toString('base64');
  const stale = parseWebhooks(read.value).filter((webhook) => webhook.caBundle !== caBundle);
  if (stale.length === 0) return { kind: 'unchanged' };
  const version = asRecord(asRecord(read.value).metadata).resourceVersion;
  const written = await client.jsonPatch(path, [
    { op: 'test', path: '/metadata/resourceVersion', value: version },
    ...stale.flatMap(({ index, name: webhook }) => [
      { op: 'test', path: `/webhooks/${index}/name`, value: webhook },
      { op: 'add', path: `/webhooks/${index}/clientConfig/caBundle`, value: caBundle },
    ]),
  ]);
  if (written.kind !== 'ok') return { kind: 'failed', error: written.error };
  return { kind: 'written', webhooks: stale.map((webhook) => webhook.name) };
}

function parseWebhooks(raw: unknown): readonly WebhookEntry[] {
  const { webhooks } = asRecord(raw);
  if (!Array.isArray(webhooks)) return [];
  return webhooks.flatMap((webhook: unknown, index) => {
    const { name, clientConfig } = asRecord(webhook);
    return typeof name === 'string' ? [{ index, name, caBundle: asRecord(clientConfig).caBundle }] : [];
  });
}
