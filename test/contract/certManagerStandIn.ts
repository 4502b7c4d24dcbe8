/**
 * What cert-manager does, as far as the webhook sees it: its kinds, Secrets that are written for Certificates by way of their
 * issuers, and its CA injector. cert-manager itself is no Go module that builds by itself here, and needs its own webhook.
 * https://cert-manager.io/docs/usage/certificate/ and https://cert-manager.io/docs/concepts/ca-injector/
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { runCommand } from '../cluster/command.ts';
import { waitUntil } from '../cluster/waitUntil.ts';
import { must } from './webhookProgram.ts';

const GROUP = 'cert-manager.io';
const INJECT = 'cert-manager.io/inject-ca-from';
const CONFIGURATIONS = ['validatingwebhookconfigurations', 'mutatingwebhookconfigurations'].map(
  (plural) => `/apis/admissionregistration.k8s.io/v1/${plural}`,
);

export interface CertManagerStandIn {
  /** Issues for every Certificate, issuers' own first, and has configurations trust them. */
  issueAll(): Promise<void>;
  /** Issues one anew, with another key; the CA that signs is the same. */
  renew(name: string): Promise<void>;
  /** Of one Certificate's Secret, as text. */
  secret(name: string): Promise<Readonly<Record<'tls.crt' | 'tls.key' | 'ca.crt', string>>>;
  stop(): void;
}

interface Certificate {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly secretName: string;
    readonly commonName?: string;
    readonly dnsNames?: readonly string[];
    readonly issuerRef: { readonly name: string; readonly kind: string; readonly group: string };
  };
}
interface Issuer {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly selfSigned?: object; readonly ca?: { readonly secretName: string } };
}
interface Pair {
  readonly certificate: string;
  readonly key: string;
}

/** The kinds alone: the chart's objects are there before anybody issues. */
export async function installCertManagerKinds(client: KubeClient): Promise<void> {
  for (const [kind, plural] of [
    ['Certificate', 'certificates'],
    ['Issuer', 'issuers'],
  ] as const) {
    must(await client.create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', crdOf(kind, plural)));
    const collection = `/apis/${GROUP}/v1/${plural}`;
    await waitUntil(plural, async () => (await client.get(collection)).kind === 'ok' || undefined);
  }
}

function crdOf(kind: string, plural: string): object {
  const open = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  const schema = { type: 'object', properties: { spec: open, status: open } };
  const version = { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${GROUP}` },
    spec: {
      group: GROUP,
      scope: 'Namespaced',
      names: { kind, plural, singular: kind.toLowerCase() },
      versions: [version],
    },
  };
}

export function startCertManagerStandIn(client: KubeClient, namespace: string): CertManagerStandIn {
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-issuing-'));
  const of = (plural: string): string => `/apis/${GROUP}/v1/namespaces/${namespace}/${plural}`;
  const secrets = `/api/v1/namespaces/${namespace}/secrets`;
  const list = async <T>(collection: string): Promise<readonly T[]> =>
    (must(await client.get(collection)) as { readonly items: readonly T[] }).items;

  const secretCalled = async (name: string) => {
    const { data } = must(await client.get(`${secrets}/${name}`)) as {
      readonly data: Record<string, string>;
    };
    const text = (key: string): string => Buffer.from(data[key] ?? '', 'base64').toString();
    return { 'tls.crt': text('tls.crt'), 'tls.key': text('tls.key'), 'ca.crt': text('ca.crt') };
  };

  const issue = async (certificate: Certificate): Promise<void> => {
    const { spec } = certificate;
    const issuers = await list<Issuer>(of('issuers'));
    const issuer = issuers.find(({ metadata }) => metadata.name === spec.issuerRef.name);
    if (issuer === undefined) throw new Error(`issue: there is no Issuer ${spec.issuerRef.name}`);
    const signer = issuer.spec.ca === undefined ? undefined : await secretCalled(issuer.spec.ca.secretName);
    const pair =
      signer === undefined
        ? await makeCa(folder, spec.commonName ?? '')
        : await makeLeaf(folder, spec.dnsNames ?? [], {
            certificate: signer['tls.crt'],
            key: signer['tls.key'],
          });
    const secret = secretOf(certificate, pair, signer?.['tls.crt'] ?? pair.certificate);
    const made = await client.create(secrets, secret);
    if (made.kind !== 'ok') must(await client.mergePatch(`${secrets}/${spec.secretName}`, secret));
  };

  const inject = async (): Promise<void> => {
    for (const collection of CONFIGURATIONS) {
      const found = await list<{
        readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
        readonly webhooks: readonly object[];
      }>(collection);
      for (const { metadata, webhooks } of found) {
        const from = metadata.annotations?.[INJECT]?.split('/')[1];
        if (from === undefined) continue;
        const caBundle = Buffer.from((await secretCalled(from))['ca.crt']).toString('base64');
        const patch = webhooks.map((_, at) => ({
          op: 'add',
          path: `/webhooks/${at}/clientConfig/caBundle`,
          value: caBundle,
        }));
        must(await client.jsonPatch(`${collection}/${metadata.name}`, patch));
      }
    }
  };

  const certificates = (): Promise<readonly Certificate[]> => list<Certificate>(of('certificates'));
  return {
    async issueAll() {
      const all = await certificates();
      const isCa = ({ spec }: Certificate): boolean => spec.dnsNames === undefined;
      for (const certificate of [...all.filter(isCa), ...all.filter((it) => !isCa(it))])
        await issue(certificate);
      await inject();
    },
    async renew(name) {
      const certificate = (await certificates()).find(({ metadata }) => metadata.name === name);
      if (certificate === undefined) throw new Error(`renew: there is no Certificate ${name}`);
      await issue(certificate);
      await inject();
    },
    async secret(name) {
      const certificate = (await certificates()).find(({ metadata }) => metadata.name === name);
      return secretCalled(certificate?.spec.secretName ?? name);
    },
    stop() {
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function secretOf({ metadata, spec }: Certificate, { certificate, key }: Pair, ca: string): object {
  const { issuerRef, dnsNames = [], commonName = '' } = spec;
  const encode = (text: string): string => Buffer.from(text).toString('base64');
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/tls',
    metadata: {
      name: spec.secretName,
      labels: { 'controller.cert-manager.io/fao': 'true' },
      annotations: {
        'cert-manager.io/alt-names': dnsNames.join(','),
        'cert-manager.io/certificate-name': metadata.name,
        'cert-manager.io/common-name': commonName,
        'cert-manager.io/issuer-group': issuerRef.group,
        'cert-manager.io/issuer-kind': issuerRef.kind,
        'cert-manager.io/issuer-name': issuerRef.name,
      },
    },
    data: { 'tls.crt': encode(certificate), 'tls.key': encode(key), 'ca.crt': encode(ca) },
  };
}

/** Of P-256 in SEC 1, as cert-manager writes them where PKCS #8 is not asked for. */
async function makeKey(folder: string): Promise<string> {
  const file = path.join(folder, 'key.pem');
  await runCommand('making a key', [
    'openssl',
    'ecparam',
    '-name',
    'prime256v1',
    '-genkey',
    '-noout',
    '-out',
    file,
  ]);
  return file;
}

async function makeCa(folder: string, name: string): Promise<Pair> {
  const key = await makeKey(folder);
  const extensions = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,digitalSignature'];
  const added = extensions.flatMap((it) => ['-addext', it]);
  const argv = ['openssl', 'req', '-x509', '-new', '-key', key, '-subj', `/CN=${name}`, '-days', '3650'];
  const { stdout } = await runCommand('making a CA', [...argv, ...added]);
  return { certificate: stdout, key: readFileSync(key, 'utf8') };
}

/** Without a common name, as cert-manager makes it where none is asked for. */
async function makeLeaf(folder: string, dnsNames: readonly string[], ca: Pair): Promise<Pair> {
  const key = await makeKey(folder);
  const [caFile, caKeyFile] = [path.join(folder, 'ca.pem'), path.join(folder, 'ca.key')];
  writeFileSync(caFile, ca.certificate);
  writeFileSync(caKeyFile, ca.key, { mode: 0o600 });
  const names = dnsNames.map((name) => `DNS:${name}`).join(',');
  const extensions = [
    'basicConstraints=critical,CA:FALSE',
    'keyUsage=critical,digitalSignature,keyEncipherment',
    'extendedKeyUsage=serverAuth',
    `subjectAltName=critical,${names}`,
  ];
  const signing = ['-CA', caFile, '-CAkey', caKeyFile, '-days', '90'];
  const argv = ['openssl', 'req', '-x509', '-new', '-key', key, '-subj', '/', ...signing];
  const { stdout } = await runCommand('making a leaf', [
    ...argv,
    ...extensions.flatMap((it) => ['-addext', it]),
  ]);
  return { certificate: stdout, key: readFileSync(key, 'utf8') };
}
