/**
 * Writes the `caBundle` of our webhook configurations and nothing else in them, by JSON patch. Each change tests the
 * webhook's name at its index first, so a configuration that was reordered between read and patch is refused rather
 * than damaged. Called again and again, it also undoes a GitOps tool's revert.
 */
import type { KubeClient, KubeError } from '../../kube/kubeClient.ts';

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
