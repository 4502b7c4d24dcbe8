/**
 * What the heartbeats cost a node: the product's ownership thread in a network namespace of its own, with its kernel's
 * guard, beside 20 gateways and among 1,000 nodes with an agent; the others are at the far end of a wire. Processor time is
 * the process's whole one, so it includes the thread that only waits.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { formatAddress } from '../policy/address.ts';
import type { Bench, Figures } from './bench.ts';
import { LISTENING, LIVING, MEASURED, nodeAddress, UPLINK } from './heartbeats/scene.ts';
import { formatFigure, renderTable } from './renderTable.ts';
import { median } from './statistics.ts';

const ROLES = ['gateway', 'voter', 'bystander'] as const;
type Role = (typeof ROLES)[number];
const SECONDS = 10;
const [NEAR, FAR] = [`sp-hb-near-${process.pid}`, `sp-hb-far-${process.pid}`];

export const heartbeats: Bench = {
  about: 'what heartbeats cost a gateway, a voter and any other node, with 20 gateways and 1,000 agents',
  async run(say, { runs }) {
    buildWire();
    try {
      const figures: Record<string, Figures> = {};
      for (const role of ROLES) figures[role] = await measureRole(role, { runs, say });
      const rows = ROLES.map((role) => {
        const { cpuPercent, rssMb } = figures[role] as {
          readonly cpuPercent: number;
          readonly rssMb: number;
        };
        return [role, `${formatFigure(cpuPercent)}`, `${formatFigure(rssMb)}`];
      });
      say(renderTable([['role', '% of a core', 'RSS, MB'], ...rows]));
      return figures;
    } finally {
      for (const namespace of [NEAR, FAR]) ip(['netns', 'del', namespace]);
    }
  },
};

function ip(args: readonly string[]): void {
  execFileSync('ip', [...args]);
}

function buildWire(): void {
  const { device } = UPLINK;
  for (const namespace of [NEAR, FAR]) {
    ip(['netns', 'add', namespace]);
    ip(['-n', namespace, 'link', 'set', 'lo', 'up']);
  }
  ip(['-n', NEAR, 'link', 'add', device, 'type', 'veth', 'peer', 'name', device, 'netns', FAR]);
  ip(['-n', NEAR, 'link', 'add', 'egress0', 'type', 'vxlan', 'id', '1', 'dstport', '4790']);
  for (const namespace of [NEAR, FAR]) ip(['-n', namespace, 'link', 'set', device, 'up']);
  ip(['-n', NEAR, 'link', 'set', 'egress0', 'up']);
  // One neighbour for each other, as through a router: a thousand at once would be a test of the neighbour table.
  const [near, hop] = [formatAddress(nodeAddress(MEASURED)), UPLINK.router];
  ip(['-n', NEAR, 'addr', 'add', `${near}/32`, 'dev', device]);
  ip(['-n', NEAR, 'route', 'add', hop, 'dev', device, 'src', near]);
  ip(['-n', NEAR, 'route', 'add', 'default', 'via', hop, 'dev', device, 'src', near]);
  const addresses = [hop, ...[...LIVING, ...LISTENING].map((node) => formatAddress(nodeAddress(node)))];
  const lines = addresses.map((address) => `addr add ${address}/32 dev ${device}\n`);
  execFileSync('ip', ['-n', FAR, '-batch', '-'], { input: lines.join('') });
  ip(['-n', FAR, 'route', 'add', `${near}/32`, 'dev', device]);
}

interface Sample {
  readonly cpuPercent: number;
  readonly rssMb: number;
  /** Before it held what it was to hold, and so while it told everybody of it. */
  readonly sessionsLost: number;
}

async function measureRole(
  role: Role,
  { runs, say }: { readonly runs: number; readonly say: (line: string) => void },
): Promise<Figures> {
  const samples: Sample[] = [];
  for (let run = 1; run <= runs; run += 1) {
    const others = [role, 'listeners'].map((part) => start(FAR, 'otherAgents.ts', [part]));
    for (const other of others) await lineOf(other, /^ready$/);
    const measured = start(NEAR, 'measuredAgent.ts', [role, String(SECONDS)]);
    const sample = JSON.parse(await lineOf(measured, /^\{/)) as Sample;
    const ended = others.map((other) => once(other, 'exit'));
    for (const other of others) other.stdin?.end();
    await Promise.all(ended);
    samples.push(sample);
    say(
      `  ${role} ${run}/${runs}: ${sample.cpuPercent.toFixed(2)} % of a core, ${sample.rssMb.toFixed(0)} MB, ${sample.sessionsLost} sessions lost before`,
    );
  }
  return {
    cpuPercent: median(samples.map(({ cpuPercent }) => cpuPercent)) ?? null,
    rssMb: median(samples.map(({ rssMb }) => rssMb)) ?? null,
    sessionsLost: Math.max(...samples.map(({ sessionsLost }) => sessionsLost)),
  };
}

function start(namespace: string, file: string, args: readonly string[]): ChildProcess {
  const module = path.join(import.meta.dirname, 'heartbeats', file);
  const command = ['netns', 'exec', namespace, process.execPath, module, ...args];
  return spawn('ip', command, { stdio: ['pipe', 'pipe', 'inherit'] });
}

/** The first line of its output that matches; an end without one throws. */
function lineOf(child: ChildProcess, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`it ended with code ${code} and said nothing`)));
    if (child.stdout === null) throw new Error('lineOf: its output is not a pipe');
    createInterface(child.stdout).on('line', (line) => {
      if (pattern.test(line)) resolve(line);
    });
  });
}
