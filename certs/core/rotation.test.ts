import { describe, expect, test } from 'vitest';
import { SILENT_MS } from './awaitReplicas.ts';
import { isWhole } from './readEvent.ts';
import {
  decideRotation,
  decideStep,
  ROTATION_EVENTS,
  ROTATION_STATES,
  ROTATION_STEPS,
  type RotationEvent,
  type RotationState,
  type RotationStep,
} from './rotation.ts';
import {
  CA_LIFETIME_MS,
  CA_RENEW_BEFORE_MS,
  type CaFacts,
  type KnownRotation,
  LEAF_LIFETIME_MS,
  LEAF_RENEW_BEFORE_MS,
  type LeafFacts,
  type PresentFacts,
  plausibleMs,
  type ReplicaFacts,
  VALID_SINCE_MS,
} from './rotationFacts.ts';

const NOW = 1_900_000_000_000;
const DAY_MS = 86_400_000;
const PROPAGATION_MS = 30_000;

type Row = Readonly<Record<RotationEvent, RotationStep>>;
const lost: Row = {
  ...(Object.fromEntries(ROTATION_EVENTS.map((event) => [event, 'make'])) as Row),
  remembered: 'restore',
};

/** Every state × every event. A new one of either without a row or a column does not compile. */
const TABLE: Readonly<Record<RotationState, Row>> = {
  absent: lost,
  foreign: lost,
  damaged: lost,
  settled: {
    remembered: 'restore',
    'all-unusable': 'make',
    'leaf-unusable': 'renew-leaf',
    confirmed: 'keep',
    outlived: 'keep',
    'ca-unusable': 'publish-ca',
    'leaf-due': 'renew-leaf',
    'ca-due': 'publish-ca',
    'ca-asked': 'publish-ca',
    'leaf-asked': 'renew-leaf',
    unnoted: 'note',
    quiet: 'keep',
  },
  publishing: {
    remembered: 'restore',
    'all-unusable': 'sign-by-next',
    'leaf-unusable': 'renew-leaf',
    confirmed: 'sign-by-next',
    outlived: 'keep',
    'ca-unusable': 'keep',
    'leaf-due': 'renew-leaf',
    'ca-due': 'keep',
    'ca-asked': 'keep',
    'leaf-asked': 'renew-leaf',
    unnoted: 'note',
    quiet: 'keep',
  },
  retiring: {
    remembered: 'restore',
    'all-unusable': 'make',
    'leaf-unusable': 'renew-leaf',
    confirmed: 'retire',
    outlived: 'retire',
    'ca-unusable': 'publish-ca',
    'leaf-due': 'renew-leaf',
    'ca-due': 'publish-ca',
    'ca-asked': 'keep',
    'leaf-asked': 'renew-leaf',
    unnoted: 'note',
    quiet: 'keep',
  },
};

describe.each(ROTATION_STATES)('a Secret that is %s', (state) => {
  test.each(ROTATION_EVENTS)('and then: %s', (event) => {
    expect(decideStep(state, event)).toBe(TABLE[state][event]);
  });
});

test('the table reaches every step', () => {
  const reached = new Set(Object.values(TABLE).flatMap((row) => Object.values(row)));
  expect([...reached].toSorted()).toEqual([...ROTATION_STEPS].toSorted());
});

const ca = (change: Partial<CaFacts> = {}): CaFacts => ({
  notBeforeMs: VALID_SINCE_MS,
  notAfterMs: NOW + CA_LIFETIME_MS,
  canSign: true,
  ...change,
});
const leaf = (change: Partial<LeafFacts> = {}): LeafFacts => ({
  notBeforeMs: VALID_SINCE_MS,
  notAfterMs: NOW + LEAF_LIFETIME_MS,
  signedBy: 0,
  keyMatches: true,
  missingNames: [],
  ...change,
});
const settled: PresentFacts = {
  kind: 'present',
  cas: [ca()],
  leaf: leaf(),
  bundleId: 'bundle',
  leafId: 'leaf',
  noted: { phase: 'settled', sinceMs: NOW - DAY_MS },
};
const publishing: PresentFacts = {
  ...settled,
  cas: [ca(), ca({ canSign: false })],
  next: 1,
  noted: { phase: 'publishing', sinceMs: NOW - DAY_MS },
};
const retiring: PresentFacts = {
  ...settled,
  cas: [ca(), ca({ canSign: false })],
  noted: { phase: 'retiring', sinceMs: NOW - DAY_MS },
};
const follower: ReplicaFacts = {
  name: 'a',
  trusts: 'bundle',
  serves: 'leaf',
  beat: '1',
  pod: 'unknown',
};
const idler: ReplicaFacts = { ...follower, name: 'b', trusts: 'before', serves: 'before' };

const base: KnownRotation = {
  secret: settled,
  remembered: false,
  replicas: [follower],
  published: true,
  wallMs: NOW,
  monotonicMs: 0,
  propagationMs: PROPAGATION_MS,
};

/** The first look sees the Secret, the second comes after the time that passed. */
function decided(change: Partial<KnownRotation>, afterMs = 0) {
  const known = { ...base, ...change };
  return decideRotation({ ...known, monotonicMs: afterMs }, decideRotation(known, undefined).watch);
}

interface Example {
  readonly name: string;
  readonly secret: KnownRotation['secret'];
  readonly change?: Partial<KnownRotation>;
  readonly afterMs?: number;
}
const present = (name: string, change: Partial<PresentFacts>, of: PresentFacts = settled): Example => ({
  name,
  secret: { ...of, ...change },
});
const strangers = leaf();
const { signedBy: _signer, ...byStranger } = strangers;
const { leaf: _leaf, ...leafless } = settled;
const goneCa = ca({ notAfterMs: NOW });

/** What is seen, by the event that it is. Each event has at least one. */
const EXAMPLES: Readonly<Record<RotationEvent, readonly [Example, ...Example[]]>> = {
  remembered: [
    { name: 'absent', secret: { kind: 'absent' }, change: { remembered: true } },
    { name: 'foreign', secret: { kind: 'foreign', reason: 'x' }, change: { remembered: true } },
    { name: 'damaged', secret: { kind: 'damaged', reason: 'x' }, change: { remembered: true } },
    { ...present('all expired', { cas: [goneCa], leaf: leaf() }), change: { remembered: true } },
  ],
  'all-unusable': [
    { name: 'absent', secret: { kind: 'absent' } },
    { name: 'damaged', secret: { kind: 'damaged', reason: 'x' } },
    present('the CA expired', { cas: [goneCa] }),
    present('no key, and no leaf', { cas: [ca({ canSign: false })], leaf: leaf({ keyMatches: false }) }),
    present('all of it in the future', {
      cas: [ca({ notBeforeMs: NOW + 1 })],
      leaf: leaf({ notBeforeMs: NOW + 1 }),
    }),
  ],
  'leaf-unusable': [
    { name: 'unreadable', secret: leafless },
    present('with the key of another', { leaf: leaf({ keyMatches: false }) }),
    present('signed by a stranger', { leaf: byStranger }),
    present('signed by a CA that has expired', { cas: [ca(), goneCa], leaf: leaf({ signedBy: 1 }) }),
    present('for another service', { leaf: leaf({ missingNames: ['a.b.svc'] }) }),
    present('in the future', { leaf: leaf({ notBeforeMs: NOW + 1 }) }),
    present('expired', { leaf: leaf({ notAfterMs: NOW }) }),
  ],
  confirmed: [
    { ...present('publishing', {}, publishing), afterMs: PROPAGATION_MS },
    { ...present('retiring', {}, retiring), afterMs: PROPAGATION_MS },
  ],
  outlived: [
    {
      ...present('retiring', { noted: { phase: 'retiring', sinceMs: NOW - LEAF_LIFETIME_MS - 1 } }, retiring),
      change: { replicas: [follower, { ...idler, pod: 'runs' }] },
    },
  ],
  'ca-unusable': [
    present('its key is lost', { cas: [ca({ canSign: false })] }),
    present('publishing', { cas: [ca({ canSign: false }), ca()] }, publishing),
    present('retiring', { cas: [ca({ canSign: false }), ca()] }, retiring),
  ],
  'leaf-due': [
    present('about to expire', { leaf: leaf({ notAfterMs: NOW + LEAF_RENEW_BEFORE_MS }) }),
    present('of a CA that is to go', { leaf: leaf({ signedBy: 1 }) }, retiring),
  ],
  'ca-due': [present('about to expire', { cas: [ca({ notAfterMs: NOW + CA_RENEW_BEFORE_MS })] })],
  'ca-asked': [present('asked', { noted: { ...settled.noted, asked: 'ca' } })],
  'leaf-asked': [
    present('asked', { noted: { ...settled.noted, asked: 'leaf' } }),
    present('asked while publishing', { noted: { ...publishing.noted, asked: 'leaf' } }, publishing),
  ],
  unnoted: [
    present('never noted', { noted: {} }),
    present('noted otherwise', { noted: { phase: 'settled', sinceMs: NOW } }, retiring),
    present(
      'noted by a clock that ran ahead',
      { noted: { phase: 'retiring', sinceMs: NOW + DAY_MS } },
      retiring,
    ),
  ],
  quiet: [
    present('settled', {}),
    present('settled, noted by a clock that ran ahead', {
      noted: { phase: 'settled', sinceMs: NOW + DAY_MS },
    }),
    { ...present('publishing, not for long enough', {}, publishing), afterMs: PROPAGATION_MS - 1 },
    {
      ...present('publishing, but one configuration lacks it', {}, publishing),
      change: { published: false },
      afterMs: PROPAGATION_MS,
    },
    {
      ...present('publishing, but one replica does not know', {}, publishing),
      change: { replicas: [follower, idler] },
      afterMs: SILENT_MS - 1,
    },
    {
      ...present('retiring, but a Pod that was never heard runs', {}, retiring),
      change: { replicas: [follower, { ...idler, beat: '', pod: 'runs' }] },
      afterMs: 30 * DAY_MS,
    },
    {
      ...present('retiring, but one replica serves the leaf before', {}, retiring),
      change: { replicas: [follower, { ...idler, trusts: 'bundle', pod: 'runs' }] },
      afterMs: 30 * DAY_MS,
    },
  ],
};

describe.each(ROTATION_EVENTS)('%s', (event) => {
  test.each(EXAMPLES[event])('$name', ({ secret, change = {}, afterMs = 0 }) => {
    const decision = decided({ ...change, secret }, afterMs);
    expect(decision.event).toBe(event);
    expect(decision.step).toBe(TABLE[decision.state][event]);
  });
});

test('a leaf signed today never outlives a CA that is kept today', () => {
  expect(CA_RENEW_BEFORE_MS).toBeGreaterThan(LEAF_LIFETIME_MS);
});

test('a leaf is renewed exactly when a third of its life is left', () => {
  const secret = { ...settled, leaf: leaf({ notAfterMs: NOW + LEAF_RENEW_BEFORE_MS + 1 }) };
  expect(decided({ secret }).event).toBe('quiet');
  expect(decided({ secret, wallMs: NOW + 1 }).event).toBe('leaf-due');
});

test.each([
  { name: 'at zero', wallMs: 0 },
  { name: 'before zero', wallMs: -1e15 },
  { name: 'set back by days', wallMs: NOW - 9 * DAY_MS },
  { name: 'set back by years', wallMs: NOW - 2_000 * DAY_MS },
])('a wall clock that is $name finds nothing to issue', ({ wallMs }) => {
  expect(decided({ wallMs }).step).toBe('keep');
  expect(isWhole(settled, wallMs)).toBe(true);
});

test.each([
  { name: 'by years', wallMs: NOW + 5 * 365 * DAY_MS, step: 'renew-leaf' },
  { name: 'by decades', wallMs: NOW + 30 * 365 * DAY_MS, step: 'make' },
  { name: 'beyond any date', wallMs: 8.64e15, step: 'make' },
])(
  'a wall clock that steps forward $name has one new certificate issued, and none when it comes back',
  ({ wallMs, step }) => {
    expect(decided({ wallMs }).step).toBe(step);
    const issued = {
      ...settled,
      cas: [ca({ notAfterMs: plausibleMs(wallMs) + CA_LIFETIME_MS })] as const,
      leaf: leaf({ notAfterMs: plausibleMs(wallMs) + LEAF_LIFETIME_MS }),
    };
    for (const now of [wallMs, wallMs + DAY_MS, NOW, NOW - DAY_MS])
      expect(decided({ secret: issued, wallMs: now }).step).toBe('keep');
  },
);
