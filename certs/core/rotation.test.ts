import { expect, test } from 'vitest';
import {
  CA_LIFETIME_MS,
  CA_RENEW_BEFORE_MS,
  type CaFacts,
  decideRotation,
  LEAF_LIFETIME_MS,
  LEAF_RENEW_BEFORE_MS,
  type LeafFacts,
  type RotationStep,
  type SecretFacts,
  TRUSTED_CAS_MAX,
} from './rotation.ts';

const NOW = 1_700_000_000_000;
const HOUR = 3_600_000;
const ca = (change: Partial<CaFacts> = {}): CaFacts => ({
  notBeforeMs: NOW - HOUR,
  notAfterMs: NOW + CA_LIFETIME_MS,
  canSign: true,
  ...change,
});
const leaf = (change: Partial<LeafFacts> = {}): LeafFacts => ({
  notBeforeMs: NOW - HOUR,
  notAfterMs: NOW + LEAF_LIFETIME_MS,
  signedByCa: true,
  keyMatches: true,
  missingNames: [],
  ...change,
});
const expiringCa = ca({ notAfterMs: NOW + CA_RENEW_BEFORE_MS });
const goneCa = ca({ notAfterMs: NOW });

const CA_STATES = {
  sound: ca(),
  'without key': ca({ canSign: false }),
  'in the future': ca({ notBeforeMs: NOW + 1 }),
  'about to expire': expiringCa,
  expired: goneCa,
} as const;
const LEAF_STATES = {
  sound: leaf(),
  unreadable: undefined,
  'with a foreign key': leaf({ keyMatches: false }),
  'signed by a stranger': leaf({ signedByCa: false }),
  'for another service': leaf({ missingNames: ['sallyport-webhook.prod.svc'] }),
  'in the future': leaf({ notBeforeMs: NOW + 1 }),
  'about to expire': leaf({ notAfterMs: NOW + LEAF_RENEW_BEFORE_MS }),
  expired: leaf({ notAfterMs: NOW - 1 }),
} as const;
type CaState = keyof typeof CA_STATES;
type LeafState = keyof typeof LEAF_STATES;

function expected(caState: CaState, leafState: LeafState): RotationStep['kind'] {
  if (caState !== 'sound') return 'issue-ca';
  return leafState === 'sound' ? 'keep' : 'issue-leaf';
}

function present(caFacts: CaFacts, leafFacts: LeafFacts | undefined): SecretFacts {
  return { kind: 'present', cas: [caFacts], ...(leafFacts === undefined ? {} : { leaf: leafFacts }) };
}

const rows = (Object.keys(CA_STATES) as CaState[]).flatMap((caState) =>
  (Object.keys(LEAF_STATES) as LeafState[]).map((leafState) => ({ caState, leafState })),
);

test.each(rows)('a CA $caState and a leaf $leafState', ({ caState, leafState }) => {
  const step = decideRotation(present(CA_STATES[caState], LEAF_STATES[leafState]), NOW);
  expect(step.kind).toBe(expected(caState, leafState));
});

test('the table reaches every step', () => {
  const reached = new Set(rows.map(({ caState, leafState }) => expected(caState, leafState)));
  expect([...reached].sort()).toEqual(['issue-ca', 'issue-leaf', 'keep']);
});

test.each([
  { name: 'absent', facts: { kind: 'absent' } as const },
  { name: 'damaged', facts: { kind: 'damaged', reason: 'tls.key is missing' } as const },
])('a Secret that is $name starts anew and trusts nothing of it', ({ facts }) => {
  expect(decideRotation(facts, NOW)).toMatchObject({ kind: 'issue-ca', trust: [] });
});

test('a leaf is renewed exactly when a third of its life is left', () => {
  const facts = present(ca(), leaf({ notAfterMs: NOW + LEAF_RENEW_BEFORE_MS + 1 }));
  expect(decideRotation(facts, NOW)).toEqual({ kind: 'keep', renewAtMs: NOW + 1 });
  expect(decideRotation(facts, NOW + 1).kind).toBe('issue-leaf');
});

test('a CA that is replaced in time stays trusted, an expired one does not', () => {
  const step = decideRotation({ kind: 'present', cas: [expiringCa, goneCa, ca()], leaf: leaf() }, NOW);
  expect(step).toMatchObject({ kind: 'issue-ca', trust: [0, 2] });
});

test('a CA without its key stays trusted while replicas may serve its leaves', () => {
  expect(decideRotation(present(ca({ canSign: false }), leaf()), NOW)).toMatchObject({ trust: [0] });
});

test('the bundle never grows past its bound', () => {
  const cas = [expiringCa, ...Array.from({ length: 8 }, () => ca())] as const;
  const step = decideRotation(
    { kind: 'present', cas: [...cas] as [CaFacts, ...CaFacts[]], leaf: leaf() },
    NOW,
  );
  if (step.kind !== 'issue-ca') throw new Error(`unexpected ${step.kind}`);
  expect(step.trust).toHaveLength(TRUSTED_CAS_MAX - 1);
});

test('a leaf signed today never outlives a CA that is kept today', () => {
  expect(CA_RENEW_BEFORE_MS).toBeGreaterThan(LEAF_LIFETIME_MS);
});
