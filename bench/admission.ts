/** The bench of admission: the decision at growing numbers of stored prefixes, and the index behind it beside its rivals. */
import { createConflictIndex } from '../policy/conflictIndex.ts';
import { listed } from '../policy/facts.ts';
import type { Policy } from '../policy/model.ts';
import { createSnapshot, type Snapshot } from '../webhook/core/snapshot.ts';
import type { Bench, Figures } from './bench.ts';
import { type DecisionFigures, measureDecisions } from './measureDecisions.ts';
import { type Contender, type LookupFigures, measureLookups, SCANNED_RANGES } from './measureLookups.ts';
import {
  createPopulation,
  ENTRIES_PER_POLICY,
  GATEWAYS,
  LOAD_BALANCERS,
  NODES,
  PODS,
  type Population,
} from './population.ts';
import { formatFigure, renderTable } from './renderTable.ts';
import { median, percentile } from './statistics.ts';

const PREFIXES = [0, 1000, 100_000] as const;
/** The look-ups of the JSON line are those at this size. */
const LOOKUP_PREFIXES = 100_000;
const INDEX_BUILDS = 7;
/** Policies that are replaced one by one in the index. */
const INDEX_CHANGES = 2000;
/** Further digits of a time or a rate are noise. */
const JSON_DIGITS = 4;

const CONTENDER_NAMES: Readonly<Record<Contender, string>> = {
  ours: 'our conflict index',
  linear: 'linear scan',
  package: '@flatten-js/interval-tree',
};

interface SizeFigures {
  readonly prefixes: number;
  readonly indexBuildMs: number | undefined;
  /** One policy out of the index and into it again. */
  readonly changeP50Ms: number | undefined;
  readonly changeP99Ms: number | undefined;
  readonly decision: DecisionFigures;
}

export const admission: Bench = {
  about: 'the decision on a new policy, and the look-up of overlapping pools',
  run: (say) => {
    const populations = PREFIXES.map(createPopulation);
    const sizes = measureSizes(populations);
    say(describeSizes(sizes));
    const largest = populations[PREFIXES.indexOf(LOOKUP_PREFIXES)];
    if (largest === undefined) throw new Error('LOOKUP_PREFIXES is none of PREFIXES');
    const ranges = largest.candidates.map(({ range }) => range);
    const lookups = measureLookups(listed(largest.facts.policies), ranges);
    say(`\n${describeLookups(lookups)}`);
    return figuresOf(sizes, lookups);
  },
};

function figuresOf(sizes: readonly SizeFigures[], lookups: readonly LookupFigures[]): Figures {
  const bySize = (pick: (size: SizeFigures) => number | undefined): Figures =>
    Object.fromEntries(sizes.map((size) => [String(size.prefixes), figure(pick(size))]));
  return {
    decisionP99Ms: bySize(({ decision }) => decision.p99Ms),
    decisionP50Ms: bySize(({ decision }) => decision.p50Ms),
    indexBuildMs: bySize(({ indexBuildMs }) => indexBuildMs),
    changeP50Ms: bySize(({ changeP50Ms }) => changeP50Ms),
    changeP99Ms: bySize(({ changeP99Ms }) => changeP99Ms),
    lookupsPerS: Object.fromEntries(
      lookups.map(({ contender, lookupsPerS }) => [contender, figure(lookupsPerS)]),
    ),
  };
}

function figure(value: number | undefined): number | null {
  return value === undefined ? null : Number(value.toPrecision(JSON_DIGITS));
}

function measureSizes(populations: readonly Population[]): readonly SizeFigures[] {
  const cases = populations.map(({ facts, candidates }) => ({
    snapshot: createSnapshot(facts),
    candidates,
  }));
  const decisions = measureDecisions(cases);
  return decisions.map((decision, at) => ({
    prefixes: PREFIXES[at] ?? Number.NaN,
    decision,
    indexBuildMs: measureIndexBuild(listed(populations[at]?.facts.policies ?? [])),
    ...measureChanges(cases[at]?.snapshot, listed(populations[at]?.facts.policies ?? [])),
  }));
}

function measureIndexBuild(policies: readonly Policy[]): number | undefined {
  const buildsMs = Array.from({ length: INDEX_BUILDS }, () => {
    const beganMs = performance.now();
    createConflictIndex(policies);
    return performance.now() - beganMs;
  });
  return median(buildsMs);
}

/** As the webhook follows its watch: the whole of what it keeps of a policy. */
function measureChanges(
  snapshot: Snapshot | undefined,
  policies: readonly Policy[],
): Pick<SizeFigures, 'changeP50Ms' | 'changeP99Ms'> {
  const step = Math.max(1, Math.floor(policies.length / INDEX_CHANGES));
  const changesMs: number[] = [];
  for (let at = 0; at < policies.length; at += step) {
    const policy = policies[at];
    if (policy === undefined || snapshot === undefined) break;
    const beganMs = performance.now();
    snapshot.index.replace('policies', policy, policy);
    changesMs.push(performance.now() - beganMs);
  }
  return { changeP50Ms: percentile(changesMs, 50), changeP99Ms: percentile(changesMs, 99) };
}

function describeSizes(sizes: readonly SizeFigures[]): string {
  const rows = sizes.map(({ prefixes, decision, indexBuildMs, changeP50Ms, changeP99Ms }) => [
    prefixes.toLocaleString('en-US'),
    formatFigure(decision.p50Ms),
    formatFigure(decision.p99Ms),
    decision.decisions.toLocaleString('en-US'),
    decision.refused.toLocaleString('en-US'),
    formatFigure(indexBuildMs),
    formatFigure(changeP50Ms),
    formatFigure(changeP99Ms),
  ]);
  return `One decision in process, from the request's object to the answer's; without HTTP and JSON text. Each asks for
${ENTRIES_PER_POLICY} prefixes in a cluster of ${NODES} nodes, ${GATEWAYS} of them gateways,
with ${PODS} pods and ${LOAD_BALANCERS} load-balancer addresses. Where pools exist, half of them conflict.

${renderTable([['existing prefixes', 'p50 ms', 'p99 ms', 'decisions', 'refused', 'index build ms', 'change p50 ms', 'change p99 ms'], ...rows])}

A change is one stored policy replaced in all that the webhook keeps of it; the index is built whole once, at the start.
The clock on the wall was read: what other programs of the machine took meanwhile is in the p99.`;
}

function describeLookups(lookups: readonly LookupFigures[]): string {
  const rows = lookups.map(({ contender, lookupsPerS, timeRatios, buildMs }) => [
    CONTENDER_NAMES[contender],
    formatFigure(lookupsPerS),
    contender === 'ours' ? '1' : formatFigure(median(timeRatios)),
    contender === 'ours'
      ? ''
      : `${formatFigure(percentile(timeRatios, 25))} to ${formatFigure(percentile(timeRatios, 75))}`,
    formatFigure(buildMs),
  ]);
  return `Look-ups of what overlaps a range among ${LOOKUP_PREFIXES.toLocaleString('en-US')} prefixes; all gave the same answers. Medians of
${lookups[0]?.timeRatios.length ?? 0} alternating rounds; the scan is asked about ${SCANNED_RANGES} of the ranges only. The package takes numbers, made
before the clock starts; ours and the scan compare bigints.

${renderTable([['', 'look-ups/s', 'time ÷ ours', 'half of the rounds', 'build ms'], ...rows])}`;
}
