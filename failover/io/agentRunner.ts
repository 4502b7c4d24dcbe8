/**
 * Carries out what the agent's core asks for and reports each outcome back as an event. Events are queued and stepped
 * one at a time; nothing here decides. A command that failed is reported after a pause, so a broken tool is not called
 * in a hot loop.
 */
import type { Logger } from '../../runtime/logger.ts';
import {
  type AgentEffect,
  type AgentEvent,
  type AgentState,
  answeredEpochs,
  initialAgent,
  readyToClose,
  stepAgent,
} from '../core/agent/agentCore.ts';
import type { AgentView } from '../core/agent/agentView.ts';
import type { NodeReport, ObservedNode } from '../core/agent/reportNode.ts';
import { initialSession, type SessionEffect, type SessionEvent } from '../core/agent/session.ts';
import type { DataPlane, KernelOutcome } from '../core/dataPlane.ts';
import type { LeaseHeart } from './leaseHeart.ts';

/** Between a failed kernel command or report and the next try of it. */
const RETRY_MS = 500;
/** A stopping agent that could not hand over within this leaves the rest to its Lease running out. */
const STOP_DEADLINE_MS = 5000;

export interface AgentRunner {
  viewed(view: AgentView): void;
  observed(observed: ObservedNode): void;
  reportFailed(): void;
  /** Compares the kernel with the plan again. */
  resync(): void;
  /** Hands over: disarms, states it, closes the session. Forwarding stays in the kernel. */
  stop(): Promise<void>;
  /** Undefined once a plan is in the kernel; else why not. */
  whyNotReady(): string | undefined;
}

export interface AgentRunnerOptions {
  readonly node: string;
  readonly dataPlane: DataPlane;
  readonly heart: LeaseHeart;
  readonly logger: Logger;
  readonly observed: ObservedNode;
  /** `DataPlane.readHolders` at the start. */
  readonly recalled: ReadonlyMap<string, string>;
  readonly heartbeatMs: number;
  readonly lifetimeMs: number;
  readonly report: (report: NodeReport) => void;
  /** True while the node is labelled a gateway. */
  readonly isGateway: (view: AgentView) => boolean;
  readonly monotonicMs: () => number;
}

export function startAgentRunner(options: AgentRunnerOptions): AgentRunner {
  return new Runner(options);
}

class Runner implements AgentRunner {
  readonly #options: AgentRunnerOptions;
  readonly #queue: AgentEvent[] = [];
  #state: AgentState;
  #stepping = false;
  #wakeTimer: NodeJS.Timeout | undefined;
  #closed: (() => void) | undefined;

  constructor(options: AgentRunnerOptions) {
    this.#options = options;
    this.#state = initialAgent(options.observed, options.recalled);
  }

  viewed(view: AgentView): void {
    this.#post({ kind: 'viewed', view });
    const { heartbeatMs, lifetimeMs } = this.#options;
    if (this.#state.session !== undefined || !this.#options.isGateway(view)) return;
    const begun = initialSession({ heartbeatMs, lifetimeMs, floor: highestSession(view) });
    this.#post({ kind: 'gateway', session: begun.state });
    for (const effect of begun.effects) this.#perform(effect);
  }

  observed(observed: ObservedNode): void {
    this.#post({ kind: 'observed', observed });
  }

  reportFailed(): void {
    this.#postLater({ kind: 'report-failed' });
  }

  resync(): void {
    this.#post({ kind: 'resync' });
  }

  whyNotReady(): string | undefined {
    const { view, observed } = this.#state;
    if (view === undefined) return 'the caches have not synced yet';
    return observed.dataPlaneReady ? undefined : observed.dataPlaneMessage;
  }

  async stop(): Promise<void> {
    const done = new Promise<void>((resolve) => {
      this.#closed = resolve;
    });
    this.#options.logger.info('handing over', { holding: answeredEpochs(this.#state).size });
    this.#post({ kind: 'stop' });
    const deadline = setTimeout(() => this.#closed?.(), STOP_DEADLINE_MS);
    await done;
    clearTimeout(deadline);
    clearTimeout(this.#wakeTimer);
  }

  #post(event: AgentEvent): void {
    this.#queue.push(event);
    if (this.#stepping) return;
    this.#stepping = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        const step = stepAgent(this.#state, next);
        this.#state = step.state;
        for (const effect of step.effects) this.#perform(effect);
      }
    } finally {
      this.#stepping = false;
    }
    if (readyToClose(this.#state)) this.#closeSession();
  }

  #postLater(event: AgentEvent): void {
    setTimeout(() => this.#post(event), RETRY_MS);
  }

  #session(event: SessionEvent): void {
    this.#post({ kind: 'session', event });
  }

  #closeSession(): void {
    const phase = this.#state.session?.phase.kind;
    if (phase === undefined || phase === 'closed') this.#closed?.();
    else if (phase !== 'closing')
      setImmediate(() => this.#session({ kind: 'close', nowMs: this.#options.monotonicMs() }));
  }

  #perform(effect: AgentEffect): void {
    const { dataPlane, logger } = this.#options;
    switch (effect.kind) {
      case 'arm':
        logger.info('answering for an egress IP', { address: effect.name, session: effect.session });
        return this.#command('arming', dataPlane.gate.arm(effect.address, effect.session), (ok) => ({
          kind: 'armed',
          name: effect.name,
          ok,
        }));
      case 'disarm':
        logger.info('giving up an egress IP', { address: effect.name });
        return this.#command('disarming', dataPlane.gate.disarm(effect.address), (ok) => ({
          kind: 'disarmed',
          name: effect.name,
          ok,
        }));
      case 'announce':
        return dataPlane.gate.announce(effect.addresses);
      case 'apply':
        return this.#command('programming the data plane', dataPlane.apply(effect.plan), (ok, message) => ({
          kind: 'applied',
          ok,
          message,
        }));
      case 'report':
        return this.#options.report(effect.report);
      default:
        return this.#performSession(effect);
    }
  }

  #performSession(effect: SessionEffect): void {
    const { heart, monotonicMs } = this.#options;
    const { gate } = this.#options.dataPlane;
    switch (effect.kind) {
      case 'flush-kernel':
        return this.#sessionCommand('flushing', gate.flush(), (ok) => ({
          kind: 'flushed',
          ok,
          nowMs: monotonicMs(),
        }));
      case 'insert-heartbeat': {
        const { seq } = effect;
        const inserted = gate.insertHeartbeat(effect.session, seq, effect.lifetimeMs);
        return this.#sessionCommand('inserting a heartbeat', inserted, (ok) => ({
          kind: 'inserted',
          seq,
          ok,
          nowMs: monotonicMs(),
        }));
      }
      case 'grant-heartbeat': {
        const { seq } = effect;
        const granted = gate.grantHeartbeat(effect.session, seq);
        return this.#sessionCommand('granting a heartbeat', granted, (ok) => ({
          kind: 'granted',
          seq,
          ok,
          nowMs: monotonicMs(),
        }));
      }
      case 'read-lease':
        heart.read().then((lease) => this.#session({ kind: 'lease-read', lease, nowMs: monotonicMs() }));
        return;
      case 'write-lease':
        heart
          .write(effect)
          .then((outcome) => this.#session({ kind: 'lease-written', outcome, nowMs: monotonicMs() }));
        return;
      case 'wake-at': {
        clearTimeout(this.#wakeTimer);
        const waitMs = Math.max(0, effect.atMs - monotonicMs());
        this.#wakeTimer = setTimeout(() => this.#session({ kind: 'tick', nowMs: monotonicMs() }), waitMs);
        return;
      }
      default:
        effect satisfies never;
    }
  }

  #sessionCommand(what: string, run: Promise<KernelOutcome>, event: (ok: boolean) => SessionEvent): void {
    this.#command(what, run, (ok) => ({ kind: 'session', event: event(ok) }));
  }

  /** Posts a command's outcome: at once if it succeeded, after a pause if not. */
  #command(
    what: string,
    run: Promise<KernelOutcome>,
    event: (ok: boolean, message: string) => AgentEvent,
  ): void {
    run.then((outcome) => {
      if (outcome.kind === 'ok') return this.#post(event(true, ''));
      this.#options.logger.warn(`${what} failed`, { outcome: outcome.kind, reason: outcome.message });
      this.#postLater(event(false, outcome.message));
    });
  }
}

/** A number that this gateway may have used anywhere, so that a deleted Lease does not bring old ones back. */
function highestSession(view: AgentView): number {
  const named = [...view.egressIps.values()].flatMap(({ order, fence }) => [...order, ...fence]);
  const own = named.filter(({ gateway }) => gateway === view.node).map(({ session }) => session);
  return Math.max(0, view.gatewayNodes.get(view.node)?.session ?? 0, ...own);
}
