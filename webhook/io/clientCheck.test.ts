/** Whose reviews are answered where an API server has to show a certificate. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import forge from 'node-forge';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { type IssuedPair, issueCa } from '../../certs/io/issue.ts';
import { createLogger } from '../../runtime/logger.ts';
import {
  type Certificates,
  createReview,
  issueCertificates,
  SERVER_NAME,
  send,
  startTestWebhook,
  type TestWebhook,
} from '../../test/lab/testWebhook.ts';
import { watchBundle } from './watchBundle.ts';

let certificates: Certificates;
let clientCa: IssuedPair;
let strangerCa: IssuedPair;
beforeAll(async () => {
  certificates = await issueCertificates();
  [clientCa, strangerCa] = [await issueCa(Date.now()), await issueCa(Date.now())];
});
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(): Promise<TestWebhook> {
  const webhook = await startTestWebhook(certificates, { clientNames: ['kube-apiserver', 'front.example'] });
  cleanups.push(webhook.end);
  webhook.server.useClientBundle(clientCa.certPem);
  return webhook;
}

interface Client {
  readonly name: string;
  readonly alternative?: string;
  readonly by?: 'stranger';
  readonly expired?: boolean;
}
function issueClient({ name, alternative, by, expired }: Client): IssuedPair {
  const ca = by === 'stranger' ? strangerCa : clientCa;
  const keys = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(keys.publicKey);
  certificate.serialNumber = '4242';
  const lastsMs = expired ? -1000 : 3_600_000;
  certificate.validity.notBefore = new Date(Date.now() - 7_200_000);
  certificate.validity.notAfter = new Date(Date.now() + lastsMs);
  certificate.setSubject([{ name: 'commonName', value: name }]);
  certificate.setIssuer(forge.pki.certificateFromPem(ca.certPem).subject.attributes);
  certificate.setExtensions([
    { name: 'extKeyUsage', clientAuth: true },
    ...(alternative === undefined
      ? []
      : [{ name: 'subjectAltName', altNames: [{ type: 2, value: alternative }] }]),
  ]);
  certificate.sign(forge.pki.privateKeyFromPem(ca.keyPem), forge.md.sha256.create());
  return { certPem: forge.pki.certificateToPem(certificate), keyPem: keys.privateKey };
}

function as(webhook: TestWebhook, client?: Client) {
  const pair = client === undefined ? undefined : issueClient(client);
  const agent = new Agent({
    ca: certificates.ca.certPem,
    servername: SERVER_NAME,
    ...(pair === undefined ? {} : { cert: pair.certPem, key: pair.keyPem }),
  });
  cleanups.push(() => agent.destroy());
  return { port: webhook.port, agent };
}
const body = JSON.stringify(createReview('u'));

test.each([
  { who: 'an API server by its common name', client: { name: 'kube-apiserver' }, status: 200 },
  { who: 'one by an alternative name', client: { name: 'x', alternative: 'front.example' }, status: 200 },
  { who: 'nobody', client: undefined, status: 403 },
  { who: 'another name of the same authority', client: { name: 'kubelet' }, status: 403 },
  { who: 'the name by another authority', client: { name: 'kube-apiserver', by: 'stranger' }, status: 403 },
  {
    who: 'the name in a certificate that has expired',
    client: { name: 'kube-apiserver', expired: true },
    status: 403,
  },
] as const)('$who is answered $status', async ({ client, status }) => {
  const webhook = await start();
  for (const endpoint of ['/validate', '/mutate'])
    expect((await send(as(webhook, client), endpoint, { body })).status).toBe(status);
});

test('probes and scrapes need no certificate', async () => {
  const webhook = await start();
  for (const address of ['/healthz', '/readyz', '/metrics'])
    expect((await send(as(webhook), address)).status).toBe(200);
});

test('a new bundle holds for new connections, also when the served certificate changes later', async () => {
  const webhook = await start();
  const stranger: Client = { name: 'kube-apiserver', by: 'stranger' };
  webhook.server.useClientBundle(strangerCa.certPem);
  expect((await send(as(webhook, stranger), '/validate', { body })).status).toBe(200);
  webhook.server.useCertificate(certificates.leaf);
  expect((await send(as(webhook, stranger), '/validate', { body })).status).toBe(200);
  expect((await send(as(webhook, { name: 'kube-apiserver' }), '/validate', { body })).status).toBe(403);
});

test('the bundle is followed in its file, and a file that is damaged later changes nothing', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-bundle-'));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'ca.crt');
  const logger = createLogger({ program: 'test', level: 'error', write: () => {} });
  const given: string[] = [];
  const watch = () => watchBundle({ path: file, logger, onBundle: (pem) => void given.push(pem) });
  expect(watch).toThrow();
  writeFileSync(file, 'no certificate');
  expect(watch).toThrow();
  writeFileSync(file, clientCa.certPem);
  const bundle = watch();
  cleanups.push(bundle.stop);
  bundle.check();
  writeFileSync(file, '');
  bundle.check();
  writeFileSync(file, strangerCa.certPem);
  bundle.check();
  expect(given).toEqual([clientCa.certPem, strangerCa.certPem]);
});
