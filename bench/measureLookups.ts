/**
 * Which stored entries overlap a range: our conflict index, the linear scan that it replaces, and an interval tree from
 * npm, on the same entries and the same questions, in rounds that alternate.
 */
import { IntervalTree } from '@flatten-js/interval-tree';
import { rangesOverlap } from '../policy/cidr.ts';
import { createConflictIndex, type OwnedEntry } from '../policy/conflictIndex.ts';
import type { AddressRange, Policy } from '../policy/model.ts';
import { median } from './statistics.ts';

const CONTENDERS = ['ours', 'linear', 'package'] as const;
export type Contender = (typeof CONTENDERS)[number];

/** Many and short: when something else takes the processor, it spoils a few rounds and not the median. */
const ROUNDS = 61;
const ROUND_MS = 8;
/** The clock is read after so many look-ups: seldom enough for the quick ones, soon enough for the scan. */
const CHUNK_LOOKUPS = 4;
/** The scan takes milliseconds for each range, so it is asked about the first so many only. */
export const SCANNED_RANGES = 200;
const BUILDS = 3;

export interface LookupFigures {
  readonly contender: Contender;
  /** The median of some builds, without the first: nobody pays for compiling. */
  readonly buildMs: number | undefined;
  readonly lookupsPerS: number | undefined;
  /** Time per look-up, this one's ÷ ours, of each round. */
  readonly timeRatios: readonly number[];
}

/** The package takes pairs of numbers, which hold 32 bits exactly; they are made before the clock starts. */
interface Question {
  readonly range: AddressRange;
  /** Not readonly, as the package's own type has it. */
  readonly interval: [number, number];
}

type Lookup = (question: Question) => readonly OwnedEntry[];
type Lookups = Readonly<Record<Contender, Lookup>>;
type Rates = Readonly<Record<Contender, number>>;

/** Throws where the scan and the others, or for the ranges that are not scanned the others, give different answers. */
export function measureLookups(
  policies: readonly Policy[],
  ranges: readonly AddressRange[],
): readonly LookupFigures[] {
  const questions = ranges.map((range): Question => ({ range, interval: numbersOf(range) }));
  const built = {
    ours: timeBuilds(() => buildOurs(policies)),
    linear: timeBuilds(() => buildLinear(policies)),
    package: timeBuilds(() => buildPackage(policies)),
  };
  const lookups = { ours: built.ours.lookup, linear: built.linear.lookup, package: built.package.lookup };
  expectSameAnswers(lookups, questions);
  const rounds = runRounds(lookups, questions);
  return CONTENDERS.map((contender) => ({
    contender,
    buildMs: built[contender].tookMs,
    lookupsPerS: median(rounds.map((rates) => rates[contender])),
    timeRatios: rounds.map((rates) => rates.ours / rates[contender]),
  }));
}

function buildOurs(policies: readonly Policy[]): Lookup {
  const index = createConflictIndex(policies);
  return ({ range }) => index.overlapping(range);
}

function buildLinear(policies: readonly Policy[]): Lookup {
  const all = ownedEntries(policies);
  return ({ range }) => all.filter(({ entry }) => rangesOverlap(entry.range, range));
}

function buildPackage(policies: readonly Policy[]): Lookup {
  const tree = new IntervalTree<OwnedEntry>();
  for (const owned of ownedEntries(policies)) tree.insert(numbersOf(owned.entry.range), owned);
  return ({ interval }) => tree.search(interval);
}

function ownedEntries(policies: readonly Policy[]): readonly OwnedEntry[] {
  return policies.flatMap((owner) => owner.pools.map((entry) => ({ owner, entry })));
}

function numbersOf({ first, last }: AddressRange): [number, number] {
  return [Number(first), Number(last)];
}

/** The order within an answer is not part of it: only ours promises one. */
function expectSameAnswers(lookups: Lookups, questions: readonly Question[]): void {
  questions.forEach((question, at) => {
    const [twin, others] =
      at < SCANNED_RANGES ? (['linear', ['ours', 'package']] as const) : (['package', ['ours']] as const);
    const twins = lookups[twin](question).map(({ entry }) => entry);
    for (const contender of others) {
      const expected = new Set(twins);
      const answer = lookups[contender](question).map(({ entry }) => entry);
      if (answer.length === twins.length && answer.every((entry) => expected.delete(entry))) continue;
      const [first, last] = question.interval;
      throw new Error(
        `${contender} finds ${answer.length} entries in ${first}-${last}, ${twin} ${twins.length}`,
      );
    }
  });
}

/** Whoever is first meets a colder cache, so in each round another one is. */
function runRounds(lookups: Lookups, questions: readonly Question[]): readonly Rates[] {
  const all = chunksOf(questions);
  const chunks = { ours: all, linear: chunksOf(questions.slice(0, SCANNED_RANGES)), package: all };
  return Array.from({ length: ROUNDS }, (_, round) => {
    const rates = { ours: 0, linear: 0, package: 0 };
    for (let turn = 0; turn < CONTENDERS.length; turn += 1) {
      const contender = CONTENDERS[(round + turn) % CONTENDERS.length] ?? 'ours';
      rates[contender] = measureRate(lookups[contender], chunks[contender], round);
    }
    return rates;
  });
}

function chunksOf(questions: readonly Question[]): readonly (readonly Question[])[] {
  return Array.from({ length: Math.floor(questions.length / CHUNK_LOOKUPS) }, (_, at) =>
    questions.slice(at * CHUNK_LOOKUPS, (at + 1) * CHUNK_LOOKUPS),
  );
}

/** Look-ups per second, over chunk after chunk from the one that is the round's. */
function measureRate(lookup: Lookup, chunks: readonly (readonly Question[])[], round: number): number {
  let [lookups, found, elapsedMs] = [0, 0, 0];
  const beganMs = performance.now();
  for (let at = Math.floor((round / ROUNDS) * chunks.length); elapsedMs < ROUND_MS; at += 1) {
    for (const question of chunks[at % chunks.length] ?? []) found += lookup(question).length;
    lookups += CHUNK_LOOKUPS;
    elapsedMs = performance.now() - beganMs;
  }
  // Also keeps the compiler from leaving out what nobody reads.
  if (found === 0) throw new Error('no question of this round has an answer');
  return (lookups / elapsedMs) * 1000;
}

function timeBuilds(build: () => Lookup): { readonly lookup: Lookup; readonly tookMs: number | undefined } {
  let lookup = build();
  const tookMs = Array.from({ length: BUILDS }, () => {
    const beganMs = performance.now();
    lookup = build();
    return performance.now() - beganMs;
  });
  return { lookup, tookMs: median(tookMs) };
}
