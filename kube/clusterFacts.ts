/**
 * Keeps an index of all that rules look at, from reflectors. Each event changes its own part of the index at once; a new
 * list changes what is different in it.
 *
 * How old a source is counts from what was heard of it, bookmarks included, not from failures seen: a watch that stands
 * still without an error is stale too. One source that is not in sync, or is stale, and there are no facts.
 */
import type { ClusterNetwork } from '../policy/facts.ts';
import { FieldReader } from '../policy/fieldReader.ts';
import { FACT_SOURCES, FactIndex, type FactSource, type FactValues } from '../policy/index/factIndex.ts';
import type { Cidr } from '../policy/model.ts';
import type { Logger } from '../runtime/logger.ts';
import { type FactCollection, factCollections } from './factSources.ts';
import { createInterner } from './internLabels.ts';
import type { KubeClient, KubeOutcome } from './kubeClient.ts';
import { type Reflector, type ReflectorEvent, startReflector } from './reflector.ts';

/**
 * Silence after which a source is not believed. Bookmarks come about each minute and a mute watch is given up after
 * 90 s, so a healthy source that has just reconnected is heard again within 150 s.
 */
export const STALE_AFTER_MS = 180_000;

export type ClusterFactsState =
  | { readonly kind: 'waiting'; readonly reason: string }
  | { readonly kind: 'synced'; readonly index: FactIndex };

export interface ClusterFactsWatch {
  state(): ClusterFactsState;
  stop(): Promise<void>;
}

export interface ClusterFactsOptions {
  readonly client: KubeClient;
  /** Configured networks that are routed to the gateways. */
  readonly routable: readonly Cidr[];
  /** The cluster's own networks as they are configured, beside those that the cluster itself shows. */
  readonly networks: readonly ClusterNetwork[];
  readonly logger: Logger;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
}

type Value = FactValues[FactSource];

/** What is kept of an object. Its version tells whether a new list brings anything new. */
interface Kept {
  readonly version: string;
  readonly values: readonly Value[];
}

interface Followed {
  readonly reflector: Reflector;
  whyNotBelieved(): string | undefined;
}

export function watchClusterFacts(options: ClusterFactsOptions): ClusterFactsWatch {
  const index = new FactIndex(new Set(FACT_SOURCES), options.routable);
  for (const network of options.networks) index.add('networks', network);
  const interner = createInterner();
  const followed = factCollections(interner).map((collection) =>
    follow(collection, {
      ...options,
      index,
      onList: collection.source === 'pods' ? interner.turn : () => {},
    }),
  );
  return {
    state: () => {
      for (const source of followed) {
        const reason = source.whyNotBelieved();
        if (reason !== undefined) return { kind: 'waiting', reason };
      }
      return { kind: 'synced', index };
    },
    stop: async () => {
      await Promise.all(followed.map(({ reflector }) => reflector.stop()));
    },
  };
}

function follow(
  collection: FactCollection,
  options: ClusterFactsOptions & { readonly index: FactIndex; readonly onList: () => void },
): Followed {
  const { client, logger, index, now = () => performance.now() } = options;
  const { path, query, source } = collection;
  const label = path.slice(path.lastIndexOf('/') + 1);
  let items: Map<string, Kept> | undefined;
  let heardAtMs = now();
  const exchange = <K extends Kept | undefined>(before: Kept | undefined, after: K): Kept | K => {
    // The same object again: the index knows values by their identity, so the old ones stay.
    if (before !== undefined && before.version === after?.version && after.version !== '') return before;
    exchangeValues(index, source, before?.values ?? [], after?.values ?? []);
    return after;
  };
  const onEvent = (event: ReflectorEvent<Kept>): void => {
    switch (event.kind) {
      case 'synced':
        items = exchangeAll(items ?? new Map(), event.items, exchange);
        return options.onList();
      case 'upserted':
        items?.set(event.key, exchange(items.get(event.key), event.value));
        return;
      case 'removed':
        exchange(items?.get(event.key), undefined);
        items?.delete(event.key);
        return;
      case 'disconnected':
        return;
      default:
        return event satisfies never;
    }
  };
  const reflector = startReflector<Kept>({
    client: hearing(client, () => {
      heardAtMs = now();
    }),
    path,
    ...(query === undefined ? {} : { query }),
    project: (raw) => project(collection, raw),
    onEvent,
    logger,
    absentIsEmpty: collection.optional === true,
  });
  return {
    reflector,
    whyNotBelieved: () => {
      if (items === undefined) return `${label} are not synced yet`;
      const silentMs = now() - heardAtMs;
      return silentMs > STALE_AFTER_MS
        ? `${label} were last heard of ${Math.round(silentMs / 1000)} s ago`
        : undefined;
    },
  };
}

function project(
  { read }: FactCollection,
  raw: unknown,
): { readonly key: string; readonly value: Kept } | undefined {
  const values = read(raw);
  if (values.length === 0) return undefined;
  const metadata = new FieldReader(raw, '', []).child('metadata');
  const namespace = metadata.optionalText('namespace');
  const name = metadata.optionalText('name') ?? '';
  return {
    key: namespace === undefined ? name : `${namespace}/${name}`,
    value: { version: metadata.optionalText('resourceVersion') ?? '', values },
  };
}

function exchangeAll(
  before: ReadonlyMap<string, Kept>,
  after: ReadonlyMap<string, Kept>,
  exchange: <K extends Kept | undefined>(before: Kept | undefined, after: K) => Kept | K,
): Map<string, Kept> {
  const next = new Map<string, Kept>();
  for (const [key, kept] of before) if (!after.has(key)) exchange(kept, undefined);
  for (const [key, kept] of after) next.set(key, exchange(before.get(key), kept));
  return next;
}

function exchangeValues(
  index: FactIndex,
  source: FactSource,
  before: readonly Value[],
  after: readonly Value[],
): void {
  for (let at = 0; at < Math.max(before.length, after.length); at += 1)
    index.replace(source, before[at], after[at]);
}

/** The same client; tells of each list answer (a collection that is not served is an answer) and each watch frame. */
function hearing(client: KubeClient, onHeard: () => void): KubeClient {
  return {
    ...client, // every client is a plain object of functions
    async get(path, query): Promise<KubeOutcome<unknown>> {
      const outcome = await client.get(path, query);
      if (outcome.kind === 'ok' || outcome.error.code === 'not-found') onHeard();
      return outcome;
    },
    async *watch(path, query, signal) {
      for await (const frame of client.watch(path, query, signal)) {
        if (frame.type !== 'ERROR') onHeard();
        yield frame;
      }
    },
  };
}
