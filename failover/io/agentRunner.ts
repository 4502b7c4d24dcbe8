import type { AgentEvent } from '../core/agent/absorbAgentEvent.ts';
import { type AgentEffect, stepAgent } from '../core/agent/agentCore.ts';
import { type AgentState, initialAgent } from '../core/agent/agentState.ts';
import type { AgentView } from '../core/agent/agentView.ts';
import type { Health } from '../core/agent/health.ts';
import { statedRights } from '../core/agent/ownershipInput.ts';
import { PodWaits } from '../core/agent/podWaits.ts';
import type { PortUse } from '../core/agent/portReturns.ts';
import type { NodeReport, ObservedNode } from '../core/agent/reportNode.ts';
import type { DataPlane, DataPlaneCounters, NodeDataPlane } from '../core/dataPlane.ts';
import { ATTENDED_SECONDS } from '../core/dataplane/staticRuleset.ts';
import { remember } from '../core/remember.ts';
import type { AgentMetrics } from './agentMetrics.ts';
import { LeaseRunner, type LeaseRunnerOptions } from './leaseRunner.ts';
import type { OrderJoiner } from './orderJoiner.ts';
import type { FromOwnership } from './ownershipProtocol.ts';

/** Between a failed kernel command or report and the next try of it. */
const RETRY_MS = 500;
/** Several to each word's time (ATTENDED_SECONDS): a busy node must not look like one that nobody attends to. */
const ATTEND_MS = 300;
/**
 * An agent that stood still for longer than its word holds may not have heard of pods that came meanwhile: it says nothing until it
 * has had this long to hear of them.
 */
const CATCH_UP_MS = 1000;
/** A stopping agent that could not hand over within this leaves the rest to its session running out. */
const STOP_DEADLINE_MS = 3000;

export interface AgentRunner {
  viewed(view: AgentView): void;
  /** Whether a pod may have come that no view has. */
  podsUnseen(unseen: boolean): void;
  observed(observed: ObservedNode): void;
  /** Undefined: the node is no gateway. */
  health(health: Health | undefined): void;
  portUse(use: PortUse): void;
  reportFailed(): void;
  /** Of which egress IPs this node needs more ports, and what its rules counted. */
  portsLookedAt(pressed: ReadonlyMap<string, number>, counters: DataPlaneCounters): void;
  /** Compares the kernel with the plan again. */
  resync(): void;
  heard(message: FromOwnership): void;
  /** Hands over: disarms, tells the voters, closes the Lease. Forwarding stays in the kernel. */
  stop(): Promise<void>;
  /** Undefined once a plan is in the kernel; else why not. */
  whyNotReady(): string | undefined;
}

export interface AgentRunnerOptions extends Omit<LeaseRunnerOptions, 'onClosed'> {
  readonly node: string;
  readonly dataPlane: DataPlane;
  readonly metrics: AgentMetrics;
  readonly observed: ObservedNode;
  /** `DataPlane.readHolders` at the start. */
  readonly recalled: ReadonlyMap<string, string>;
  readonly report: (report: NodeReport) => void;
  readonly joiner: Pick<OrderJoiner, 'look' | 'stop'>;
  /** True while the node is labelled a gateway. */
  readonly isGateway: (view: AgentView) => boolean;
}

export function startAgentRunner(options: AgentRunnerOptions): AgentRunner {
  return new Runner(options);
}

class Runner implements AgentRunner {
  readonly #options: AgentRunnerOptions;
  readonly #queue: AgentEvent[] = [];
  #state: AgentState;
  readonly #lease: LeaseRunner;
  #stepping = false;
  #closed: (() => void) | undefined;
  #podsUnseen = false;
  #applies = 0;
  readonly #attending: NodeJS.Timeout;
  #lastLookMs: number;
  #attendsFromMs = 0;
  readonly #podWaits = new PodWaits();
  #peers = '';
  #rights = '';
  readonly #rightsOf = remember(
    (egressIps: AgentView['egressIps'], gatewayNodes: AgentView['gatewayNodes']) =>
      statedRights({ egressIps, gatewayNodes }),
  );

  constructor(options: AgentRunnerOptions) {
    this.#options = options;
    this.#state = initialAgent(options.observed, options.recalled);
    this.#lease = new LeaseRunner({ ...options, onClosed: () => this.#closed?.() });
    this.#lastLookMs = options.monotonicMs();
    this.#attending = setInterval(() => this.#lookAfter(), ATTEND_MS);
  }

  viewed(view: AgentView): void {
    this.#tellPeers(view);
    this.#post({ kind: 'viewed', view });
    this.#podWaits.seen(this.#state.memory.planner.select(view).pods, this.#options.monotonicMs());
    this.#tellRights(view);
    if (this.#lease.hasBegun || this.#closed !== undefined || !this.#options.isGateway(view)) return;
    this.#lease.begin(highestSession(view));
  }

  podsUnseen(unseen: boolean): void {
    this.#podsUnseen = unseen;
  }

  observed(observed: ObservedNode): void {
    this.#post({ kind: 'observed', observed });
  }

  health(health: Health | undefined): void {
    this.#options.metrics.health(health);
    this.#post({ kind: 'health', health });
  }

  portUse(use: PortUse): void {
    this.#post({ kind: 'port-use', use, nowMs: this.#options.monotonicMs() });
  }

  reportFailed(): void {
    setTimeout(() => this.#post({ kind: 'report-failed' }), RETRY_MS);
  }

  portsLookedAt(pressed: ReadonlyMap<string, number>, { packets }: DataPlaneCounters): void {
    this.#options.metrics.packets(packets);
    this.#post({ kind: 'pressed', pressed });
  }

  resync(): void {
    this.#options.dataPlane.forget();
    this.#options.post({ kind: 'resync' });
    this.#post({ kind: 'resync' });
  }

  heard(message: FromOwnership): void {
    const { logger, metrics } = this.#options;
    switch (message.kind) {
      case 'word':
        metrics.word(message.word);
        return this.#post({ kind: 'ownership', report: message.word });
      case 'heard-holdings':
        return this.#post({ kind: 'heard', session: message.session, holdings: message.holdings });
      case 'flushed':
        return this.#lease.flushed(message.ok);
      case 'keys-taken':
        return this.#post(message);
      case 'session-over':
        metrics.sessionOver(message.reason);
        return this.#lease.over(message.session, message.floor);
      case 'session-closed':
        return this.#lease.handedOver();
      case 'log':
        return logger[message.level](message.message, message.fields);
      case 'stats':
        return metrics.stats(message.stats);
      case 'ready':
      case 'stopped':
        return;
      default:
        return message satisfies never;
    }
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
    this.#options.joiner.stop();
    clearInterval(this.#attending);
    void this.#options.dataPlane.leave();
    this.#options.logger.info('handing over', { holding: this.#state.ownership.holdings.length });
    if (this.#lease.isHeld) this.#options.post({ kind: 'event', event: { kind: 'close' } });
    else this.#closed?.();
    const deadline = setTimeout(() => this.#closed?.(), STOP_DEADLINE_MS);
    await done;
    clearTimeout(deadline);
    this.#lease.stop();
  }

  #lookAfter(): void {
    const nowMs = this.#options.monotonicMs();
    if (nowMs - this.#lastLookMs > ATTENDED_SECONDS * 1000) this.#attendsFromMs = nowMs + CATCH_UP_MS;
    this.#lastLookMs = nowMs;
    this.#attend();
  }

  /** Whoever cannot say what a new pod's address may do must not let it pass. */
  #attend(): void {
    const knows = this.whyNotReady() === undefined && !this.#podsUnseen && this.#closed === undefined;
    const isEqual = this.#state.applying === undefined && !this.#state.applyWanted;
    if (knows && isEqual && this.#options.monotonicMs() >= this.#attendsFromMs)
      void this.#options.dataPlane.attend();
  }

  /** The ownership thread hears of every node with an agent. */
  #tellPeers({ gatewayNodes }: AgentView): void {
    const peers = new Map(
      [...gatewayNodes.values()].flatMap(({ name, underlay }) =>
        underlay === undefined ? [] : [[name, underlay.address] as const],
      ),
    );
    const text = [...peers].map(([name, { value }]) => `${name} ${value}`).join(',');
    if (text === this.#peers) return;
    this.#peers = text;
    this.#options.post({ kind: 'peers', peers });
  }

  #tellRights(view: AgentView): void {
    const rights = this.#rightsOf(view.egressIps, view.gatewayNodes);
    const text = JSON.stringify([...rights]);
    if (text === this.#rights) return;
    this.#rights = text;
    this.#options.post({ kind: 'rights', rights });
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
    const { view, ownership } = this.#state;
    const { node, joiner } = this.#options;
    const named = this.#closed === undefined && ownership.session > 0;
    if (view !== undefined)
      joiner.look(view, named ? { gateway: node, session: ownership.session } : undefined);
  }

  #perform(effect: AgentEffect): void {
    const { dataPlane, logger, post } = this.#options;
    switch (effect.kind) {
      case 'apply':
        void dataPlane.apply(effect.plan).then((outcome) => {
          if (outcome.kind === 'ok') return this.#applied(effect.plan);
          const { message } = outcome;
          logger.warn('programming the data plane failed', { outcome: outcome.kind, reason: message });
          // A broken tool is not called in a hot loop.
          setTimeout(() => this.#post({ kind: 'applied', ok: false, message }), RETRY_MS);
        });
        return;
      case 'report':
        return this.#options.report(effect.report);
      case 'assign':
        return post({ kind: 'event', event: { kind: 'assigned', assignments: effect.assignments } });
      case 'state': {
        const { dead, released } = effect;
        return post({ kind: 'event', event: { kind: 'stated', dead, released } });
      }
      default:
        effect satisfies never;
    }
  }

  #applied(plan: NodeDataPlane): void {
    const { metrics, monotonicMs } = this.#options;
    for (const waitedMs of this.#podWaits.programmed(plan, monotonicMs())) metrics.podWaited(waitedMs);
    const isFirst = this.#applies === 0;
    this.#applies += 1;
    this.#post({ kind: 'applied', ok: true, message: '' });
    if (isFirst) this.#attend();
  }
}

/** A number that this gateway may have used anywhere, so that a deleted Lease does not bring old ones back. */
function highestSession(view: AgentView): number {
  const named = [...view.egressIps.values()].flatMap(({ order, fence }) => [...order, ...fence]);
  const own = named.filter(({ gateway }) => gateway === view.node).map(({ session }) => session);
  const stated = view.gatewayNodes.get(view.node);
  return Math.max(0, stated?.session ?? 0, stated?.lastSession ?? 0, ...own);
}
