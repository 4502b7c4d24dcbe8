/** A few hundred fuzzed reviews of a fixed seed, and proof that the judge of the answers finds what it is there to find. */
import { expect, test } from 'vitest';
import { judgeReply } from '../fuzz/judgeReply.ts';
import { manifest } from '../fuzz/offline.ts';
import { runCases } from '../fuzz/runCases.ts';

const SEED = 20_260_731;
const CASES = 150;

test('no fuzzed review crashes the server, hangs it, or is allowed although it is wrong', async () => {
  const report = await runCases({ seed: SEED, from: 0, goOn: (cases) => cases < CASES });
  const replay = `npm run fuzz -- --seed ${SEED} --case ${report.failure?.at}`;
  expect(report.failure?.problem, replay).toBeUndefined();
  for (const outcome of ['allowed', 'denied', 'HTTP 400']) expect(report.answers[outcome]).toBeGreaterThan(0);
}, 60_000);

function asked(cidr: string, path = '/validate') {
  const request = {
    uid: 'u',
    kind: { group: 'sallyport.dev', version: 'v1alpha1', kind: 'EgressPolicy' },
    operation: 'CREATE',
    object: manifest('EgressPolicy', 'mine', [cidr]),
  };
  const review = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request };
  return { path, body: Buffer.from(JSON.stringify(review)) };
}
function answered(response: object, status = 200) {
  const review = {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: { uid: 'u', ...response },
  };
  return { status, type: 'application/json; charset=utf-8', body: JSON.stringify(review) };
}
const denial = (message: string, code = 403) => ({ allowed: false, status: { code, message } });
const patched = (patch: unknown) => ({
  allowed: true,
  patchType: 'JSONPatch',
  patch: Buffer.from(JSON.stringify(patch)).toString('base64'),
});
const right = '203.0.113.10/32';
const wrong = '192.0.2.1/32';

test.each([
  { name: 'a right one allowed', request: asked(right), answer: answered({ allowed: true }) },
  { name: 'a wrong one denied', request: asked(wrong), answer: answered(denial('it is wrong')) },
])('$name is as it should be', ({ request, answer }) => {
  expect(judgeReply(request, answer)).toBeUndefined();
});

test.each([
  { name: 'a wrong one allowed', request: asked(wrong), answer: answered({ allowed: true }) },
  { name: 'a right one denied', request: asked(right), answer: answered(denial('no')) },
  { name: 'another uid', request: asked(right), answer: answered({ allowed: true, uid: 'v' }) },
  { name: 'a denial without words', request: asked(wrong), answer: answered(denial('')) },
  { name: 'a denial that controllers retry', request: asked(wrong), answer: answered(denial('no', 409)) },
  {
    name: 'a long warning',
    request: asked(right),
    answer: answered({ allowed: true, warnings: ['x'.repeat(121)] }),
  },
  {
    name: 'a warning with a line break',
    request: asked(right),
    answer: answered({ allowed: true, warnings: ['a\nb'] }),
  },
  { name: 'a crash', request: asked(right), answer: answered({ allowed: true }, 500) },
  { name: 'a page', request: asked(right), answer: { ...answered({ allowed: true }), type: 'text/html' } },
  { name: 'half an answer', request: asked(right), answer: { ...answered({}), body: '{"kind":' } },
  {
    name: 'a patch that leaves something to do',
    request: asked('203.0.113.10', '/mutate'),
    answer: answered(patched([{ op: 'add', path: '/spec/egressGateway/affinity', value: 'Pod' }])),
  },
])('$name is found', ({ request, answer }) => {
  expect(judgeReply(request, answer)).toBeTypeOf('string');
});
