/** The webhook's certificates at a real API server, with the rights that the chart gives: rotation under load, and disasters. */
import { X509Certificate } from 'node:crypto';
import { connect } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type IssuedPair, issueCa, issueLeaf } from '../../certs/io/issue.ts';
import { CERTIFICATES_ANNOTATION } from '../../policy/names.ts';
import { waitUntil } from '../cluster/waitUntil.ts';
import {
  CERT_SECRET,
  type CertificateGround,
  openCertificateGround,
  WEBHOOK,
} from '../soak/certificateGround.ts';
import { rotateBoth, type SoakReport, underLoad } from '../soak/rotateUnderLoad.ts';
import { installCertManagerKinds, startCertManagerStandIn } from './certManagerStandIn.ts';
import {
  createConfigurations,
  HOST,
  must,
  NAMESPACE,
  type WebhookProgram,
  waitUntilInForce,
} from './webhookProgram.ts';

/** What CI has time for; `npm run soak` does it twenty times. */
const ROTATIONS = 3;
const SECRETS = `/api/v1/namespaces/${NAMESPACE}/secrets`;
const SETTLED = { timeoutMs: 90_000 };

let ground: CertificateGround;

beforeAll(async () => {
  ground = await openCertificateGround((line) => console.log(line));
}, 1_800_000);
afterAll(async () => {
  await ground?.stop();
});

interface Status {
  readonly mode: string;
  readonly phase: string;
  readonly problems: readonly string[];
  readonly certificates: readonly { readonly role: string; readonly id: string }[];
  readonly webhooks: readonly { readonly trustsLeaf: string }[];
  readonly replicas: readonly {
    readonly name: string;
    readonly current: boolean;
    readonly trusts: boolean;
  }[];
}

async function status(): Promise<Status> {
  const { out, err } = await ground.sallyport('certs', 'status', '-o', 'json');
  if (out === '') throw new Error(err);
  return JSON.parse(out) as Status;
}

const idOf = ({ certificates }: Status, role: string) => certificates.find((it) => it.role === role)?.id;

function isSettled({ phase, problems, replicas }: Status): boolean {
  const all = replicas.length === 2 && replicas.every(({ current, trusts }) => current && trusts);
  return phase === 'settled' && problems.length === 0 && all;
}

/** With another CA than before, where one is named. */
async function untilSettled(before?: Status): Promise<Status> {
  return waitUntil(
    'the certificates to have settled',
    async () => {
      const now = await status();
      const isOther = before === undefined || idOf(now, 'signs') !== idOf(before, 'signs');
      return isSettled(now) && isOther ? now : undefined;
    },
    SETTLED,
  );
}

function expectNothingLost({ load, handshakes, handshakeFailures }: SoakReport): void {
  console.log(`${load.allowed} allowed, ${load.denied} denied, ${handshakes} new connections`);
  expect([...load.failures, ...handshakeFailures]).toEqual([]);
  expect(load.allowed).toBeGreaterThan(20);
  expect(load.denied).toBeGreaterThan(10);
  expect(handshakes).toBeGreaterThan(20);
}

test(`CA and leaf rotate ${ROTATIONS} times at fifty creates a second, and no review is lost`, async () => {
  const before = await status();
  const report = await underLoad(ground, async () => {
    for (let turn = 0; turn < ROTATIONS; turn += 1) await rotateBoth(ground);
  });
  expectNothingLost(report);
  const after = await untilSettled(before);
  expect(after).toMatchObject({
    mode: 'selfManaged',
    webhooks: [{ trustsLeaf: 'yes' }, { trustsLeaf: 'yes' }],
  });
  expect(after.certificates.map(({ role }) => role)).toEqual(['leaf', 'signs']);
  const text = await ground.sallyport('certs', 'status');
  expect(text).toMatchObject({ code: 0, err: '' });
  expect(text.out).toMatch(new RegExp(`^selfManaged: Secret ${NAMESPACE}/${CERT_SECRET}, settled since `));
  expect(text.out).not.toContain('PRIVATE KEY');
}, 300_000);

test('a rotation that is asked for by hand is taken up, and a bundle that was taken away comes back', async () => {
  const before = await status();
  const remove = JSON.stringify([{ op: 'remove', path: '/webhooks/0/clientConfig/caBundle' }]);
  await ground.kubectl('patch', 'validatingwebhookconfiguration', WEBHOOK, '--type=json', '-p', remove);
  expect((await status()).webhooks.map(({ trustsLeaf }) => trustsLeaf)).toContain('unset');
  const secret = ['-n', NAMESPACE, 'secret', CERT_SECRET];
  await ground.kubectl('annotate', ...secret, 'sallyport.dev/rotate=ca');
  const after = await untilSettled(before);
  expect(after.webhooks.map(({ trustsLeaf }) => trustsLeaf)).toEqual(['yes', 'yes']);
  const left = await ground.kubectl('get', ...secret, '-o', 'jsonpath={.metadata.annotations}');
  expect(left).not.toContain('sallyport.dev/rotate');
}, 120_000);

test('a Secret that is damaged, half-written or deleted is repaired, and no review is lost', async () => {
  const before = await status();
  const patch = (data: object) =>
    ground.kubectl(
      'patch',
      '-n',
      NAMESPACE,
      'secret',
      CERT_SECRET,
      '--type=merge',
      '-p',
      JSON.stringify({ data }),
    );
  const report = await underLoad(ground, async () => {
    for (const data of [{ 'tls.key': '' }, { 'ca.crt': 'bm8=', 'ca.key': null }, { 'tls.crt': 'bm8=' }]) {
      await patch(data);
      await untilSettled();
    }
    await ground.kubectl('delete', '-n', NAMESPACE, 'secret', CERT_SECRET);
    await untilSettled(before);
  });
  expectNothingLost(report);
}, 300_000);

async function issue(): Promise<{ readonly ca: IssuedPair; readonly leaf: IssuedPair }> {
  const ca = await issueCa(Date.now(), 'our-authority');
  return { ca, leaf: await issueLeaf(ca, [HOST, `${HOST}.${NAMESPACE}.svc`], Date.now()) };
}
const encode = (text: string): string => Buffer.from(text).toString('base64');

test("a user's own Secret is followed when it changes, is never written, and the rights suffice", async () => {
  const [first, second] = await Promise.all([issue(), issue()]);
  const secretOf = ({ ca, leaf }: typeof first) => ({
    ...{ apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/tls', metadata: { name: 'ours' } },
    data: { 'tls.crt': encode(leaf.certPem), 'tls.key': encode(leaf.keyPem), 'ca.crt': encode(ca.certPem) },
  });
  must(await ground.client.create(SECRETS, secretOf(first)));
  const mode = 'webhook.certificates.mode=existingSecret';
  const granted = await ground.grant({
    release: 'other',
    values: [mode, 'webhook.certificates.existingSecret.name=ours'],
  });
  const program = await ground.startProgram('other-0', granted, {
    ...{ CERT_MODE: 'existingSecret', CERT_SECRET: 'ours' },
    ...{ VALIDATING_CONFIGURATION: 'other-webhook', MUTATING_CONFIGURATION: 'other-webhook' },
  });
  await createConfigurations(ground.client, program.port, {
    name: 'other-webhook',
    annotations: { [CERTIFICATES_ANNOTATION]: `existingSecret ${NAMESPACE}/ours` },
  });
  const bundle = async (): Promise<string> => {
    const argv = ['get', 'validatingwebhookconfiguration', 'other-webhook', '-o'];
    const text = await ground.kubectl(...argv, 'jsonpath={.webhooks[0].clientConfig.caBundle}');
    return Buffer.from(text, 'base64').toString();
  };
  const serving = () => program.log().split('"serving a certificate"').length - 1;
  await waitUntil('the bundle', async () => (await bundle()).includes(first.ca.certPem.trim()) || undefined);
  const report = await underLoad(ground, async () => {
    const { data } = secretOf(second);
    must(await ground.client.mergePatch(`${SECRETS}/ours`, { data }));
    await waitUntil('the new leaf', async () => serving() === 2 || undefined);
  });
  expectNothingLost(report);
  expect(await bundle()).toContain(second.ca.certPem.trim());
  expect(must(await ground.client.get(`${SECRETS}/ours`))).toMatchObject({ data: secretOf(second).data });
  await leave(program, 'other-webhook');
}, 120_000);

test('what cert-manager writes is served with the rights for that mode, and a renewal loses no review', async () => {
  await installCertManagerKinds(ground.client);
  const granted = await ground.grant({
    release: 'managed',
    values: ['webhook.certificates.mode=certManager'],
    templates: ['certificates'],
  });
  const name = 'managed-webhook';
  const certificate = `/apis/cert-manager.io/v1/namespaces/${NAMESPACE}/certificates/${name}-cert`;
  // The API server reaches this one by another name than a Service's.
  const dnsNames = [`${name}.${NAMESPACE}.svc`, HOST];
  must(await ground.client.mergePatch(certificate, { spec: { dnsNames } }));
  const certManager = startCertManagerStandIn(ground.client, NAMESPACE);
  try {
    const program = await ground.startProgram('managed-0', granted, {
      ...{ CERT_MODE: 'certManager', CERT_SECRET: `${name}-cert`, WEBHOOK_SERVICE: name },
      ...{ VALIDATING_CONFIGURATION: name, MUTATING_CONFIGURATION: name },
    });
    await createConfigurations(ground.client, program.port, {
      name,
      annotations: {
        [CERTIFICATES_ANNOTATION]: `certManager ${NAMESPACE}/${name}-cert`,
        'cert-manager.io/inject-ca-from': `${NAMESPACE}/${name}-cert`,
      },
    });
    const serving = () => program.log().split('"serving a certificate"').length - 1;
    expect(serving()).toBe(0);
    await certManager.issueAll();
    await waitUntil('the first leaf', async () => serving() === 1 || undefined);
    const first = await certManager.secret(`${name}-cert`);
    await waitUntilInForce(ground.client);
    const report = await underLoad(ground, async () => {
      await certManager.renew(`${name}-cert`);
      await waitUntil('the renewed leaf', async () => serving() === 2 || undefined);
    });
    expectNothingLost(report);
    const second = await certManager.secret(`${name}-cert`);
    expect(second['ca.crt']).toBe(first['ca.crt']);
    expect(await servedBy(program.port)).toBe(new X509Certificate(second['tls.crt']).fingerprint256);
    // Neither the Secret nor a bundle is the webhook's to write: it did not try.
    expect(program.log()).not.toContain('forbidden');
    await leave(program, name);
  } finally {
    certManager.stop();
  }
}, 120_000);

/** Nobody is asked there any more. */
async function leave(program: WebhookProgram, configuration: string): Promise<void> {
  for (const kind of ['validatingwebhookconfiguration', 'mutatingwebhookconfiguration'])
    await ground.kubectl('delete', kind, configuration);
  await program.stop();
}

/** The fingerprint of the leaf that a new connection is shown. */
function servedBy(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: HOST, port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
    socket.once('error', reject);
  });
}
