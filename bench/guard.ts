/**
 * The dead-man switch on this machine's kernel: how late its timers let an address fall silent, which the durations of the
 * protocol stand on, and what it costs a packet that it looks at.
 */
import { existsSync, readFileSync } from 'node:fs';
import os from 'node:os';
import { gunzipSync } from 'node:zlib';
import { deriveDurations, KERNEL_TIMER_MS } from '../failover/core/ownership/durations.ts';
import type { Bench, Figures } from './bench.ts';
import { ANSWER_PROBE, LOOPBACK_PROBE } from './guardProbe.ts';
import { createGuardRig, EGRESS, type FamilyName, type GuardRig, type Silence } from './guardRig.ts';
import { formatFigure, renderTable } from './renderTable.ts';
import { median, percentile } from './statistics.ts';

/** Its windows are whole ticks of 4 ms: the kernel rounds other times down, which would hide as much of what is late. */
const SETTINGS = { heartbeatMs: 25, sessionMs: 256 } as const;
const FAMILIES = Object.keys(EGRESS) as readonly FamilyName[]; // Object.keys forgets the literal type.
/** A run is this many silences; 99% of them need a hundred. */
const SILENCES_PER_RUN = 20;
const SILENCES_MIN = 100;
/** Grants come up to here after their heartbeat: later ones of a busy machine would miss the last window. */
const GRANT_AFTER_MAX_MS = 215;
/** Where the asker itself was held up for longer between two questions, the moment of silence is not known well enough. */
const BLUR_MAX_MS = 1;
/** Of a busy machine many are blurred; so many times as many are tried. */
const TRIES_PER_SILENCE = 3;
/** Costs are a tenth of what else disturbs such short runs: many of them, in turns. */
const TURNS_PER_RUN = 6;
const ANSWERS_PER_TURN = 5000;
const ROUND_TRIPS_PER_TURN = 10_000;
/** For the costs the address is answered throughout. */
const LONG = { windows: [{ withinMs: 600_000, answerMs: 600_000 }] };

type Say = (line: string) => void;

export const guard: Bench = {
  about: "how late the kernel's dead-man switch falls silent, and what it costs a packet",
  async run(say, { runs }) {
    const lateMs = await measureLateness(say, Math.max(SILENCES_MIN, runs * SILENCES_PER_RUN));
    return { lateMs, ...(await measureCosts(say, runs)) };
  },
};

async function measureLateness(say: Say, count: number): Promise<Figures> {
  const durations = deriveDurations(SETTINGS);
  const answerMs = durations.windows[0]?.answerMs ?? Number.NaN;
  const rig = await createGuardRig(durations);
  const late: Record<string, Figures> = {};
  const rows: (readonly string[])[] = [];
  try {
    for (const family of FAMILIES) {
      const one = await repeat(rig, { family, count, grantAfterMs: () => 0 });
      const afterGrant = latenessOf(one, ({ afterGrantMs }) => afterGrantMs - answerMs);
      const two = await repeat(rig, {
        family,
        count,
        grantAfterMs: () => Math.random() * GRANT_AFTER_MAX_MS,
      });
      const afterBeat = latenessOf(two, ({ afterBeatMs }) => afterBeatMs - SETTINGS.sessionMs);
      late[family] = summarize(afterGrant.clear);
      rows.push(
        rowOf(`${family} after the grant`, afterGrant),
        rowOf(`${family} after the heartbeat`, afterBeat),
      );
    }
  } finally {
    await rig.down();
  }
  say(
    `falls silent so many ms late (assumed: at most ${KERNEL_TIMER_MS} after a grant, ${2 * KERNEL_TIMER_MS} after a heartbeat; CONFIG_HZ ${kernelHz() ?? 'unknown'}):`,
  );
  say(renderTable([['', 'times', 'min', 'p50', 'p99', 'max', 'all', 'certain max'], ...rows]));
  return late;
}

async function repeat(
  rig: GuardRig,
  options: {
    readonly family: FamilyName;
    readonly count: number;
    readonly grantAfterMs: () => number;
  },
): Promise<readonly Silence[]> {
  const { family, count, grantAfterMs } = options;
  const silences: Silence[] = [];
  let clear = 0;
  for (let tries = 0; clear < count && tries < count * TRIES_PER_SILENCE; tries += 1) {
    const silence = await rig.silence(family, grantAfterMs());
    if (silence === undefined) continue;
    silences.push(silence);
    if (isClear(silence)) clear += 1;
  }
  return silences;
}

function isClear({ blurMs }: Silence): boolean {
  return blurMs <= BLUR_MAX_MS;
}

interface Lateness {
  /** Until the first question without an answer, where the asker was not held up. */
  readonly clear: readonly number[];
  /** Until the last question with an answer, of all: so late it was for certain. */
  readonly certain: readonly number[];
}

function latenessOf(silences: readonly Silence[], late: (silence: Silence) => number): Lateness {
  return {
    clear: silences.filter(isClear).map(late),
    certain: silences.map((silence) => late(silence) - silence.blurMs),
  };
}

function summarize(samples: readonly number[]): Figures {
  return {
    p50: rounded(median(samples)),
    p99: rounded(percentile(samples, 99)),
    max: samples.length === 0 ? null : rounded(Math.max(...samples)),
  };
}

function rounded(value: number | undefined): number | null {
  return value === undefined ? null : Number(value.toFixed(2));
}

function rowOf(name: string, { clear, certain }: Lateness): readonly string[] {
  const ms = (value: number | undefined): string =>
    value === undefined || !Number.isFinite(value) ? '–' : value.toFixed(2);
  const figures = [Math.min(...clear), median(clear), percentile(clear, 99), Math.max(...clear)].map(ms);
  return [name, `${clear.length}`, ...figures, `${certain.length}`, ms(Math.max(...certain))];
}

/** Ticks a second of this kernel, where it says how it was built. */
function kernelHz(): number | undefined {
  const [packed, plain] = ['/proc/config.gz', `/boot/config-${os.release()}`];
  const text = existsSync(packed)
    ? gunzipSync(readFileSync(packed)).toString('utf8')
    : existsSync(plain)
      ? readFileSync(plain, 'utf8')
      : '';
  const hz = /^CONFIG_HZ=(\d+)$/m.exec(text)?.[1];
  return hz === undefined ? undefined : Number(hz);
}

interface Costs {
  readonly answerUs: Readonly<Record<FamilyName, number[]>>;
  readonly answersPerSecond: Readonly<Record<FamilyName, number[]>>;
  readonly loopbackUs: number[];
}

const noCosts = (): Costs => ({
  answerUs: { v4: [], v6: [] },
  answersPerSecond: { v4: [], v6: [] },
  loopbackUs: [],
});

async function measureCosts(say: Say, runs: number): Promise<Figures> {
  const rig = await createGuardRig(LONG);
  const [guarded, unguarded] = [noCosts(), noCosts()];
  try {
    for (let turn = 0; turn < runs * TURNS_PER_RUN; turn += 1) {
      await rig.answer();
      measureOnce(rig, guarded);
      rig.unguard();
      measureOnce(rig, unguarded);
    }
  } finally {
    await rig.down();
  }
  sayCosts(say, guarded, unguarded);
  return {
    answerUs: {
      guarded: rounded(median(guarded.answerUs.v4)),
      unguarded: rounded(median(unguarded.answerUs.v4)),
    },
    loopbackUs: { with: rounded(median(guarded.loopbackUs)), without: rounded(median(unguarded.loopbackUs)) },
  };
}

function measureOnce(rig: GuardRig, into: Costs): void {
  for (const family of FAMILIES) {
    const [us = 0, perSecond = 0] = rig
      .perl('peer', ANSWER_PROBE, EGRESS[family], `${ANSWERS_PER_TURN}`)
      .split(' ')
      .map(Number);
    into.answerUs[family].push(us);
    into.answersPerSecond[family].push(perSecond);
  }
  into.loopbackUs.push(Number(rig.perl('gw', LOOPBACK_PROBE, `${ROUND_TRIPS_PER_TURN}`)));
}

function sayCosts(say: Say, guarded: Costs, unguarded: Costs): void {
  const row = (name: string, of: (costs: Costs) => readonly number[]): readonly string[] => [
    name,
    ...[guarded, unguarded].map((costs) => formatFigure(median(of(costs)))),
  ];
  say(
    `\nmedians of ${guarded.loopbackUs.length} alternating turns; an answer there and back, with what asking takes:`,
  );
  say(
    renderTable([
      ['', 'with the guard', 'without'],
      row('ARP, µs an answer', ({ answerUs }) => answerUs.v4),
      row('ARP, answers/s', ({ answersPerSecond }) => answersPerSecond.v4),
      row('ND, µs an answer', ({ answerUs }) => answerUs.v6),
      row('ND, answers/s', ({ answersPerSecond }) => answersPerSecond.v6),
      row('lo, µs a packet', ({ loopbackUs }) => loopbackUs),
    ]),
  );
}
