/** The pod's side of the probes: connections that push, are pushed to and idle, and one UDP flow, measured together. */
import { randomBytes } from 'node:crypto';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { ConnectionGroup, type ConnectionKind } from './connectionGroup.ts';
import { RATE_MAX } from './datagram.ts';
import type { ClientReady, ClientReport, ClientResumed, ProbePorts } from './report.ts';
import { UdpFlow } from './udpFlow.ts';

export interface ProbeClientOptions {
  readonly server: string;
  readonly ports: ProbePorts;
  /** Connections on which the pod sends a line each `intervalMs` and gets it back. */
  readonly podPush: number;
  /** Connections on which only the server sends. */
  readonly serverPush: number;
  /** Connections on which nothing is sent until `resume`. */
  readonly idle: number;
  /** UDP packets a second each way; 0 for none. */
  readonly udpRate: number;
  readonly intervalMs: number;
}

export interface ProbeClient {
  readonly ready: ClientReady;
  snapshot(): ClientReport;
  /** Gaps are counted anew from here; losses and resets are not. */
  mark(): void;
  resume(): Promise<ClientResumed>;
  stop(): Promise<ClientReport>;
}

/** Of each kind: below the usual limit of open files. */
export const CONNECTIONS_MAX = 5_000;

/** Throws on options out of range. A server that cannot be reached shows in the reports. */
export async function startProbeClient(options: ProbeClientOptions): Promise<ProbeClient> {
  checkOptions(options);
  const began = performance.now();
  const stalls = monitorEventLoopDelay({ resolution: 1 });
  stalls.enable();
  const { server: host, ports, intervalMs } = options;
  const group = (kind: ConnectionKind, port: number): ConnectionGroup =>
    new ConnectionGroup({ kind, host, port, count: options[kind], intervalMs });
  const podPush = group('podPush', ports.echo);
  const serverPush = group('serverPush', ports.push);
  const idle = group('idle', ports.echo);
  const groups = [podPush, serverPush, idle];
  const udp = new UdpFlow({ run: randomBytes(4).toString('hex'), ratePerSecond: options.udpRate, host });
  await Promise.all([...groups.map((one) => one.open()), udp.open(ports.udp)]);

  const report = (event: ClientReport['event']): ClientReport => {
    const nowMs = performance.now();
    return {
      event,
      seconds: (nowMs - began) / 1000,
      podPush: podPush.report(nowMs),
      serverPush: serverPush.report(nowMs),
      idle: idle.report(nowMs),
      udp: udp.report(nowMs),
      loopStallMs: stalls.max / 1e6,
    };
  };
  return {
    ready: {
      event: 'ready',
      opened: { podPush: podPush.opened, serverPush: serverPush.opened, idle: idle.opened },
    },
    snapshot: () => report('snapshot'),
    mark: () => {
      for (const one of groups) one.mark();
      udp.mark();
      stalls.reset();
    },
    resume: async () => {
      const answered = await idle.resume();
      const { opened, reset } = idle.report(performance.now());
      return { event: 'resumed', opened, answered, reset };
    },
    stop: async () => {
      // Connections are judged while everything still runs; only what is on its way in UDP is waited for.
      const tcp = report('report');
      await udp.drain();
      // Nothing is sent while it drains, so that silence is no gap, whichever side counts it.
      const { longestGapUpMs, longestGapDownMs } = tcp.udp;
      const final = { ...tcp, udp: { ...udp.report(performance.now()), longestGapUpMs, longestGapDownMs } };
      for (const one of groups) one.close();
      udp.close();
      stalls.disable();
      return final;
    },
  };
}

function checkOptions(options: ProbeClientOptions): void {
  const inRange = (value: number, low: number, high: number): boolean =>
    Number.isInteger(value) && value >= low && value <= high;
  for (const kind of ['podPush', 'serverPush', 'idle'] as const)
    if (!inRange(options[kind], 0, CONNECTIONS_MAX))
      throw new RangeError(`${kind}: use 0 to ${CONNECTIONS_MAX}`);
  if (!inRange(options.udpRate, 0, RATE_MAX)) throw new RangeError(`udpRate: use 0 to ${RATE_MAX}`);
  if (!inRange(options.intervalMs, 1, 60_000)) throw new RangeError('intervalMs: use 1 to 60000');
}
