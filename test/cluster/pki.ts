import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from './command.ts';
import { type ClusterNode, CONTROL_PLANE_ADDRESS } from './topology.ts';

/** A test cluster never lives this long, and a forgotten key is worthless soon. */
const VALID_DAYS = '30';
const STEP = 'issuing certificates';

interface CertificateRequest {
  readonly name: string;
  readonly subject: string;
  readonly alternativeNames?: string;
}

const COMPONENTS: readonly CertificateRequest[] = [
  {
    name: 'apiserver',
    subject: '/CN=kube-apiserver',
    alternativeNames: `IP:${CONTROL_PLANE_ADDRESS},IP:10.96.0.1,IP:127.0.0.1,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost`,
  },
  { name: 'kubelet-client', subject: '/O=system:masters/CN=apiserver-kubelet-client' },
  { name: 'admin', subject: '/O=system:masters/CN=admin' },
  { name: 'controller-manager', subject: '/CN=system:kube-controller-manager' },
  { name: 'scheduler', subject: '/CN=system:kube-scheduler' },
  { name: 'proxy', subject: '/CN=system:kube-proxy' },
];

async function issue(folder: string, request: CertificateRequest): Promise<void> {
  const { name, subject, alternativeNames } = request;
  const extensions = [
    'basicConstraints=CA:FALSE',
    'keyUsage=digitalSignature,keyEncipherment',
    'extendedKeyUsage=serverAuth,clientAuth',
    ...(alternativeNames === undefined ? [] : [`subjectAltName=${alternativeNames}`]),
  ];
  const added = extensions.flatMap((extension) => ['-addext', extension]);
  const key = [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-keyout',
    `${name}.key`,
  ];
  const signing = ['-x509', '-CA', 'ca.crt', '-CAkey', 'ca.key', '-days', VALID_DAYS, '-out', `${name}.crt`];
  await runCommand(STEP, ['openssl', 'req', '-new', ...signing, ...key, '-subj', subject, ...added], {
    cwd: folder,
  });
}

/** Makes `<folder>/<name>.crt` and `.key` for every component and node, the CA, and the service account key pair. */
export async function issueCertificates(folder: string, nodes: readonly ClusterNode[]): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const options = { cwd: folder };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', 'ca.key'];
  const authority = ['-x509', '-days', VALID_DAYS, '-subj', '/CN=sallyport-test-ca', '-out', 'ca.crt'];
  await runCommand(STEP, ['openssl', 'req', '-new', ...authority, ...key], options);
  const serviceAccountKey = async (): Promise<void> => {
    await runCommand(STEP, ['openssl', 'genrsa', '-out', 'service-account.key', '2048'], options);
    const out = ['-pubout', '-out', 'service-account.pub'];
    await runCommand(STEP, ['openssl', 'rsa', '-in', 'service-account.key', ...out], options);
  };
  const requests = [...COMPONENTS, ...nodes.map(nodeRequest)];
  await Promise.all([serviceAccountKey(), ...requests.map((request) => issue(folder, request))]);
}

function nodeRequest({ name, address }: ClusterNode): CertificateRequest {
  const subject = `/O=system:nodes/CN=system:node:${name}`;
  return { name, subject, alternativeNames: `IP:${address},DNS:${name}` };
}

/** For a node that was not there when the others' were made. */
export function issueNodeCertificate(folder: string, node: ClusterNode): Promise<void> {
  return issue(folder, nodeRequest(node));
}

export async function writeKubeconfig(
  destination: string,
  options: { readonly server: string; readonly pkiFolder: string; readonly certificate: string },
): Promise<void> {
  const file = (name: string): string => join(options.pkiFolder, name);
  const { certificate } = options;
  const user = { 'client-certificate': file(`${certificate}.crt`), 'client-key': file(`${certificate}.key`) };
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name: 'test', cluster: { server: options.server, 'certificate-authority': file('ca.crt') } },
    ],
    users: [{ name: 'test', user }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    'current-context': 'test',
  };
  await writeFile(destination, JSON.stringify(kubeconfig, null, 2), { mode: 0o600 });
}
