/** The webhook's half of the corpus that test/contract puts through a real API server: the same verdicts, at once. */
import { expect, test } from 'vitest';
import { UNKNOWN_FACTS } from '../../../policy/facts.ts';
import { parseGatewayNodeFacts, parseNode } from '../../../policy/parseFacts.ts';
import { parsePolicy } from '../../../policy/parsePolicy.ts';
import { decideAdmission, parseReview } from '../../../webhook/core/review.ts';
import { createSnapshot } from '../../../webhook/core/snapshot.ts';
import { CORPUS, TAKEN } from '../../contract/admissionCorpus.ts';
import { GATEWAY_NODE_STATUS, GATEWAY_OBJECT } from '../../contract/webhookProgram.ts';

function snapshot() {
  const [taken, node] = [parsePolicy(TAKEN, 'EgressPolicy'), parseNode(GATEWAY_OBJECT)];
  const report = parseGatewayNodeFacts({ metadata: GATEWAY_OBJECT.metadata, status: GATEWAY_NODE_STATUS });
  if (taken.kind === 'refused' || node === undefined || report === undefined)
    throw new Error('the fixture is unsound');
  return createSnapshot({
    ...UNKNOWN_FACTS,
    policies: [taken.value],
    nodes: [node],
    gateways: [report],
    networks: [],
    loadBalancers: [],
    egressIps: [],
    pods: [],
    namespaces: [],
    ciliumPolicies: [],
  });
}

test.each(CORPUS)('$name: refused by $by', ({ by, code, object }) => {
  const { apiVersion, kind } = object as { readonly apiVersion: string; readonly kind: string };
  const [group, version] = apiVersion.split('/');
  const request = { uid: 'u', kind: { group, version, kind }, operation: 'CREATE', name: 'case', object };
  const review = parseReview({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request });
  if (review.kind === 'refused') throw new Error(review.error);
  const { allowed, message } = decideAdmission(review.value, snapshot());
  expect(allowed).toBe(by === 'nobody');
  if (code !== undefined) expect(message).toContain(`(${code})`);
  if (by === 'completed') expect(message).toContain('(cidr-syntax)');
});
