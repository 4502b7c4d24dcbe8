import { expect, test } from 'vitest';
import { CERTIFICATE_PHASES, type CertificatePhase } from '../../policy/certificateNotes.ts';
import { awaitReplicas, PATIENCE_MS, type RotationWatch, SILENT_MS } from './awaitReplicas.ts';
import type { KnownRotation, PresentFacts, ReplicaFacts } from './rotationFacts.ts';

const FACTS: PresentFacts = {
  kind: 'present',
  cas: [{ notBeforeMs: 0, notAfterMs: 1, canSign: true }],
  bundleId: 'new',
  leafId: 'new',
  noted: {},
};
const replica = (name: string, change: Partial<ReplicaFacts> = {}): ReplicaFacts => ({
  ...{ name, trusts: 'new', serves: 'new', beat: '1', pod: 'unknown' },
  ...change,
});

interface Look {
  readonly atMs: number;
  readonly replicas: readonly ReplicaFacts[];
  readonly published?: boolean;
  readonly facts?: PresentFacts;
  readonly phase?: CertificatePhase;
}
function look(
  { atMs, replicas, published = true, facts = FACTS, phase = 'publishing' }: Look,
  before?: RotationWatch,
) {
  const known: KnownRotation = {
    ...{
      secret: facts,
      remembered: false,
      replicas,
      published,
      wallMs: 0,
      monotonicMs: atMs,
      propagationMs: 10,
    },
  };
  return awaitReplicas(known, { facts, phase }, before);
}

/** The last of several looks, each with what the one before remembered. */
function looks(...them: readonly [Look, ...Look[]]) {
  const [first, ...others] = them;
  return others.reduce((before, it) => look(it, before.watch), look(first));
}

const both = [replica('a'), replica('b')];
const behind = [replica('a'), replica('b', { trusts: 'old', serves: 'old' })];

/** Who follows, by what it states, in each phase. */
const FOLLOWS: Readonly<Record<CertificatePhase, Readonly<Record<string, boolean>>>> = {
  settled: { 'new new': true, 'new old': true, 'old new': true, 'old old': true, ' ': true },
  publishing: { 'new new': true, 'new old': true, 'old new': false, 'old old': false, ' ': false },
  retiring: { 'new new': true, 'new old': false, 'old new': false, 'old old': false, ' ': false },
};
test.each(
  CERTIFICATE_PHASES.flatMap((phase) =>
    Object.entries(FOLLOWS[phase]).map(([said, follows]) => ({ phase, said, follows })),
  ),
)('$phase: who states "$said" (trusts, serves) follows: $follows', ({ phase, said, follows }) => {
  const [trusts = '', serves = ''] = said.split(' ');
  const replicas = [replica('a', { trusts, serves, pod: 'runs' })];
  const { waitingFor, leftBehind } = look({ atMs: 0, replicas, phase });
  expect([...waitingFor, ...leftBehind]).toEqual(follows ? [] : ['a']);
});

test('what all confirm has to stand for a while', () => {
  expect(looks({ atMs: 0, replicas: both }, { atMs: 9, replicas: both }).confirmed).toBe(false);
  expect(looks({ atMs: 0, replicas: both }, { atMs: 10, replicas: both }).confirmed).toBe(true);
});

test.each([
  { name: 'one that falls back', gap: { atMs: 5, replicas: behind } },
  { name: 'a configuration that was reverted', gap: { atMs: 5, replicas: both, published: false } },
  { name: 'another bundle', gap: { atMs: 5, replicas: both, facts: { ...FACTS, bundleId: 'x' } } },
])('$name begins the wait anew', ({ gap }) => {
  const again = { atMs: 12, replicas: both };
  expect(looks({ atMs: 0, replicas: both }, gap, again).confirmed).toBe(false);
  expect(looks({ atMs: 0, replicas: both }, gap, again, { ...again, atMs: 22 }).confirmed).toBe(true);
});

test('one that is not heard and has no Pod is gone after a minute, and named', () => {
  const first = { atMs: 0, replicas: behind };
  expect(looks(first, { atMs: SILENT_MS - 1, replicas: behind }).waitingFor).toEqual(['b']);
  const later = looks(first, { atMs: SILENT_MS, replicas: behind });
  expect([later.waitingFor, later.leftBehind]).toEqual([[], ['b']]);
});

test('one that is heard, or whose Pod is ready, is waited for', () => {
  const speaks = (beat: string) => [replica('a'), replica('b', { trusts: 'old', beat })];
  const heard = looks(
    { atMs: 0, replicas: speaks('1') },
    { atMs: 50_000, replicas: speaks('2') },
    { atMs: 100_000, replicas: speaks('2') },
  );
  expect(heard.waitingFor).toEqual(['b']);
  const silent = [replica('a'), replica('b', { trusts: 'old', pod: 'runs' })];
  expect(looks({ atMs: 0, replicas: silent }, { atMs: 500_000, replicas: silent }).waitingFor).toEqual(['b']);
});

test('a bundle is not held up for ever by one that runs and does not follow; a CA does not go before it', () => {
  const silent = [replica('a'), replica('b', { trusts: 'old', pod: 'runs' })];
  const after = (phase: CertificatePhase, atMs: number) =>
    looks({ atMs: 0, replicas: silent, phase }, { atMs, replicas: silent, phase }).waitingFor;
  expect(after('publishing', PATIENCE_MS.publishing - 1)).toEqual(['b']);
  expect(after('publishing', PATIENCE_MS.publishing)).toEqual([]);
  expect(after('retiring', 365 * 86_400_000)).toEqual(['b']);
});
