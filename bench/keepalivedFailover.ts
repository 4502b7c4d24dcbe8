/** keepalived's and conntrackd's failover in figures: the holder's power is cut again and again while traffic flows. */
import { waitUntil } from '../test/cluster/waitUntil.ts';
import type { RunningClient } from '../test/probe/probeProcess.ts';
import { type KeepalivedRig, openKeepalivedRig, type RigTraffic } from './keepalivedRig.ts';
import { median, percentile } from './statistics.ts';

/** The cluster scenarios' connections; UDP often enough to see a millisecond. */
const TRAFFIC: RigTraffic = { podPush: 20, serverPush: 20, udpRate: 1000 };
/** A connection counts as alive when it was heard within the last second: what was heard before the cut must not count. */
const ALIVE_WINDOW_SECONDS = 1;
/** TCP retries 200, 400, 800 … ms apart: what is not back after this never comes back. */
const SETTLE_TIMEOUT_MS = 10_000;

export interface PowerCutFigures {
  readonly runs: number;
  /** Of the longest gap of each run, in the worse direction. `null`: too few runs to tell. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
  /** UDP packets of both directions and all runs, at 1,000 a second each way. */
  readonly lostPackets: number;
  /** Connections of all runs, half of which only the server talks on. */
  readonly tcpOpened: number;
  readonly tcpAlive: number;
}

export interface KeepalivedFigures {
  readonly powerCut: PowerCutFigures;
  readonly version: string;
}

export interface KeepalivedOptions {
  readonly runs: number;
  readonly onProgress?: (line: string) => void;
  /** Of the rig; two processes that measure at the same time need two. */
  readonly id?: string;
}

/** What one failure cost, of whichever system. */
export interface CutResult {
  readonly gapMs: number;
  readonly lostPackets: number;
  readonly opened: number;
  readonly alive: number;
}

/** Throws where a rig cannot be built, or no gateway takes over. */
export async function measureKeepalived(options: KeepalivedOptions): Promise<KeepalivedFigures> {
  const onProgress = options.onProgress ?? (() => undefined);
  const rig = await openKeepalivedRig({ id: options.id ?? 'bench', onProgress });
  try {
    const results: CutResult[] = [];
    for (let run = 1; run <= options.runs; run += 1) {
      const result = await cutOnce(rig, (line) => onProgress(`${run}/${options.runs} ${line}`));
      results.push(result);
    }
    return { powerCut: summarize(results), version: rig.version };
  } finally {
    await rig.close();
  }
}

async function cutOnce(rig: KeepalivedRig, onProgress: (line: string) => void): Promise<CutResult> {
  const before = await rig.waitStable();
  const traffic = await rig.startTraffic(TRAFFIC);
  await waitFlowing(traffic, 0);
  traffic.mark();
  await rig.powerCut(before);
  const after = await rig.waitMoved(before);
  const { seconds } = await traffic.snapshot();
  // Connections that never come back are this run's result, not its failure.
  await waitFlowing(traffic, seconds + ALIVE_WINDOW_SECONDS).catch(() => undefined);
  // Before the stop: its wait for the last packets would count as a silence of the pod's.
  const { podPush, serverPush, udp, loopStallMs } = await traffic.snapshot();
  const { lostUp, lostDown } = (await traffic.stop()).udp;
  const up = (await rig.outsideReport()).flows.at(-1);
  const result: CutResult = {
    gapMs: Math.max(udp.longestGapUpMs, udp.longestGapDownMs),
    // Up as the server counted it: the client's own count still misses what was under way when it stopped.
    lostPackets: (up?.missing ?? lostUp) + lostDown,
    opened: podPush.opened + serverPush.opened,
    alive: podPush.alive + serverPush.alive,
  };
  onProgress(
    `${before} → ${after}: gap ${result.gapMs.toFixed(0)} ms, ${result.lostPackets} packets lost, ` +
      `${result.alive} of ${result.opened} connections alive, the probe itself stalled ${loopStallMs.toFixed(0)} ms`,
  );
  await rig.powerOn(before);
  await rig.waitStable();
  return result;
}

/** All connections carry data; `fromSeconds` on the probe's clock: not judged before. */
function waitFlowing(traffic: RunningClient, fromSeconds: number): Promise<true> {
  return waitUntil(
    'all connections to carry data',
    async () => {
      const { seconds, podPush, serverPush, udp } = await traffic.snapshot();
      const flows =
        podPush.alive === podPush.asked && serverPush.alive === serverPush.asked && udp.receivedDown > 0;
      return flows && seconds >= fromSeconds ? true : undefined;
    },
    { timeoutMs: SETTLE_TIMEOUT_MS },
  );
}

export function summarize(results: readonly CutResult[]): PowerCutFigures {
  const gaps = results.map(({ gapMs }) => gapMs);
  const sum = (of: (result: CutResult) => number): number =>
    results.reduce((total, result) => total + of(result), 0);
  return {
    runs: results.length,
    p50Ms: median(gaps) ?? null,
    p99Ms: percentile(gaps, 99) ?? null,
    maxMs: gaps.length === 0 ? null : Math.max(...gaps),
    lostPackets: sum(({ lostPackets }) => lostPackets),
    tcpOpened: sum(({ opened }) => opened),
    tcpAlive: sum(({ alive }) => alive),
  };
}
