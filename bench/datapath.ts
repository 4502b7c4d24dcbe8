/**
 * What the data path costs: a gateway alone, the whole way of a packet, and the programming of a node in a large cluster.
 * Beside it, in alternating turns of the same run, what gateways have elsewhere: source NAT with connection tracking there.
 */
import type { Bench, Figures } from './bench.ts';
import {
  type Flows,
  type GatewayKind,
  type GatewayRig,
  openGatewayRig,
  type Passed,
} from './datapath/gatewayRig.ts';
import { compileLoad, type LoadProgram } from './datapath/loadProgram.ts';
import { openOurPath, openPeerPath, PATH_LOADS, type PathLoad } from './datapath/pathRig.ts';
import { measureScale } from './datapath/scaleRig.ts';
import { formatFigure, renderTable } from './renderTable.ts';
import { median, percentile } from './statistics.ts';

const CLASSES = ['gateway', 'path', 'scale'] as const;
const KINDS: readonly GatewayKind[] = ['ours', 'oursInTheStack', 'peer'];
const LOADS: readonly Flows[] = [
  ...[1, 1000, 100_000, 0].map((flows) => ({ flows, family: 4 }) as const),
  { flows: 1000, family: 6 },
];
/** Brings caches, maps and connection tracking to where they stay. */
const WARM_SECONDS = 0.3;
/** All flows are met several times in it, and new ones do not fill the kernel's 262,144 entries. */
const secondsOf = ({ flows }: Flows): number => (flows === 0 ? 0.5 : flows >= 100_000 ? 2 : 1);
const PATH_SECONDS = 1;
const POD_CHANGES_PER_RUN = 20;
const IP_MOVES_PER_RUN = 20;
/** 99% of them need a hundred. */
const CHANGES_MIN = 100;

type Say = (line: string) => void;

export const datapath: Bench = {
  about: 'what a packet, a connection and a change of the cluster cost, beside stateful SNAT on the gateway',
  classes: CLASSES,
  async run(say, { runs, classes = CLASSES }) {
    const wants = (name: (typeof CLASSES)[number]): boolean => classes.includes(name);
    const load = compileLoad();
    try {
      const gateway = wants('gateway') ? await measureGateway(say, load, runs) : NO_GATEWAY;
      const path = wants('path') ? await measurePath(say, load, runs) : NO_PATH;
      const scale = wants('scale') ? await measureCluster(say, runs) : NO_SCALE;
      return { ...gateway, path, ...scale };
    } finally {
      load.remove();
    }
  },
};

const NO_GATEWAY: Figures = {
  gateway: { packetRateRatio: null, packetRateRatio1k: null, connectionRateRatio: null },
  gatewayConntrackEntries: null,
};
const NO_PATH: Figures = { packetRateRatio: null, throughputRatio: null, connectionRateRatio: null };
const NO_SCALE: Figures = {
  fullSyncMs: null,
  restartMs: null,
  resyncMs: null,
  podChangeMs: { p50: null, p99: null },
  ipMoveMs: { p50: null, p99: null },
  agentRssMb: null,
};

interface Turn {
  readonly out: Passed;
  /** New flows have no answer. */
  readonly back?: Passed;
  readonly entries: number;
  /** Packets that were counted on the fast path, those for warmth among them. */
  readonly fast: number;
}

/** Packets a second of a processor that does nothing else; there and back in equal parts. */
function rateOf({ out, back }: Turn): number {
  const each = [out, ...(back === undefined ? [] : [back])];
  return each.length / each.reduce((sum, { packets, seconds }) => sum + seconds / packets, 0);
}

async function measureGateway(say: Say, load: LoadProgram, runs: number): Promise<Figures> {
  const rigs = new Map<GatewayKind, GatewayRig>();
  const turns = new Map<string, Turn[]>();
  try {
    for (const kind of KINDS) rigs.set(kind, await openGatewayRig(kind, load));
    for (let run = 0; run < runs; run += 1) {
      for (const load of LOADS) {
        for (const [kind, rig] of run % 2 === 0 ? rigs : [...rigs].toReversed()) {
          const turn = await measureTurn(rig, load);
          checkFastPath(kind, turn);
          const key = turnsKey(kind, load);
          turns.set(key, [...(turns.get(key) ?? []), turn]);
        }
      }
    }
  } finally {
    for (const rig of rigs.values()) await rig.down();
  }
  const of = (kind: GatewayKind, load: Flows): readonly Turn[] => turns.get(turnsKey(kind, load)) ?? [];
  sayGateway(say, of, runs);
  const ratio = (flows: number): number | null =>
    medianRatio(of('ours', { flows, family: 4 }).map(rateOf), of('peer', { flows, family: 4 }).map(rateOf));
  return {
    gateway: {
      packetRateRatio: ratio(100_000),
      packetRateRatio1k: ratio(1000),
      connectionRateRatio: ratio(0),
    },
    gatewayConntrackEntries: Math.max(...LOADS.flatMap((it) => of('ours', it).map(({ entries }) => entries))),
  };
}

function turnsKey(kind: GatewayKind, { flows, family }: Flows): string {
  return `${kind} ${flows} ${family}`;
}

async function measureTurn(rig: GatewayRig, load: Flows): Promise<Turn> {
  const seconds = secondsOf(load);
  const eachIsNew = load.flows === 0;
  const before = await countFast(rig);
  rig.forgetFlows();
  await rig.out(load, eachIsNew ? WARM_SECONDS : Math.max(WARM_SECONDS, seconds / 2));
  // What is established is met; what is new must be new to a table that is empty, and not full before the end.
  if (eachIsNew) rig.forgetFlows();
  const out = await rig.out(load, seconds);
  const entries = rig.conntrackEntries();
  const both = eachIsNew ? { out } : { out, back: await rig.back(load, seconds) };
  return { ...both, entries, fast: (await countFast(rig)) - before };
}

async function countFast(rig: GatewayRig): Promise<number> {
  return (await rig.counters()).fast_out ?? 0;
}

/** Figures of a fast path that nothing took would be those of the stack. */
function checkFastPath(kind: GatewayKind, { out, fast }: Turn): void {
  if (kind === 'ours' && fast < out.packets) throw new Error('something did not go the fast way');
  if (kind === 'oursInTheStack' && fast > 0) throw new Error('something went the fast way that must not');
}

function medianRatio(ours: readonly number[], peer: readonly number[]): number | null {
  const ratio = median(ours.map((value, at) => value / (peer[at] ?? Number.NaN)));
  return rounded(ratio, 3);
}

function rounded(value: number | undefined, digits: number): number | null {
  return value === undefined || !Number.isFinite(value) ? null : Number(value.toFixed(digits));
}

function sayGateway(say: Say, of: (kind: GatewayKind, load: Flows) => readonly Turn[], runs: number): void {
  say(
    `a gateway alone, packets a second of its processor, medians of ${runs} alternating turns (out / back):`,
  );
  const cell = (turns: readonly Turn[], way: 'out' | 'back'): string => {
    const rates = turns.flatMap((turn) => turn[way] ?? []).map(({ packets, seconds }) => packets / seconds);
    return rates.length === 0 ? '–' : formatFigure(median(rates));
  };
  const rows = LOADS.map((load) => [
    titleOf(load),
    ...KINDS.flatMap((kind) => {
      const turns = of(kind, load);
      const entries = median(turns.map((turn) => turn.entries));
      return [`${cell(turns, 'out')} / ${cell(turns, 'back')}`, `${entries ?? '–'}`];
    }),
  ]);
  const head = ['', 'ours', 'entries', 'ours, no fast path', 'entries', 'stateful SNAT', 'entries'];
  say(renderTable([head, ...rows]));
}

function titleOf({ flows, family }: Flows): string {
  const title = flows === 0 ? 'each packet a new flow' : `flows: ${flows.toLocaleString('en-US')}`;
  return family === 4 ? title : `${title}, IPv6`;
}

async function measurePath(say: Say, load: LoadProgram, runs: number): Promise<Figures> {
  const rates = new Map<string, number[]>();
  const ours = await openOurPath(load);
  try {
    const peer = await openPeerPath(load);
    try {
      for (let run = 0; run < runs; run += 1) {
        for (const which of PATH_LOADS) {
          const both = [['ours', ours] as const, ['peer', peer] as const];
          for (const [name, rig] of run % 2 === 0 ? both : both.toReversed()) {
            const rate = await rig.rate(which, PATH_SECONDS);
            rates.set(`${name} ${which}`, [...(rates.get(`${name} ${which}`) ?? []), rate]);
          }
        }
      }
    } finally {
      await peer.down();
    }
  } finally {
    await ours.down();
  }
  const of = (name: string, which: PathLoad): readonly number[] => rates.get(`${name} ${which}`) ?? [];
  say(
    `\nthe whole way, a second, medians of ${runs} alternating turns; all nodes share this machine's processors:`,
  );
  const row = (title: string, which: PathLoad, unit = 1): readonly string[] => [
    title,
    ...['ours', 'peer'].map((name) => formatFigure((median(of(name, which)) ?? Number.NaN) * unit)),
  ];
  say(
    renderTable([
      ['', 'ours', 'stateful SNAT'],
      row('one TCP stream, Mbit', 'stream', 8e-6),
      row('datagrams of 64 bytes there and back', 'echo'),
      row('connections', 'connect'),
    ]),
  );
  const ratio = (which: PathLoad): number | null => medianRatio(of('ours', which), of('peer', which));
  return {
    packetRateRatio: ratio('echo'),
    throughputRatio: ratio('stream'),
    connectionRateRatio: ratio('connect'),
  };
}

async function measureCluster(say: Say, runs: number): Promise<Figures> {
  const podChanges = Math.max(CHANGES_MIN, runs * POD_CHANGES_PER_RUN);
  const ipMoves = Math.max(CHANGES_MIN, runs * IP_MOVES_PER_RUN);
  const sample = await measureScale(podChanges, ipMoves);
  say(
    "\na node's data plane in a cluster of 1,000 nodes, 50,000 pods, 1,400 egress IPs and 12,000 policies:",
  );
  if (typeof sample === 'string') {
    say(`  could not be measured: ${sample}`);
    return NO_SCALE;
  }
  const { fullSyncMs, planMs, restartMs, resyncMs, podChangeMs, ipMoveMs, podChangeCpuMs, rssMb } = sample;
  say(
    `  the first programming took ${Math.round(fullSyncMs)} ms, of it ${Math.round(planMs)} ms for the plan; an agent that starts again knows what is there after ${Math.round(restartMs)} ms`,
  );
  say(
    `  every 30 s the kernel is compared with the plan; a pod that comes just then takes ${Math.round(resyncMs)} ms`,
  );
  const row = (name: string, samples: readonly number[]): readonly string[] => [
    name,
    formatFigure(median(samples)),
    formatFigure(percentile(samples, 99)),
  ];
  say(
    renderTable([
      ['ms until in the kernel', 'p50', 'p99'],
      row('a pod comes or goes', podChangeMs),
      row('an egress IP moves', ipMoveMs),
    ]),
  );
  say(`  the process: ${Math.round(rssMb)} MB, and ${podChangeCpuMs.toFixed(1)} ms of its processor a pod`);
  const both = (samples: readonly number[]): Figures => ({
    p50: rounded(median(samples), 2),
    p99: rounded(percentile(samples, 99), 2),
  });
  return {
    fullSyncMs: Math.round(fullSyncMs),
    restartMs: Math.round(restartMs),
    resyncMs: Math.round(resyncMs),
    podChangeMs: both(podChangeMs),
    ipMoveMs: both(ipMoveMs),
    agentRssMb: rounded(rssMb, 1),
  };
}
