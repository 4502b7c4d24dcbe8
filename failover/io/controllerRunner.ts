/**
 * Carries out what the controller's core asks for and reports each answer back. Observations are absorbed as they come
 * and decided upon once a turn of the event loop or less often (decisionPace.ts), so a burst of events costs one decision.
 * Nothing here decides.
 *
 * Every write asks first whether we still lead: a leader that was paused must not write after it woke up. What slips
 * through all the same is a compare-and-swap and hits a version that moved on.
 */

import type { EventRecorder } from '../../kube/eventRecorder.ts';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { API_VERSION, CILIUM_GROUP, SALLYPORT_GROUP } from '../../policy/names.ts';
import type { Logger } from '../../runtime/logger.ts';
import { absorb } from '../core/controller/absorb.ts';
import { decideController } from '../core/controller/controllerCore.ts';
import type {
  ControllerEffect,
  ControllerEvent,
  Now,
  ObjectRef,
  RequestEvent,
  WriteEffect,
} from '../core/controller/controllerEvents.ts';
import { targetOf } from '../core/controller/controllerEvents.ts';
import { type ControllerState, initialController, viewOf } from '../core/controller/controllerState.ts';
import type { Phase } from '../core/controller/controllerView.ts';
import { type AgentKeys, agentKeysOf } from '../core/controller/peerKeyFacts.ts';
import type { AddressSettings } from '../core/controller/planAddresses.ts';
import { portsTakenRatio } from '../core/controller/portBlocks.ts';
import { controllerSources, startControllerCaches } from './controllerCaches.ts';
import type { ControllerMetrics } from './controllerMetrics.ts';
import { createControllerWrites } from './controllerWrites.ts';
import { createDecisionPace } from './decisionPace.ts';

/** Between two questions whether the API server is back. */
const PROBE_MS = 500;
/** Nothing is so far off that a look at the clock within this would hurt; also bounds what a timer can take. */
const WAKE_MAX_MS = 60_000;

export interface ControllerRunner {
  /** We lead from now on. */
  begin(): void;
  /** Undefined once every collection was listed; else what is missing. */
  whyNotReady(): string | undefined;
  phases(): ReadonlyMap<Phase, number>;
  /** Of the egress IP with the fewest ports left. */
  portsTakenRatio(): number;
  /** What agents state of their keys; undefined until every collection was listed. */
  agentKeys(): readonly AgentKeys[] | undefined;
  /** Decides nothing any more; resolves when no write is under way. */
  stop(): Promise<void>;
}

export interface ControllerRunnerOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly settings: AddressSettings;
  readonly events: EventRecorder;
  readonly metrics: ControllerMetrics;
  readonly logger: Logger;
  /** Until when we lead for certain, on the clock of `now().monotonicMs`. */
  readonly holdsUntilMs: () => number;
  readonly now: () => Now;
}

export function startControllerRunner(options: ControllerRunnerOptions): ControllerRunner {
  const { client, settings, logger } = options;
  const sources = controllerSources(options.namespace);
  const writes = createControllerWrites({ client, sources, logger });
  let state: ControllerState = initialController();
  const underWay = new Set<Promise<void>>();
  let stopped = false;
  let wakeTimer: NodeJS.Timeout | undefined;
  let probeTimer: NodeJS.Timeout | undefined;

  const post = (event: ControllerEvent): void => {
    if (stopped) return;
    const absorbed = absorb(state, event, options.now());
    state = absorbed.state;
    for (const effect of absorbed.effects) perform(effect);
    if (!absorbed.quiet) pace.ask();
  };

  const pace = createDecisionPace(
    () => {
      const decided = decideController(state, { settings, now: options.now() });
      state = decided.state;
      for (const effect of decided.effects) perform(effect);
    },
    () => options.now().monotonicMs,
  );

  const track = (write: Promise<void>): void => {
    underWay.add(write);
    write.finally(() => underWay.delete(write));
  };

  const perform = (effect: ControllerEffect): void => {
    switch (effect.kind) {
      case 'read-object':
        writes.read(effect).then(post);
        return;
      case 'record-event':
        return options.events.record({ ...effect, regarding: regardingOf(effect.regarding) });
      case 'count-move':
        return options.metrics.moved(effect.reason, effect.durationMs);
      case 'wake-at': {
        clearTimeout(wakeTimer);
        const waitMs = Math.min(WAKE_MAX_MS, Math.max(0, effect.monotonicMs - options.now().monotonicMs));
        wakeTimer = setTimeout(() => post({ kind: 'tick' }), Math.ceil(waitMs));
        return;
      }
      default:
        logWrite(logger, effect);
        if (options.now().monotonicMs >= options.holdsUntilMs()) return post(notWritten(effect));
        track(writes.write(effect).then(post));
    }
  };

  const probe = async (): Promise<void> => {
    const outcome = await client.get(sources.leases.path, { limit: 1 });
    if (outcome.kind === 'ok') {
      logger.info('the API server answers again');
      probeTimer = undefined;
      post({ kind: 'contact-regained' });
    } else if (!stopped) probeTimer = setTimeout(probe, PROBE_MS);
  };

  const caches = startControllerCaches({
    client,
    sources,
    logger,
    onEvent: post,
    onContactLost: () => {
      post({ kind: 'contact-lost' });
      probeTimer ??= setTimeout(probe, PROBE_MS);
    },
  });

  return {
    begin() {
      post({ kind: 'leadership-began' });
    },
    whyNotReady: () => (isListed(state, options.now()) ? undefined : 'not every collection was listed yet'),
    phases: () => countPhases(state),
    portsTakenRatio: () => mostPortsTaken(state, options.now().wallMs),
    agentKeys: () => listAgentKeys(state, options.now()),
    async stop() {
      stopped = true;
      pace.stop();
      clearTimeout(wakeTimer);
      clearTimeout(probeTimer);
      await Promise.all([caches.stop(), ...underWay]);
    },
  };
}

/** As if it had been refused: it rests and is decided upon anew, if we still live then. */
function notWritten(effect: WriteEffect): RequestEvent {
  return { kind: 'answered', ...targetOf(effect), answer: { kind: 'failed' } };
}

function regardingOf({ kind, name, uid }: ObjectRef) {
  const group = kind === 'CiliumEgressGatewayPolicy' ? CILIUM_GROUP : SALLYPORT_GROUP;
  return { apiVersion: `${group}/${API_VERSION}`, kind, name, uid };
}

function isListed(state: ControllerState, { monotonicMs }: Now): boolean {
  return viewOf(state, monotonicMs) !== undefined;
}

function listAgentKeys(state: ControllerState, { monotonicMs }: Now): readonly AgentKeys[] | undefined {
  const view = viewOf(state, monotonicMs);
  return view === undefined ? undefined : agentKeysOf(view);
}

function countPhases({ caches }: ControllerState): ReadonlyMap<Phase, number> {
  const counts = new Map<Phase, number>();
  for (const { status } of caches.egressIps?.values() ?? []) {
    const phase = status?.phase ?? 'Pending';
    counts.set(phase, (counts.get(phase) ?? 0) + 1);
  }
  return counts;
}

function mostPortsTaken({ caches }: ControllerState, wallMs: number): number {
  return [...(caches.egressIps?.values() ?? [])].reduce(
    (most, { egressIp }) => Math.max(most, portsTakenRatio(egressIp, wallMs)),
    0,
  );
}

/** What changes who answers is worth a line each; status and finalizers are not. */
function logWrite(logger: Logger, effect: WriteEffect): void {
  switch (effect.kind) {
    case 'create-egress-ip':
    case 'replace-egress-ip': {
      const { name, epoch, order, fence, blocksVersion } = effect.egressIp;
      return logger.info('assigning an egress IP', { address: name, epoch, order, fence, blocksVersion });
    }
    case 'remove-egress-ip':
      return logger.info('removing an egress IP', { address: effect.egressIp.name });
    case 'remove-gateway-node':
      return logger.info('removing the GatewayNode of a node that is gone', {
        node: effect.gatewayNode.name,
      });
    case 'write-voters':
      return logger.info('changing who votes', { version: effect.config.version, sets: effect.config.sets });
    case 'write-egress-ip-status':
    case 'write-policy-status':
    case 'write-finalizers':
      return;
    default:
      return effect satisfies never;
  }
}
