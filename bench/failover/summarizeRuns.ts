/** What the runs of one class say together. */
import { median, percentile } from '../statistics.ts';
import type { RunResult } from './runTogether.ts';

export interface ClassFigures {
  /** All that were begun, failed ones included. */
  readonly runs: number;
  /** Of the longest gap of each run, in the worse direction. `null`: too few runs to tell, or it lies among failed runs. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  /** `null`: a run failed, and its gap had no end that was seen. */
  readonly maxMs: number | null;
  /** UDP packets of both directions and all runs, at 1,000 a second each way. */
  readonly lostPackets: number;
  /** Connections of all runs, half of which only the server talks on. */
  readonly tcpOpened: number;
  readonly tcpAlive: number;
  /** How many answered ARP at once at the most, as a third party saw it. */
  readonly answerersMax: number;
}

export interface ClassSummary {
  readonly figures: ClassFigures;
  readonly failed: number;
}

export function summarizeRuns(results: readonly RunResult[]): ClassSummary {
  // A run that failed ranks behind every gap that ended: leaving it out would flatter whoever failed.
  const gaps = results.map(({ gapMs }) => gapMs ?? Number.POSITIVE_INFINITY);
  const sum = (of: (result: RunResult) => number): number =>
    results.reduce((total, result) => total + of(result), 0);
  return {
    figures: {
      runs: results.length,
      p50Ms: finite(median(gaps)),
      p99Ms: finite(percentile(gaps, 99)),
      maxMs: finite(Math.max(...gaps)),
      lostPackets: sum(({ lostPackets }) => lostPackets),
      tcpOpened: sum(({ opened }) => opened),
      tcpAlive: sum(({ alive }) => alive),
      answerersMax: Math.max(0, ...results.map(({ answerersMax }) => answerersMax)),
    },
    failed: results.filter(({ failure }) => failure !== undefined).length,
  };
}

function finite(value: number | undefined): number | null {
  return value !== undefined && Number.isFinite(value) ? value : null;
}
