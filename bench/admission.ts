/** The bench of admission: the decision at growing numbers of stored prefixes, and the index behind it beside its rivals. */
import { createConflictIndex } from '../policy/conflictIndex.ts';
import { listed } from '../policy/facts.ts';
import type { Policy } from '../policy/model.ts';
import { createSnapshot, type Snapshot } from '../webhook/core/snapshot.ts';
import { type CreateFigures, measureCreates } from './admission/measureCreates.ts';
import { CONNECTIONS, RATE_PER_S } from './admission/measureHttps.ts';
import { measureServing, type ServingFigures } from './admission/measureServing.ts';
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
  about:
    'a review in process, over HTTPS and through a real API server, and the look-up of overlapping pools',
  run: async (say) => {
    const populations = PREFIXES.map(createPopulation);
    const sizes = measureSizes(populations);
    say(describeSizes(sizes));
    const largest = populations[PREFIXES.indexOf(LOOKUP_PREFIXES)];
    if (largest === undefined) throw new Error('LOOKUP_PREFIXES is none of PREFIXES');
    const ranges = largest.candidates.map(({ range }) => range);
    const lookups = measureLookups(listed(largest.facts.policies), ranges);
    say(`\n${describeLookups(lookups)}`);
    const serving = await measureServing(LOOKUP_PREFIXES, largest.candidates);
    say(`\n${describeServing(serving)}`);
    const creates = await measureCreates(say);
    say(`\n${describeCreates(creates)}`);
    return figuresOf({ sizes, lookups, serving, creates });
  },
};

interface Measured {
  readonly sizes: readonly SizeFigures[];
  readonly lookups: readonly LookupFigures[];
  readonly serving: ServingFigures;
  readonly creates: CreateFigures;
}

function figuresOf({ sizes, lookups, serving, creates }: Measured): Figures {
  const bySize = (pick: (size: SizeFigures) => number | undefined): Figures =>
    Object.fromEntries(sizes.map((size) => [String(size.prefixes), figure(pick(size))]));
  const { withP50Ms, withP99Ms, withoutP50Ms, withoutP99Ms } = creates;
  return {
    decisionP99Ms: bySize(({ decision }) => decision.p99Ms),
    https500: {
      p50Ms: figure(serving.p50Ms),
      p99Ms: figure(serving.p99Ms),
      lateP99Ms: figure(serving.lateP99Ms),
    },
    saturationPerS: figure(serving.saturationPerS),
    createAddedMs: {
      p50: figure(added(withP50Ms, withoutP50Ms)),
      p99: figure(added(withP99Ms, withoutP99Ms)),
    },
    rssMb: figure(serving.rssMb),
    peakRssMb: figure(serving.peakRssMb),
    createMs: {
      with: { p50: figure(withP50Ms), p99: figure(withP99Ms) },
      without: { p50: figure(withoutP50Ms), p99: figure(withoutP99Ms) },
    },
    decisionP50Ms: bySize(({ decision }) => decision.p50Ms),
    indexBuildMs: bySize(({ indexBuildMs }) => indexBuildMs),
    changeP50Ms: bySize(({ changeP50Ms }) => changeP50Ms),
    changeP99Ms: bySize(({ changeP99Ms }) => changeP99Ms),
    lookupsPerS: Object.fromEntries(
      lookups.map(({ contender, lookupsPerS }) => [contender, figure(lookupsPerS)]),
    ),
  };
}

function added(withIt: number | undefined, without: number | undefined): number | undefined {
  return withIt === undefined || without === undefined ? undefined : withIt - without;
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

function describeServing(serving: ServingFigures): string {
  const { p50Ms, p99Ms, maxMs, lateP99Ms, saturationPerS, rssMb, peakRssMb, readyMs } = serving;
  return `The webhook as a process of its own, over HTTPS on ${CONNECTIONS} kept connections, with ${LOOKUP_PREFIXES.toLocaleString('en-US')} prefixes and ${PODS.toLocaleString('en-US')} pods in
the cluster; a third process sends, on the same machine, and half of the reviews are denials for which the webhook reads the rival from
the API server, which is this process here. At the fixed rate a review's time counts from when it was due; how late it was sent, which is
the sender's doing, is in it.

${renderTable([
  [`at ${RATE_PER_S}/s`, 'p50 ms', 'p99 ms', 'max ms', 'sent late, p99 ms', 'at most, reviews/s'],
  ['', ...[p50Ms, p99Ms, maxMs, lateP99Ms, saturationPerS].map(formatFigure)],
])}

Resident memory afterwards ${formatFigure(rssMb)} MiB, ${formatFigure(peakRssMb)} MiB at the highest; ready ${formatFigure(readyMs / 1000)} s after its start.`;
}

function describeCreates(creates: CreateFigures): string {
  const { withP50Ms, withP99Ms, withoutP50Ms, withoutP99Ms } = creates;
  return `A create of a policy through a real kube-apiserver and etcd, ${creates.creates.toLocaleString('en-US')} asked about by the pair of webhooks and as many
that are not, in turn.

${renderTable([
  ['', 'p50 ms', 'p99 ms'],
  ['with the webhooks', formatFigure(withP50Ms), formatFigure(withP99Ms)],
  ['without', formatFigure(withoutP50Ms), formatFigure(withoutP99Ms)],
  ['added', formatFigure(added(withP50Ms, withoutP50Ms)), formatFigure(added(withP99Ms, withoutP99Ms))],
])}`;
}
