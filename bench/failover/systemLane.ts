/** A system under a fault, measured by the probes: the same program, the same traffic and the same judgement for each. */
import { type AnswerWatch, watchAnswers } from '../../test/chaos/answerWatch.ts';
import type { Fault, FaultContext } from '../../test/chaos/faultRun.ts';
import { OUTSIDE } from '../../test/cluster/topology.ts';
import { waitUntil } from '../../test/cluster/waitUntil.ts';
import { lostOnTheWay } from '../../test/probe/lostOnTheWay.ts';
import type { RunningClient, RunningServer } from '../../test/probe/probeProcess.ts';
import type { ClientReport, ServedFlow } from '../../test/probe/report.ts';
import { countAnswerers } from './countAnswerers.ts';
import { startOutsideServer } from './probes.ts';
import type { Lane, Measured } from './runTogether.ts';
import type { System } from './system.ts';

/** A connection counts as alive that was heard within the last second: what was heard before the fault must not count. */
const ALIVE_WINDOW_SECONDS = 1.1;
/** TCP retries 200, 400, 800 … ms apart: after a gap of seconds, what is not back within this never comes back. */
const FLOWING_TIMEOUT_MS = 20_000;

/** What carries data: all of it, UDP but not every connection, or not even UDP both ways. */
type Flowing = 'all' | 'udp' | 'nothing';

export class SystemLane implements Lane {
  readonly #system: System;
  readonly #fault: Fault;
  #watch: AnswerWatch | undefined;
  #server: RunningServer | undefined;
  #client: RunningClient | undefined;
  #hit: FaultContext | undefined;
  #silent = false;

  constructor(system: System, fault: Fault) {
    this.#system = system;
    this.#fault = fault;
  }

  waitWhole(): Promise<void> {
    return this.#system.waitWhole();
  }

  /** The server is new each time: an old one goes on sending for a minute to clients that have ended. */
  async startTraffic(): Promise<void> {
    const { cluster, address } = this.#system;
    this.#watch = await watchAnswers(cluster, address);
    this.#server = await startOutsideServer(['ip', 'netns', 'exec', cluster.networkNamespace(OUTSIDE)]);
    this.#client = await this.#system.startTraffic();
    const flowing = await waitFlowing(this.#client, 0);
    if (flowing !== 'all') throw new Error('not every connection carries data');
  }

  markGaps(): void {
    this.#client?.mark();
  }

  inject(): Promise<void> {
    const { cluster, address, pod, close } = this.#system;
    // Who holds the address is asked of the wire, now: on a busy machine it may have moved since it was whole.
    const holder = this.#watch?.answers().at(-1)?.node;
    if (holder === undefined || this.#server === undefined) throw new Error('nobody answers for the address');
    this.#hit = { cluster, server: this.#server, destroy: close, holder, address, pod };
    return Promise.resolve(this.#fault.inject(this.#hit));
  }

  async settle(): Promise<void> {
    if (this.#client === undefined || this.#hit === undefined) throw new Error('it was not hit');
    await this.#fault.settled?.(this.#hit);
    const { seconds } = await this.#client.snapshot();
    // Connections that never come back are this run's result, not its failure.
    this.#silent = (await waitFlowing(this.#client, seconds + ALIVE_WINDOW_SECONDS)) === 'nothing';
    if (this.#silent) throw new Error(`no packet came through for ${FLOWING_TIMEOUT_MS} ms`);
  }

  async measure(): Promise<Measured> {
    if (this.#client === undefined || this.#server === undefined) throw new Error('no traffic was started');
    const report = await this.#client.stop();
    const [served] = (await this.#server.report()).flows;
    const answers = this.#watch?.answers() ?? [];
    return {
      gapMs: Math.max(report.udp.longestGapUpMs, report.udp.longestGapDownMs),
      lostPackets: lostPackets(report, served, this.#silent),
      opened: report.podPush.opened + report.serverPush.opened,
      alive: report.podPush.alive + report.serverPush.alive,
      answerers: [...new Set(answers.map(({ node }) => node))],
      answerersMax: countAnswerers(answers),
      stallMs: report.loopStallMs,
    };
  }

  async restore(): Promise<void> {
    this.#client?.kill();
    await this.#watch?.stop();
    await this.#server?.stop();
    if (this.#hit !== undefined) await this.#fault.restore?.(this.#hit);
  }
}

/** @param fromSeconds on the probe's clock: not judged before */
async function waitFlowing(client: RunningClient, fromSeconds: number): Promise<Flowing> {
  let last: ClientReport | undefined;
  let flowing: Flowing = 'nothing';
  const look = async (): Promise<true | undefined> => {
    const report = await client.snapshot();
    flowing = last === undefined ? 'nothing' : flowingBetween(last, report);
    last = report;
    return flowing === 'all' && report.seconds >= fromSeconds ? true : undefined;
  };
  await waitUntil('all connections to carry data', look, { timeoutMs: FLOWING_TIMEOUT_MS }).catch(
    () => undefined,
  );
  return flowing;
}

function flowingBetween(before: ClientReport, now: ClientReport): Flowing {
  const up = ({ udp }: ClientReport): number => udp.sent - udp.lostUp;
  if (now.udp.receivedDown <= before.udp.receivedDown || up(now) <= up(before)) return 'nothing';
  const { podPush, serverPush } = now;
  return podPush.alive === podPush.asked && serverPush.alive === serverPush.asked ? 'all' : 'udp';
}

/** Where nothing comes through any more there is no last packet to count gaps up to: then it is what was sent less what came. */
function lostPackets({ udp }: ClientReport, served: ServedFlow | undefined, silent: boolean): number {
  if (silent) return udp.lostUp + Math.max(udp.lostDown, (served?.sent ?? 0) - udp.receivedDown);
  return lostOnTheWay(udp, served);
}
