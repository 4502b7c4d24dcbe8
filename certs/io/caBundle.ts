/**
 * Writes the `caBundle` of our webhook configurations and nothing else in them, by JSON patch. Each change tests the
 * webhook's name at its index first, so a configuration that was reordered between read and patch is refused rather
 * than damaged. Called again and again, it also undoes a GitOps tool's revert.
 */
import { X509Certificate } from 'node:crypto';
import type { KubeClient, KubeError } from '../../kube/kubeClient.ts';
import { CA_NAME } from './issue.ts';

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;
const API = '/apis/admissionregistration.k8s.io/v1';
export type ConfigurationPlural = 'validatingwebhookconfigurations' | 'mutatingwebhookconfigurations';

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

/**
 * The CAs of ours, valid at `nowMs`, by which API servers trust the webhook now, as PEM: what some replica serves may be
 * signed by any of them, and the Secret may have forgotten them. None where that cannot be read.
 */
export async function readTrustedCas(
  client: KubeClient,
  configuration: { readonly plural: ConfigurationPlural; readonly name: string },
  nowMs: number,
): Promise<readonly string[]> {
  const read = await client.get(`${API}/${configuration.plural}/${configuration.name}`);
  if (read.kind !== 'ok') return [];
  const pems = parseWebhooks(read.value).flatMap(({ caBundle }) =>
    typeof caBundle === 'string' ? splitPem(Buffer.from(caBundle, 'base64').toString('utf8')) : [],
  );
  return [...new Set(pems)].filter((pem) => isOurs(pem, nowMs));
}

/** The certificates in a text, each without what is around it. */
export function splitPem(text: string): readonly string[] {
  return text.match(PEM_BLOCK) ?? [];
}

function isOurs(pem: string, nowMs: number): boolean {
  try {
    const { ca, subject, validFromDate, validToDate } = new X509Certificate(pem);
    const valid = validFromDate.getTime() <= nowMs && nowMs < validToDate.getTime();
    return ca && valid && subject.startsWith(`CN=${CA_NAME}`);
  } catch {
    return false;
  }
}

/** `bundlePem`: one or more PEM certificates. */
export async function writeCaBundle(
  client: KubeClient,
  configuration: { readonly plural: ConfigurationPlural; readonly name: string },
  bundlePem: string,
): Promise<BundleOutcome> {
  const path = `${API}/${configuration.plural}/${configuration.name}`;
  const read = await client.get(path);
  if (read.kind !== 'ok')
    return read.error.code === 'not-found' ? { kind: 'absent' } : { kind: 'failed', error: read.error };
  const caBundle = Buffer.from(bundlePem, 'utf8').toString('base64');
  const stale = parseWebhooks(read.value).filter((webhook) => webhook.caBundle !== caBundle);
  if (stale.length === 0) return { kind: 'unchanged' };
  const written = await client.jsonPatch(
    path,
    stale.flatMap(({ index, name }) => [
      { op: 'test', path: `/webhooks/${index}/name`, value: name },
      { op: 'add', path: `/webhooks/${index}/clientConfig/caBundle`, value: caBundle },
    ]),
  );
  if (written.kind !== 'ok') return { kind: 'failed', error: written.error };
  return { kind: 'written', webhooks: stale.map(({ name }) => name) };
}

function parseWebhooks(raw: unknown): readonly WebhookEntry[] {
  const { webhooks } = raw as { readonly webhooks?: unknown }; // any JSON object may be read so; the value is checked
  if (!Array.isArray(webhooks)) return [];
  return webhooks.flatMap((webhook: unknown, index) => {
    const { name, clientConfig } = webhook as { name?: unknown; clientConfig?: { caBundle?: unknown } };
    return typeof name === 'string' ? [{ index, name, caBundle: clientConfig?.caBundle }] : [];
  });
}
