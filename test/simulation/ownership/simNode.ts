/** One machine: a clock, a kernel, and the agent's process on it, which comes and goes. */
import type { PeerMessage } from '../../../failover/core/ownership/messages.ts';
import { AgentMain } from './agentMain.ts';
import type { Stream } from './draws.ts';
import type { Ground } from './ground.ts';
import { KernelModel } from './kernelModel.ts';
import { NodeClock } from './nodeClock.ts';

export class SimNode {
  readonly name: string;
  readonly index: number;
  readonly isGateway: boolean;
  readonly clock: NodeClock;
  readonly kernel: KernelModel;
  readonly timerLate: Stream;
  agent: AgentMain | undefined;
  /** How many processes there were. */
  lives = 0;
  on = true;
  /** Faults under way that keep the API from this node. */
  apiCuts = 0;
  stalls = { probability: 0, leastMs: 0, mostMs: 0 };
  readonly #ground: Ground;
  readonly #stall: Stream;
  #starts = 0;

  constructor(
    ground: Ground,
    options: {
      readonly index: number;
      readonly name: string;
      readonly isGateway: boolean;
      /** Of its clock; absent: drawn. */
      readonly rate?: number | undefined;
    },
  ) {
    this.#ground = ground;
    this.index = options.index;
    this.name = options.name;
    this.isGateway = options.isGateway;
    const { queue, draws } = ground;
    const rates = draws.draw(`clock of ${this.name}`);
    // Half of them stand at one end: what is safe by the margins alone is seen there.
    const error = rates.chance(0.5) ? rates.pick([-0.01, 0.01]) : rates.between(-0.01, 0.01);
    this.clock = new NodeClock(options.rate ?? 1 + error, rates.between(0, 1_000_000));
    this.timerLate = draws.draw(`timers of ${this.name}`);
    this.#stall = draws.draw(`stalls of ${this.name}`);
    this.kernel = new KernelModel({
      durations: ground.durations,
      queue,
      clock: this.clock,
      draws: {
        command: draws.draw(`commands of ${this.name}`),
        timer: draws.draw(`kernel timers of ${this.name}`),
        failure: draws.draw(`command failures of ${this.name}`),
      },
      committed: () => ground.checker.kernelChanged(this),
    });
  }

  start(): void {
    if (!this.on || this.agent !== undefined) return;
    this.lives += 1;
    this.agent = new AgentMain(this, this.#ground);
    this.agent.start();
  }

  /** The process is gone at once; what the kernel holds stays. */
  crash(restartAfterMs: number): void {
    this.#starts += 1;
    this.agent?.kill();
    this.agent = undefined;
    this.kernel.forgetQueue();
    this.#ground.checker.silenced(this);
    const starts = this.#starts;
    this.#ground.queue.after(restartAfterMs, () => {
      if (starts === this.#starts) this.start();
    });
  }

  powerOff(onAfterMs: number): void {
    if (!this.on) return;
    this.on = false;
    this.kernel.powerOff();
    this.crash(onAfterMs + 1);
    this.#ground.queue.after(onAfterMs, () => {
      this.on = true;
    });
  }

  freeze(durationMs: number): void {
    if (!this.on || this.kernel.frozen) return;
    this.clock.freeze(durationMs);
    this.kernel.freeze(durationMs);
    this.agent?.block(durationMs);
  }

  drawStall(): number {
    const { probability, leastMs, mostMs } = this.stalls;
    return this.#stall.chance(probability) ? this.#stall.between(leastMs, mostMs) : 0;
  }

  receive(from: string, message: PeerMessage): void {
    if (this.on) this.agent?.worker.receive(from, message);
  }
}
