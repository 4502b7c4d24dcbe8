/**
 * Keeps the facts that rules are judged against: nodes, agents' reports and the policies of both kinds, each from a
 * reflector. A snapshot is built when one is asked for after a change, and shared by all reviews until the next.
 *
 * How old a source is counts from what was heard of it, bookmarks included, not from failures seen: a watch that
 * stands still without an error is stale too.
 */
import type { KubeClient, KubeOutcome } from '../../kube/kubeClient.ts';
import { type Reflector, type ReflectorEvent, startReflector } from '../../kube/reflector.ts';
import { createConflictIndex } from '../../policy/conflictIndex.ts';
import { type ClusterFacts, UNKNOWN_FACTS } from '../../policy/facts.ts';
import type { Cidr, Policy } from '../../policy/model.ts';
import {
  CILIUM_EGRESS_GATEWAY_POLICY,
  collectionPath,
  EGRESS_POLICY,
  GATEWAY_NODE,
  type PolicyKind,
} from '../../policy/names.ts';
import { parseGatewayNodeFacts, parseNode } from '../../policy/parseFacts.ts';
import { parsePolicy } from '../../policy/parsePolicy.ts';
import type { Logger } from '../../runtime/logger.ts';
import type { Snapshot } from '../core/review.ts';

/**
 * Silence after which a source is not believed. Bookmarks come about each minute and a mute watch is given up after
 * 90 s, so a healthy source that has just reconnected is heard again within 150 s.
 */
export const STALE_AFTER_MS = 180_000;

export type FactsState =
  | { readonly kind: 'waiting'; readonly reason: string }
  | { readonly kind: 'synced'; readonly snapshot: Snapshot };

export interface Facts {
  state(): FactsState;
  stop(): Promise<void>;
}

export interface FactsOptions {
  readonly client: KubeClient;
  /** Configured networks that are routed to the gateways. */
  readonly routable: readonly Cidr[];
  readonly logger: Logger;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
}

/** One collection: parsed objects by name, and when it was last heard of. */
interface Source<T> {
  readonly reflector: Reflector;
  items(): ReadonlyMap<string, T>;
  whyNotBelieved(): string | undefined;
}

export function watchFacts(options: FactsOptions): Facts {
  let snapshot: Snapshot | undefined;
  const onChange = (): void => {
    snapshot = undefined;
  };
  const start = <T>(path: string, parse: Parse<T>, served: 'always' | 'perhaps' = 'always'): Source<T> =>
    startSource({ ...options, path, parse, absentIsEmpty: served === 'perhaps', onChange });

  const nodes = start('/api/v1/nodes', (raw) => keyed(parseNode(raw), ({ name }) => name));
  const gateways = start(collectionPath(GATEWAY_NODE), (raw) =>
    keyed(parseGatewayNodeFacts(raw), ({ node }) => node),
  );
  const cilium = start(
    collectionPath(CILIUM_EGRESS_GATEWAY_POLICY),
    parseStored('CiliumEgressGatewayPolicy'),
    'perhaps',
  );
  const own = start(collectionPath(EGRESS_POLICY), parseStored('EgressPolicy'));
  const sources: readonly Source<unknown>[] = [nodes, gateways, cilium, own];

  const build = (): Snapshot => {
    const policies = [...cilium.items().values(), ...own.items().values()];
    const facts: ClusterFacts = {
      ...UNKNOWN_FACTS,
      policies,
      nodes: [...nodes.items().values()],
      gateways: [...gateways.items().values()],
      routable: options.routable,
    };
    return { facts, index: createConflictIndex(policies) };
  };
  return {
    state: () => {
      for (const source of sources) {
        const reason = source.whyNotBelieved();
        if (reason !== undefined) return { kind: 'waiting', reason };
      }
      snapshot ??= build();
      return { kind: 'synced', snapshot };
    },
    stop: async () => {
      await Promise.all(sources.map(({ reflector }) => reflector.stop()));
    },
  };
}

interface Keyed<T> {
  readonly key: string;
  readonly value: T;
}

type Parse<T> = (raw: unknown) => Keyed<T> | undefined;

function keyed<T>(value: T | undefined, keyOf: (value: T) => string): Keyed<T> | undefined {
  return value === undefined ? undefined : { key: keyOf(value), value };
}

/** A stored policy that does not parse is programmed nowhere, so it owns nothing to conflict with. */
function parseStored(kind: PolicyKind): Parse<Policy> {
  return (raw) => {
    const parsed = parsePolicy(raw, kind);
    return parsed.kind === 'ok' ? { key: parsed.value.ref.name, value: parsed.value } : undefined;
  };
}

interface SourceOptions<T> extends FactsOptions {
  readonly path: string;
  readonly parse: Parse<T>;
  /** The kind is not installed in every cluster: where it is not, there are none of it. */
  readonly absentIsEmpty: boolean;
  readonly onChange: () => void;
}

function startSource<T>(options: SourceOptions<T>): Source<T> {
  const { path, logger, onChange } = options;
  const now = options.now ?? (() => performance.now());
  const label = path.slice(path.lastIndexOf('/') + 1);
  let items: Map<string, T> | undefined;
  let heardAtMs = now();
  const onEvent = (event: ReflectorEvent<T>): void => {
    switch (event.kind) {
      case 'synced':
        items = new Map(event.items);
        return onChange();
      case 'upserted':
        items?.set(event.key, event.value);
        return onChange();
      case 'removed':
        items?.delete(event.key);
        return onChange();
      case 'disconnected':
        return;
      default:
        return event satisfies never;
    }
  };
  const reflector = startReflector<T>({
    client: hearing(options.client, () => {
      heardAtMs = now();
    }),
    path,
    project: options.parse,
    onEvent,
    logger,
    absentIsEmpty: options.absentIsEmpty,
  });
  return {
    reflector,
    items: () => items ?? new Map(),
    whyNotBelieved: () => {
      if (items === undefined) return `${label} are not synced yet`;
      const silentMs = now() - heardAtMs;
      return silentMs > STALE_AFTER_MS
        ? `${label} were last heard of ${Math.round(silentMs / 1000)} s ago`
        : undefined;
    },
  };
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
