/**
 * The ownership thread of a simulated agent: runs the core on the node's clock, carries its effects out on kernel and
 * network, and may be stopped or stall at any point, also between what was decided and its being done.
 */
import type { PeerMessage } from '../../../failover/core/ownership/messages.ts';
import type {
  OwnershipEffect,
  OwnershipEvent,
  OwnershipState,
} from '../../../failover/core/ownership/ownershipState.ts';
import { ANNOUNCED_AGAIN_MS } from '../../../failover/io/announcer.ts';
import type { Ground, Word } from './ground.ts';
import type { KernelCommand } from './kernelModel.ts';
import { observeStep } from './observeStep.ts';
import type { SimNode } from './simNode.ts';
import { Thread } from './thread.ts';

type Timeless<E> = E extends unknown ? Omit<E, 'nowMs'> : never;
export type WorkerEvent = Timeless<OwnershipEvent>;

/** As in the runner: between a failed command and the report of it. */
const RETRY_MS = 250;
/** What the announcer's tool takes. */
const ANNOUNCED_AFTER_MS = 0.2;
/** From one thread of the process to the other. */
const HOP_MS = 0.1;

/** The main thread, as the worker sees it. */
export interface MainSide {
  word(word: Word): void;
  flushed(ok: boolean): void;
  over(session: number, floor: number): void;
  closed(): void;
  heardHoldings(effect: Extract<OwnershipEffect, { readonly kind: 'heard-holdings' }>): void;
}

export class OwnershipWorker {
  readonly thread: Thread;
  state: OwnershipState;
  /** Probability that a step stalls before its effects are done, and for how long. */
  readonly #ground: Ground;
  readonly #node: SimNode;
  readonly #main: MainSide;
  #wakeAtMs = Number.POSITIVE_INFINITY;
  #dead = false;

  constructor(node: SimNode, ground: Ground, main: MainSide) {
    this.#node = node;
    this.#ground = ground;
    this.#main = main;
    this.thread = new Thread(ground.queue);
    this.state = ground.core.initialOwnership({
      node: node.name,
      incarnation: `${node.name}.${node.lives}`,
      durations: ground.durations,
      nowMs: node.clock.read(ground.queue.nowMs),
    });
  }

  kill(): void {
    this.#dead = true;
    this.thread.kill();
  }

  receive(from: string, message: PeerMessage): void {
    this.thread.post(() => this.#step({ nowMs: this.#nowMs(), kind: 'received', from, message }));
  }

  /** From the main thread. */
  post(event: WorkerEvent): void {
    this.#ground.queue.after(HOP_MS, () => this.thread.post(() => this.#take(event)));
  }

  flush(): void {
    const { queue, bug } = this.#ground;
    const done = (ok: boolean): void => this.#toMain(() => this.#main.flushed(ok), ok ? 0 : RETRY_MS);
    if (bug === 'no flush before a new session') return done(true);
    queue.after(HOP_MS, () =>
      this.thread.post(() =>
        this.#node.kernel.submit({ kind: 'flush' }, (ok) => this.thread.post(() => done(ok))),
      ),
    );
  }

  #toMain(run: () => void, delayMs = 0): void {
    this.#ground.queue.after(HOP_MS + delayMs, () => {
      if (!this.#dead) run();
    });
  }

  #nowMs(): number {
    return this.#node.clock.read(this.#ground.queue.nowMs);
  }

  #take(event: WorkerEvent): void {
    this.#step({ ...event, nowMs: this.#nowMs() });
  }

  #step(event: OwnershipEvent): void {
    const { core, queue } = this.#ground;
    const { nowMs } = event;
    const before = this.state;
    const step = core.stepOwnership(before, event);
    this.state = step.state;
    observeStep(this.#ground, this.#node, { before, after: step.state, event, effects: step.effects });
    if (this.#ground.bug === 'user-space fence only')
      this.#node.kernel.userSpaceFence = (this.state.peer?.validUntilMs ?? 0) >= nowMs;
    const stallMs = step.effects.length === 0 ? 0 : this.#node.drawStall();
    if (stallMs === 0) return this.#finish(before, step.effects);
    this.thread.block(queue.nowMs + stallMs, () => this.#finish(before, step.effects));
  }

  #finish(before: OwnershipState, effects: readonly OwnershipEffect[]): void {
    for (const effect of effects) this.#perform(effect);
    if (isNotable(before, this.state)) {
      const word = this.#ground.core.wordOfOwnership(this.state);
      this.#toMain(() => this.#main.word(word));
    }
    this.#schedule();
  }

  #schedule(): void {
    const wakeMs = this.#ground.core.ownershipWakeMs(this.state);
    if (wakeMs === undefined) return;
    const { queue } = this.#ground;
    const { clock, timerLate } = this.#node;
    const atMs = Math.max(queue.nowMs, clock.worldAt(wakeMs)) + timerLate.next();
    // A timer that fires too early looks again; the heap would fill with those that were moved.
    if (atMs >= this.#wakeAtMs) return;
    this.#wakeAtMs = atMs;
    queue.at(atMs, () => {
      if (this.#dead || this.#wakeAtMs !== atMs) return;
      this.#wakeAtMs = Number.POSITIVE_INFINITY;
      this.thread.post(() => this.#wake());
    });
  }

  #wake(): void {
    const wakeMs = this.#ground.core.ownershipWakeMs(this.state);
    const nowMs = this.#nowMs();
    if (wakeMs !== undefined && nowMs >= wakeMs) this.#step({ nowMs, kind: 'tick' });
    else this.#schedule();
  }

  #perform(effect: OwnershipEffect): void {
    const { network, indexOf } = this.#ground;
    const { kernel } = this.#node;
    switch (effect.kind) {
      case 'send': {
        const to = indexOf.get(effect.to);
        if (to === undefined) return;
        this.#ground.checker.sent(this.#node, effect.to, effect.message);
        return network.send(this.#node.index, to, effect.message);
      }
      case 'beat': {
        const { session, seq } = effect;
        return kernel.submit(effect, (ok) => this.#outcome({ kind: 'beat-done', session, seq, ok }));
      }
      case 'grant':
        return kernel.submit(this.#asGranted(effect), () => undefined);
      case 'arm':
      case 'disarm':
        return this.#move(effect);
      case 'session-over':
        return this.#toMain(() => this.#main.over(effect.session, effect.floor));
      case 'session-closed':
        return this.#toMain(() => this.#main.closed());
      case 'heard-holdings':
        return this.#toMain(() => this.#main.heardHoldings(effect));
      case 'announce':
        return this.#announce(effect.address);
      case 'refresh':
        return this.#tellSegment(effect.address, ANNOUNCED_AFTER_MS);
      default:
        return effect satisfies never;
    }
  }

  #move({ kind, address, session }: Extract<OwnershipEffect, { readonly kind: 'arm' | 'disarm' }>): void {
    const { kernel } = this.#node;
    if (kind === 'arm')
      return kernel.submit({ kind, address, session }, (ok) =>
        this.#outcome({ kind: 'armed', address, session, ok }),
      );
    const early = this.#ground.bug === 'release before the kernel confirmed';
    if (early) this.thread.post(() => this.#take({ kind: 'disarmed', address, session, ok: true }));
    kernel.submit({ kind, address }, (ok) => {
      if (!early) this.#outcome({ kind: 'disarmed', address, session, ok });
    });
  }

  /** As in failover/io/announcer.ts. */
  #announce(address: string): void {
    const { bug } = this.#ground;
    const repeatsMs = bug === 'an address is announced once' ? [] : ANNOUNCED_AGAIN_MS;
    for (const afterMs of [ANNOUNCED_AFTER_MS, ...repeatsMs]) this.#tellSegment(address, afterMs);
  }

  #tellSegment(address: string, afterMs: number): void {
    const { queue, segment } = this.#ground;
    queue.after(afterMs, () => this.thread.post(() => segment.announce(this.#node, address)));
  }

  #asGranted(effect: Extract<OwnershipEffect, { readonly kind: 'grant' }>): KernelCommand {
    const { bug, durations } = this.#ground;
    if (bug === 'validity from the answer') return { ...effect, lifetimeMs: durations.sessionMs };
    if (bug !== 're-arming with the remaining time') return effect;
    const remainsMs = (this.state.peer?.validUntilMs ?? 0) - this.#nowMs();
    return remainsMs > 0 ? { ...effect, lifetimeMs: remainsMs } : effect;
  }

  #outcome(event: Extract<WorkerEvent, { readonly ok: boolean }>): void {
    if (!event.ok) this.#ground.coverage.hit('kernel: command failed');
    this.#ground.queue.after(event.ok ? 0 : RETRY_MS, () => this.thread.post(() => this.#take(event)));
  }
}

function isNotable(before: OwnershipState, after: OwnershipState): boolean {
  return (
    before.addresses !== after.addresses ||
    before.assignments !== after.assignments ||
    before.deaths.verdicts !== after.deaths.verdicts ||
    before.peer?.session !== after.peer?.session ||
    (before.peer?.validUntilMs === 0) !== (after.peer?.validUntilMs === 0) ||
    before.closing !== after.closing ||
    before.voter.config !== after.voter.config
  );
}
