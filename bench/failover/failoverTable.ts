/** The failover bench's table: a line for each class, and under it the peer's and the ratio where it has the class too. */
import { renderTable } from '../renderTable.ts';
import type { ClassFigures, ClassSummary } from './summarizeRuns.ts';

export interface ClassOutcome {
  readonly name: string;
  readonly ours: ClassSummary;
  readonly peer?: { readonly name: string; readonly summary: ClassSummary };
}

const HEAD = [
  'class',
  'runs',
  'failed',
  'p50 ms',
  'p99 ms',
  'max ms',
  'packets lost',
  'TCP alive',
  'answerers',
];

export function renderOutcomes(outcomes: readonly ClassOutcome[]): string {
  return renderTable([HEAD, ...outcomes.flatMap(rowsOf)]);
}

function rowsOf({ name, ours, peer }: ClassOutcome): readonly (readonly string[])[] {
  const own = figuresRow(name, ours);
  if (peer === undefined) return [own];
  return [
    own,
    figuresRow(`  keepalived: ${peer.name}`, peer.summary),
    ratioRow(ours.figures, peer.summary.figures),
  ];
}

function figuresRow(name: string, { figures, failed }: ClassSummary): readonly string[] {
  const { runs, p50Ms, p99Ms, maxMs, lostPackets, tcpOpened, tcpAlive, answerersMax } = figures;
  return [
    name,
    `${runs}`,
    `${failed}`,
    ...[p50Ms, p99Ms, maxMs].map((value) => value?.toFixed(0) ?? '–'),
    `${lostPackets}`,
    `${tcpAlive} of ${tcpOpened}`,
    `${answerersMax}`,
  ];
}

function ratioRow(ours: ClassFigures, peer: ClassFigures): readonly string[] {
  const aliveShare = ({ tcpAlive, tcpOpened }: ClassFigures): number => tcpAlive / tcpOpened;
  return [
    '  keepalived ÷ ours',
    '',
    '',
    formatRatio(peer.p50Ms, ours.p50Ms),
    formatRatio(peer.p99Ms, ours.p99Ms),
    formatRatio(peer.maxMs, ours.maxMs),
    formatRatio(peer.lostPackets, ours.lostPackets),
    formatRatio(aliveShare(peer), aliveShare(ours)),
    '',
  ];
}

/** A dash where a side is unknown or the divisor is nothing. */
function formatRatio(dividend: number | null, divisor: number | null): string {
  if (dividend === null || divisor === null) return '–';
  const ratio = dividend / divisor;
  return Number.isFinite(ratio) ? ratio.toFixed(2) : '–';
}
