/**
 * Candidates with clocks of their own over one Lease in memory, whose requests are slow, fail or lose their answers by a
 * seed. In true time no two of them ever hold at once, no term is used twice, and once faults stop somebody leads.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  ELECTION_START,
  type ElectionEvent,
  type ElectionRules,
  type ElectionState,
  type LeaseWrite,
  type ObservedLease,
  type WriteOutcome,
} from './electionState.ts';
import { nextTickMs, step } from './leaderElection.ts';

const RULES: ElectionRules = {
  identity: '',
  leaseDurationMs: 3000,
  renewDeadlineMs: 2000,
  retryPeriodMs: 400,
};
const FAULTY_MS = 60_000;
const CALM_MS = 20_000;
/** Longer than a Lease, so that candidates are sometimes frozen past it. */
const DELAY_MAX_MS = 5000;

interface Candidate {
  readonly rules: ElectionRules;
  /** Its clock minus true time. */
  readonly offsetMs: number;
  state: ElectionState;
  generation: number;
}

interface Due {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** Mulberry32: small, seeded, and the same everywhere. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function simulate(seed: number) {
  const random = generator(seed);
  const queue: Due[] = [];
  let nowMs = 0;
  let order = 0;
  let stored: ObservedLease | undefined;
  let version = 0;
  const terms: number[] = [];
  const overlaps: string[] = [];
  const schedule = (delayMs: number, run: () => void): void => {
    order += 1;
    queue.push({ atMs: nowMs + delayMs, order, run });
  };
  const candidates = [0, 1, 2].map(
    (index): Candidate => ({
      rules: { ...RULES, identity: `c${index}` },
      offsetMs: index * 1_000_000,
      state: ELECTION_START,
      generation: 0,
    }),
  );
  const faulty = (): boolean => nowMs < FAULTY_MS;
  const delayMs = (): number =>
    faulty() && random() < 0.1 ? DELAY_MAX_MS * random() : 1 + Math.floor(20 * random());

  const apply = (write: LeaseWrite): WriteOutcome => {
    if (write.version !== stored?.version) return { kind: 'stale' };
    version += 1;
    const { holder, durationMs, transitions } = write;
    const renewTime = String(version);
    stored = {
      version: String(version),
      holder,
      durationMs,
      transitions,
      acquireTime: write.acquireTime ?? renewTime,
      renewTime,
    };
    return { kind: 'accepted', lease: stored };
  };

  const dispatch = (candidate: Candidate, event: ElectionEvent): void => {
    const { state, effects } = step(candidate.state, event, candidate.rules);
    candidate.state = state;
    for (const effect of effects) {
      if (effect.kind === 'changed' && effect.role === 'leader') terms.push(effect.term);
      if (effect.kind === 'read') schedule(delayMs(), () => answerRead(candidate));
      if (effect.kind === 'write') {
        const sentAtMs = nowMs + candidate.offsetMs;
        schedule(delayMs(), () => answerWrite(candidate, effect.write, sentAtMs));
      }
    }
    candidate.generation += 1;
    const { generation } = candidate;
    const tickMs = nextTickMs(state) - candidate.offsetMs;
    // A frozen process wakes late; its hold counts as over on time, for writers ask before they write.
    const frozenMs = faulty() && random() < 0.05 ? DELAY_MAX_MS * random() : 0;
    if (tickMs !== Number.POSITIVE_INFINITY)
      schedule(Math.max(0, tickMs - nowMs) + frozenMs, () => {
        if (candidate.generation === generation) dispatch(candidate, { kind: 'tick', ...clock(candidate) });
      });
  };
  const clock = (candidate: Candidate) => ({ nowMs: nowMs + candidate.offsetMs, random: random() });
  const answerRead = (candidate: Candidate): void => {
    const failed = faulty() && random() < 0.1;
    const found = failed ? 'failed' : (stored ?? 'absent');
    schedule(delayMs(), () => dispatch(candidate, { kind: 'read', ...clock(candidate), found }));
  };
  const answerWrite = (candidate: Candidate, write: LeaseWrite, sentAtMs: number): void => {
    const luck = faulty() ? random() : 1;
    const outcome: WriteOutcome = luck < 0.1 ? { kind: 'failed' } : apply(write);
    const heard: WriteOutcome = luck >= 0.1 && luck < 0.2 ? { kind: 'unknown' } : outcome;
    schedule(delayMs(), () =>
      dispatch(candidate, { kind: 'wrote', ...clock(candidate), sentAtMs, outcome: heard }),
    );
  };

  const holders = (): readonly Candidate[] =>
    candidates.filter((it) => nowMs < it.state.holdsUntilMs - it.offsetMs);
  for (const candidate of candidates) dispatch(candidate, { kind: 'tick', ...clock(candidate) });
  while (nowMs < FAULTY_MS + CALM_MS) {
    queue.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
    const next = queue.shift();
    if (next === undefined) break;
    nowMs = next.atMs;
    next.run();
    if (holders().length > 1)
      overlaps.push(
        `${nowMs}: ${holders()
          .map(({ rules }) => rules.identity)
          .join(' and ')}`,
      );
  }
  return { terms, overlaps, holders: holders().length };
}

test('no two candidates hold at once, terms only grow, and one leads in the end', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const { terms, overlaps, holders } = simulate(seed);
      expect(overlaps).toEqual([]);
      expect(terms).toEqual([...new Set(terms)].toSorted((a, b) => a - b));
      expect(holders).toBe(1);
    }),
    { numRuns: 60 },
  );
});

test('the simulation sees changes of leadership at all', () => {
  const changes = [1, 2, 3, 4, 5].map((seed) => simulate(seed).terms.length);
  expect(Math.min(...changes)).toBeGreaterThan(2);
});
