/** What each kind of request is answered: reviews that are decided, that are denied unread, and what gets no verdict. */
import { gzipSync } from 'node:zlib';
import { afterEach, beforeAll, expect, test } from 'vitest';
import {
  type Certificates,
  createReview,
  issueCertificates,
  metricLine,
  send,
  startTestWebhook,
  type TestWebhook,
  type TestWebhookOptions,
} from '../../test/lab/testWebhook.ts';
import { REFUSALS, type Refusal } from '../core/refusal.ts';
import { DEPTH_MAX } from '../core/scanReview.ts';
import { BODY_BYTES_MAX } from './readBody.ts';

let certificates: Certificates;
beforeAll(async () => {
  certificates = await issueCertificates();
});
const running: TestWebhook[] = [];
afterEach(async () => {
  for (const webhook of running.splice(0)) await webhook.end();
});
async function start(options: TestWebhookOptions = {}): Promise<TestWebhook> {
  const webhook = await startTestWebhook(certificates, options);
  running.push(webhook);
  return webhook;
}
const text = (uid: string, cidr?: string): string => JSON.stringify(createReview(uid, cidr));

test('a denial is a 200 with the uid, code 403 and the reason', async () => {
  const webhook = await start();
  const answer = await send(webhook, '/validate?timeout=10s', { body: text('uid-7') });
  expect(answer.status).toBe(200);
  expect(JSON.parse(answer.body)).toMatchObject({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: {
      uid: 'uid-7',
      allowed: false,
      status: { code: 403, message: expect.stringContaining('(pool-unroutable)') },
    },
  });
  expect(await metricLine(webhook, 'sallyport_webhook_decisions_total{')).toContain('operation="CREATE"} 1');
});

test('defaults come as a JSON patch, and mutation needs no facts', async () => {
  const webhook = await start();
  webhook.world.facts = { kind: 'waiting', reason: 'nodes' };
  const answer = await send(webhook, '/mutate', { body: text('uid-8', '203.0.113.10') });
  const { response } = JSON.parse(answer.body);
  expect(response).toMatchObject({ uid: 'uid-8', allowed: true, patchType: 'JSONPatch' });
  const patch = JSON.parse(Buffer.from(response.patch, 'base64').toString());
  expect(patch).toContainEqual(
    expect.objectContaining({ path: expect.stringMatching(/strategy$/), value: 'Distribute' }),
  );
});

const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);
const deep = (levels: number): string =>
  text('uid-9').replace('"metadata":{', `"metadata":{"x":${nested(levels)},`);
/** The review, its request and the object are around `metadata`. */
const LEVELS_AROUND = 4;

test.each([
  { name: 'a review that breaks off', body: text('uid-9').slice(0, -10), reason: 'syntax', status: 200 },
  {
    name: 'one that is not UTF-8',
    body: Buffer.from(`${text('uid-9')}\xff`, 'latin1'),
    reason: 'syntax',
    status: 200,
  },
  { name: 'one that nests too deep', body: deep(DEPTH_MAX), reason: 'too-deep', status: 200 },
  { name: 'one that nests a million deep', body: deep(1_000_000), reason: 'too-deep', status: 200 },
  {
    name: 'one without object',
    body: text('uid-9').replace('"object"', '"thing"'),
    reason: 'review',
    status: 200,
  },
  {
    name: 'an object of another kind than the request says',
    body: text('uid-9').replace('"sallyport.dev/v1alpha1"', '"sallyport.dev/v2"'),
    reason: 'review',
    status: 200,
  },
  {
    name: 'another version of reviews',
    body: text('uid-9').replace('admission.k8s.io/v1', 'admission.k8s.io/v1beta1'),
    reason: 'version',
    status: 400,
  },
] as const)('$name is denied under its uid', async ({ body, reason, status }) => {
  const webhook = await start();
  for (const path of ['/validate', '/mutate']) {
    const answer = await send(webhook, path, { body });
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body)).toMatchObject({
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      response: { uid: 'uid-9', allowed: false, status: { code: 400, reason: 'BadRequest' } },
    });
  }
  expect(await metricLine(webhook, `sallyport_webhook_malformed_total{reason="${reason}"}`)).toMatch(/ 2$/);
});

test('a review that nests as deep as is allowed is decided', async () => {
  const answer = await send(await start(), '/validate', { body: deep(DEPTH_MAX - LEVELS_AROUND) });
  expect(JSON.parse(answer.body).response.status.message).toContain('(pool-unroutable)');
});

interface Refused {
  readonly path?: string;
  readonly sent?: Parameters<typeof send>[2];
  readonly ready?: boolean;
  readonly limits?: TestWebhookOptions['limits'];
  readonly clientNames?: readonly string[];
  readonly broken?: boolean;
}
const ok = { body: text('u') };
const typed = (type: string): Refused => ({ sent: { ...ok, headers: { 'content-type': type } } });
/** Every kind of refusal has a case, or several. */
const REFUSED: Readonly<Record<Refusal, readonly Refused[]>> = {
  syntax: [{ sent: { body: '{' } }, { sent: { body: '' } }, { sent: { body: '\u0000' } }],
  'too-deep': [{ sent: { body: nested(DEPTH_MAX + 1) } }],
  review: [{ sent: { body: '{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}' } }],
  version: [{ sent: { body: '{}' } }, { sent: { body: '[]' } }, { sent: { body: 'null' } }],
  client: [{ sent: ok, clientNames: ['kube-apiserver'] }],
  'no-route': [{ path: '/' }, { path: '/validate/x', sent: ok }, { path: '/%ff', sent: ok }],
  method: [{}, { sent: { ...ok, method: 'PUT' } }, { path: '/mutate', sent: { method: 'DELETE' } }],
  'too-large': [
    { sent: { body: JSON.stringify('x'.repeat(BODY_BYTES_MAX)) } },
    { sent: { body: ['"', 'x'.repeat(BODY_BYTES_MAX), '"'] } },
  ],
  'content-type': [
    typed('text/plain'),
    typed('application/json-patch+json'),
    typed('application/json; charset=utf-16'),
    { sent: { body: gzipSync(text('u')), headers: { 'content-encoding': 'gzip' } } },
  ],
  busy: [{ sent: ok, limits: { requestsMax: 0 } }],
  internal: [{ sent: ok, broken: true }],
  'not-ready': [{ sent: ok, ready: false }],
  late: [{ path: '/validate?timeout=0s', sent: ok }],
};
const cases = Object.entries(REFUSED).flatMap(([reason, list]) =>
  list.map((refused, at) => ({ name: `${reason} (${at + 1})`, reason: reason as Refusal, ...refused })),
);
test.each(cases)('$name is a Status that says so, is counted, and the server lives on', async (refused) => {
  const { limits, clientNames, reason } = refused;
  const webhook = await start({
    ...(limits === undefined ? {} : { limits }),
    ...(clientNames === undefined ? {} : { clientNames }),
  });
  if (refused.ready === false) webhook.world.facts = { kind: 'waiting', reason: 'nodes are not synced' };
  if (refused.broken) Object.defineProperty(webhook.world, 'facts', { get: () => JSON.parse('broken') });
  const answer = await send(webhook, refused.path ?? '/validate', refused.sent);
  const { code, reason: kubernetesReason, retryAfterS } = REFUSALS[reason];
  expect(answer.status).toBe(code);
  expect(JSON.parse(answer.body)).toMatchObject({
    apiVersion: 'v1',
    kind: 'Status',
    status: 'Failure',
    code,
    reason: kubernetesReason,
    message: expect.stringMatching(/\w/),
  });
  expect(answer.headers['retry-after']).toBe(retryAfterS?.toString());
  expect(await metricLine(webhook, `sallyport_webhook_malformed_total{reason="${reason}"}`)).toMatch(/ 1$/);
  expect((await send(webhook, '/healthz')).status).toBe(200);
});

test.each(['application/json', 'application/json; charset=utf-8', 'Application/JSON;charset="UTF-8"'])(
  '%s is JSON',
  async (type) => {
    expect(
      (await send(await start(), '/validate', { ...ok, headers: { 'content-type': type } })).status,
    ).toBe(200);
  },
);

test('a review far over the default of body parsers is decided', async () => {
  const large: Record<string, unknown> = createReview('uid-9');
  large.note = 'x'.repeat(6 * 1024 * 1024);
  const answer = await send(await start(), '/validate', { body: JSON.stringify(large) });
  expect(JSON.parse(answer.body).response.uid).toBe('uid-9');
});

test('a flood of bad requests fills no log, and what was left out is said', async () => {
  const lines: string[] = [];
  const webhook = await start({ write: (line) => void lines.push(line) });
  for (let sent = 0; sent < 100; sent += 1) await send(webhook, '/validate', { body: '{' });
  expect(lines.length).toBeGreaterThan(0);
  expect(lines.length).toBeLessThan(100);
});
