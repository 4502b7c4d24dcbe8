/**
 * Events (core/v1) on the objects that users look at. Advice only: they are written one after the other in the background,
 * repeats are counted, and what cannot be written is lost with a line in the log.
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from '../runtime/logger.ts';
import { type EventBudget, spendEvent } from './core/eventBudget.ts';
import type { KubeClient } from './kubeClient.ts';

export interface ObjectReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  /** Absent for cluster-scoped objects: their Events live in `default`, where kubectl describe looks for them. */
  readonly namespace?: string;
}

export interface EventOccurrence {
  readonly regarding: ObjectReference;
  readonly type: 'Normal' | 'Warning';
  /** UpperCamel, from a closed set. */
  readonly reason: string;
  readonly message: string;
}

export interface EventRecorder {
  record(occurrence: EventOccurrence): void;
  /** Resolves when what was recorded is written, or given up; nothing is recorded after the call. */
  stop(): Promise<void>;
}

export interface EventRecorderOptions {
  readonly client: KubeClient;
  /** E.g. `sallyport-controller`. */
  readonly component: string;
  /** The pod. */
  readonly instance: string;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  readonly wallClock?: () => number;
}

/** The API server's own limit (EventSeries and events.k8s.io: 1,024 bytes). */
const MESSAGE_LENGTH_MAX = 1024;
/** Of an object's name in its Event's: names have 253 characters, and a suffix has to fit. */
const NAME_LENGTH_MAX = 230;
const SUFFIX_LENGTH = 16;
/** Occurrences waiting to be written; an API server that is away must not cost memory. */
const QUEUE_MAX = 256;
/** Objects × reasons remembered; the longest unheard of is forgotten first. */
const BUDGETS_MAX = 4096;

interface Writing {
  readonly kind: 'create' | 'count';
  readonly occurrence: EventOccurrence;
  readonly budget: EventBudget;
  readonly atMs: number;
}

export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  const wallClock = options.wallClock ?? Date.now;
  const budgets = new Map<string, EventBudget>();
  const queue: Writing[] = [];
  let writing: Promise<void> | undefined;
  let stopped = false;

  const drain = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) await write(options, next);
  };
  const enqueue = (next: Writing): void => {
    if (queue.length >= QUEUE_MAX) {
      options.logger.warn('too many events are waiting; one is lost', { reason: next.occurrence.reason });
      return;
    }
    queue.push(next);
    writing ??= drain().finally(() => {
      writing = undefined;
    });
  };
  return {
    record(occurrence) {
      if (stopped) return;
      const { regarding, type, reason } = occurrence;
      const message = occurrence.message.slice(0, MESSAGE_LENGTH_MAX);
      const key = [regarding.kind, regarding.namespace, regarding.name, regarding.uid, type, reason].join(
        '/',
      );
      const atMs = wallClock();
      const eventName = `${regarding.name.slice(0, NAME_LENGTH_MAX)}.${randomUUID().replaceAll('-', '').slice(0, SUFFIX_LENGTH)}`;
      const { decision, budget } = spendEvent(budgets.get(key), { message, eventName, nowMs: atMs });
      budgets.delete(key);
      budgets.set(key, budget);
      for (const oldest of budgets.keys()) {
        if (budgets.size <= BUDGETS_MAX) break;
        budgets.delete(oldest);
      }
      if (decision === 'create' || decision === 'count')
        enqueue({ kind: decision, occurrence: { ...occurrence, message }, budget, atMs });
    },
    async stop() {
      stopped = true;
      await writing;
    },
  };
}

async function write(options: EventRecorderOptions, next: Writing): Promise<void> {
  const { client, logger } = options;
  const collection = `/api/v1/namespaces/${next.occurrence.regarding.namespace ?? 'default'}/events`;
  if (next.kind === 'count') {
    const counted = await client.mergePatch(`${collection}/${next.budget.eventName}`, {
      count: next.budget.count,
      lastTimestamp: renderTime(next.atMs),
    });
    // Events live for an hour; a sentence that is repeated after that gets a new one.
    if (counted.kind === 'ok' || counted.error.code !== 'not-found') return;
  }
  const created = await client.create(collection, render(options, next));
  if (created.kind === 'refused')
    logger.warn('an event could not be written', {
      reason: next.occurrence.reason,
      error: created.error.message,
    });
}

function render({ component, instance }: EventRecorderOptions, next: Writing): unknown {
  const { regarding, type, reason, message } = next.occurrence;
  const time = renderTime(next.atMs);
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: next.budget.eventName, namespace: regarding.namespace ?? 'default' },
    involvedObject: regarding,
    type,
    reason,
    message,
    source: { component, host: instance },
    reportingComponent: component,
    reportingInstance: instance,
    firstTimestamp: time,
    lastTimestamp: time,
    count: next.budget.count,
  };
}

/** RFC 3339 in whole seconds, as metav1.Time has it. */
function renderTime(epochMs: number): string {
  return new Date(epochMs).toISOString().replace(/\.\d{3}Z$/, 'Z');
}
