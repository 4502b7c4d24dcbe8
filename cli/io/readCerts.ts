/** Finds the webhook's certificates in a cluster and reads them, keys only to see that they match. */
import { parseCertificateNotes } from '../../policy/certificateNotes.ts';
import { FieldReader } from '../../policy/fieldReader.ts';
import { CERTIFICATES_ANNOTATION } from '../../policy/names.ts';
import {
  digest,
  joinPem,
  parseCertificate,
  parseKey,
  signerOf,
  splitPem,
  validity,
} from '../../runtime/pem.ts';
import type { CaCertificate, CertsFacts, LeafCertificate, WebhookTrust } from '../core/certsStatus.ts';
import type { RotationLook } from '../core/rotationProgress.ts';
import { type Cluster, expectOk, listAll } from './connectCluster.ts';
import { Unusable } from './unusable.ts';

const REGISTRATION = '/apis/admissionregistration.k8s.io/v1';
const VALIDATING = `${REGISTRATION}/validatingwebhookconfigurations`;
const MUTATING = `${REGISTRATION}/mutatingwebhookconfigurations`;
const SELECTOR = 'app.kubernetes.io/name=sallyport';

export interface Installation {
  readonly mode: string;
  readonly namespace: string;
  readonly secret: string;
  readonly configurations: readonly unknown[];
}

/** The chart writes into the webhook configurations who keeps the certificates, and where. */
export async function findInstallation(
  cluster: Cluster,
  namespace: string | undefined,
): Promise<Installation> {
  const listed = await listAll(cluster, VALIDATING, { query: { labelSelector: SELECTOR } });
  const all = (listed.kind === 'ok' ? listed.items : []).flatMap((raw) => {
    const metadata = new FieldReader(raw, '', []).child('metadata');
    const noted = metadata.child('annotations').optionalText(CERTIFICATES_ANNOTATION) ?? '';
    const [, mode, place, secret] = /^(\w+) ([^/ ]+)\/([^/ ]+)$/.exec(noted) ?? [];
    const name = metadata.optionalText('name');
    if (mode === undefined || place === undefined || secret === undefined || name === undefined) return [];
    return [{ mode, namespace: place, secret, name, raw }];
  });
  const found = all.filter((it) => namespace === undefined || it.namespace === namespace);
  const [it, other] = found;
  if (it === undefined)
    throw new Unusable([
      all.length === 0
        ? `no webhook configuration with the label ${SELECTOR} says where its certificates are: is Sallyport installed here?`
        : `there is no Sallyport in namespace ${namespace}; it runs in ${all.map((one) => one.namespace).join(' and ')}`,
    ]);
  if (other !== undefined)
    throw new Unusable([
      `Sallyport runs in ${found.map((one) => one.namespace).join(' and ')}; choose one with --namespace`,
    ]);
  const mutating = await cluster.client.get(`${MUTATING}/${encodeURIComponent(it.name)}`);
  const isGone = mutating.kind === 'refused' && mutating.error.code === 'not-found';
  const others = isGone ? [] : [expectOk(`reading ${MUTATING}/${it.name}`, mutating)];
  return { ...it, configurations: [it.raw, ...others] };
}

export const secretsOf = (namespace: string): string =>
  `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets`;

export async function readSecret(cluster: Cluster, { namespace, secret }: Installation): Promise<unknown> {
  const outcome = await cluster.client.get(`${secretsOf(namespace)}/${encodeURIComponent(secret)}`);
  if (outcome.kind === 'refused' && outcome.error.code === 'not-found')
    throw new Unusable([
      `there is no Secret ${namespace}/${secret}: the webhook has not started, or nobody made it yet`,
    ]);
  return expectOk(`reading Secret ${namespace}/${secret}`, outcome);
}

interface SecretTexts {
  readonly caPems: readonly string[];
  readonly leafPem: string;
  readonly key: (name: string) => string;
  readonly annotations: unknown;
}

function readTexts(raw: unknown): SecretTexts {
  const fields = new FieldReader(raw, '', []);
  const decode = (name: string): string =>
    Buffer.from(fields.child('data').optionalText(name) ?? '', 'base64').toString('utf8');
  const { metadata } = raw as { readonly metadata?: { readonly annotations?: unknown } }; // an object of the API has one
  return {
    caPems: splitPem(decode('ca.crt')),
    leafPem: decode('tls.crt'),
    key: decode,
    annotations: metadata?.annotations,
  };
}

export function readLook(raw: unknown): RotationLook {
  const { caPems, leafPem, annotations } = readTexts(raw);
  return {
    leafId: digest(leafPem),
    caId: digest(caPems[0] ?? ''),
    notes: parseCertificateNotes(annotations),
  };
}

export function readCertsFacts(installation: Installation, raw: unknown, nowMs: number): CertsFacts {
  const texts = readTexts(raw);
  const { mode, namespace, secret } = installation;
  const leaf = readLeaf(texts);
  return {
    ...{ mode, namespace, secret, nowMs },
    cas: texts.caPems.flatMap((pem) => readCa(pem, texts)),
    bundleId: digest(joinPem(texts.caPems)),
    ...(leaf === undefined ? {} : { leaf }),
    webhooks: installation.configurations.flatMap((it) => readWebhooks(it, texts.leafPem)),
    notes: parseCertificateNotes(texts.annotations),
  };
}

function readLeaf({ leafPem, caPems, key }: SecretTexts): LeafCertificate | undefined {
  const certificate = parseCertificate(leafPem);
  if (certificate === undefined) return undefined;
  const signer = caPems[signerOf(leafPem, caPems) ?? -1];
  const ownKey = parseKey(key('tls.key'));
  return {
    ...{ id: digest(leafPem), subject: oneLine(certificate.subject), ...validity(certificate) },
    keyMatches: ownKey !== undefined && certificate.checkPrivateKey(ownKey),
    ...(signer === undefined ? {} : { signedBy: digest(signer) }),
  };
}

function readCa(pem: string, { key }: SecretTexts): readonly CaCertificate[] {
  const certificate = parseCertificate(pem);
  if (certificate === undefined) return [];
  const owns = (name: string): boolean => {
    const parsed = parseKey(key(name));
    return parsed !== undefined && certificate.checkPrivateKey(parsed);
  };
  return [
    {
      ...{ id: digest(pem), subject: oneLine(certificate.subject), ...validity(certificate) },
      key: owns('ca.key') ? 'signs' : owns('next-ca.key') ? 'next' : 'none',
    },
  ];
}

const oneLine = (subject: string): string => subject.replaceAll('\n', ', ');

function readWebhooks(raw: unknown, leafPem: string): readonly WebhookTrust[] {
  const { kind, webhooks } = raw as { readonly kind?: unknown; readonly webhooks?: unknown }; // any JSON object may be read so
  const which = kind === 'MutatingWebhookConfiguration' ? 'mutating' : 'validating';
  const name = new FieldReader(raw, '', []).child('metadata').optionalText('name') ?? '';
  return (Array.isArray(webhooks) ? webhooks : []).map((webhook): WebhookTrust => {
    const fields = new FieldReader(webhook, '', []);
    const bundle = fields.child('clientConfig').optionalText('caBundle') ?? '';
    const pems = splitPem(Buffer.from(bundle, 'base64').toString('utf8'));
    const trusted = signerOf(leafPem, pems) !== undefined;
    return {
      configuration: `${which}/${name}`,
      webhook: fields.optionalText('name') ?? '',
      cas: pems.map(digest),
      trustsLeaf: pems.length === 0 ? 'unset' : trusted ? 'yes' : 'no',
    };
  });
}
