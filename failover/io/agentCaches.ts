/**
 * What the agent watches, kept as one immutable view. `onView` is called when the first view is whole and after each
 * change, at most once per turn of the event loop, so a burst of events costs one decision.
 */
import type { KubeClient } from '../../kube/kubeClient.ts';
import { type Reflector, type ReflectorEvent, startReflector } from '../../kube/reflector.ts';
import { parseCidr } from '../../policy/cidr.ts';
import { FieldReader } from '../../policy/fieldReader.ts';
import type { Cidr, NodeFacts, Policy } from '../../policy/model.ts';
import {
  CILIUM_EGRESS_GATEWAY_POLICY,
  collectionPath,
  EGRESS_IP,
  EGRESS_POLICY,
  GATEWAY_NODE,
  type PolicyKind,
} from '../../policy/names.ts';
import { parseNode } from '../../policy/parseFacts.ts';
import { parsePolicy } from '../../policy/parsePolicy.ts';
import type { Logger } from '../../runtime/logger.ts';
import type { AgentView, LocalPod } from '../core/agent/agentView.ts';
import { parsePod } from '../core/agent/parsePod.ts';
import type { TunnelEndpoint } from '../core/dataPlane.ts';
import type { EgressIp } from '../core/egressIp.ts';
import type { GatewayNode } from '../core/gatewayNode.ts';
import { parseEgressIp } from '../core/parseEgressIp.ts';
import { parseGatewayNode } from '../core/parseGatewayNode.ts';
import { remember } from '../core/remember.ts';

export interface AgentCaches {
  stop(): Promise<void>;
}

export interface AgentCachesOptions {
  readonly client: KubeClient;
  readonly logger: Logger;
  readonly self: TunnelEndpoint;
  readonly serviceCidrs: readonly Cidr[];
  readonly onView: (view: AgentView) => void;
  /** True: the watch of pods broke. False: something of it was heard again, as it is when a pod comes. */
  readonly onPodsUnseen: (unseen: boolean) => void;
}

const SERVICE_CIDRS = '/apis/networking.k8s.io/v1/servicecidrs';
/** One for each family. */
const SERVICE_NETWORKS_MAX = 2;

interface CacheChoices {
  readonly onUnseen?: (unseen: boolean) => void;
  readonly query?: Readonly<Record<string, string>>;
  readonly absentIsEmpty?: boolean;
}

interface Keyed<T> {
  readonly key: string;
  readonly value: T;
}

export function startAgentCaches(options: AgentCachesOptions): AgentCaches {
  const { client, logger, self } = options;
  const node = self.node;
  let scheduled = false;
  const caches: Cache<unknown>[] = [];
  const changed = (): void => {
    if (scheduled || caches.some((cache) => !cache.synced())) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      options.onView(view());
    });
  };
  const open = <T>(
    path: string,
    read: (raw: unknown) => Keyed<T> | undefined,
    { query = {}, absentIsEmpty = false, onUnseen = () => undefined }: CacheChoices = {},
  ): Cache<T> => {
    const cache = new Cache<T>({ client, logger, path, query, absentIsEmpty, read, changed, onUnseen });
    caches.push(cache);
    return cache;
  };
  const nodes = open<NodeFacts>('/api/v1/nodes', (raw) => keyed(parseNode(raw), ({ name }) => name));
  const namespaces = open('/api/v1/namespaces', readNamespace);
  const pods = open<LocalPod>('/api/v1/pods', (raw) => keyed(parsePod(raw), podKey), {
    query: { fieldSelector: `spec.nodeName=${node}` },
    onUnseen: options.onPodsUnseen,
  });
  const cilium = open<Policy>(
    collectionPath(CILIUM_EGRESS_GATEWAY_POLICY),
    readPolicy('CiliumEgressGatewayPolicy'),
    // Not served where Cilium's own kind of that name is.
    { absentIsEmpty: true },
  );
  const own = open<Policy>(collectionPath(EGRESS_POLICY), readPolicy('EgressPolicy'));
  const egressIps = open<EgressIp>(collectionPath(EGRESS_IP), (raw) =>
    keyed(parseEgressIp(raw), ({ name }) => name),
  );
  const gatewayNodes = open<GatewayNode>(collectionPath(GATEWAY_NODE), (raw) =>
    keyed(parseGatewayNode(raw), ({ name }) => name),
  );
  // Kubernetes before 1.33 has no such kind; there the networks have to be configured.
  const serviceNetworks = open<readonly Cidr[]>(SERVICE_CIDRS, readServiceCidr, { absentIsEmpty: true });
  const allPolicies = remember(
    (...kinds: readonly ReadonlyMap<string, Policy>[]) => new Map(kinds.flatMap((it) => [...it])),
  );
  const allNetworks = remember((found: ReadonlyMap<string, readonly Cidr[]>) => [
    ...options.serviceCidrs,
    ...[...found.values()].flat(),
  ]);
  const view = (): AgentView => ({
    node,
    self,
    nodes: nodes.items(),
    namespaces: namespaces.items(),
    pods: pods.items(),
    policies: allPolicies(cilium.items(), own.items()),
    egressIps: egressIps.items(),
    gatewayNodes: gatewayNodes.items(),
    serviceCidrs: allNetworks(serviceNetworks.items()),
  });
  return {
    async stop() {
      await Promise.all(caches.map((cache) => cache.stop()));
    },
  };
}

/** One reflected collection. Its map is replaced on a change, never edited: views hand it out. */
class Cache<T> {
  readonly #reflector: Reflector;
  readonly #changed: () => void;
  readonly #onUnseen: (unseen: boolean) => void;
  #items: ReadonlyMap<string, T> | undefined;

  constructor(options: {
    readonly client: KubeClient;
    readonly logger: Logger;
    readonly path: string;
    readonly query: Readonly<Record<string, string>>;
    readonly absentIsEmpty: boolean;
    readonly read: (raw: unknown) => Keyed<T> | undefined;
    readonly changed: () => void;
    readonly onUnseen: (unseen: boolean) => void;
  }) {
    const { client, logger, path, query, absentIsEmpty, read } = options;
    this.#changed = options.changed;
    this.#onUnseen = options.onUnseen;
    this.#reflector = startReflector<T>({
      client,
      logger,
      path,
      query,
      absentIsEmpty,
      project: read,
      onEvent: (event) => this.#absorb(event),
    });
  }

  #absorb(event: ReflectorEvent<T>): void {
    this.#onUnseen(event.kind === 'disconnected');
    switch (event.kind) {
      case 'synced':
        this.#items = event.items;
        break;
      case 'upserted':
        this.#items = new Map(this.#items).set(event.key, event.value);
        break;
      case 'removed': {
        const items = new Map(this.#items);
        items.delete(event.key);
        this.#items = items;
        break;
      }
      case 'disconnected':
        return;
      default:
        event satisfies never;
    }
    this.#changed();
  }

  synced(): boolean {
    return this.#items !== undefined;
  }

  items(): ReadonlyMap<string, T> {
    if (this.#items === undefined) throw new Error('Cache.items: asked before the first list was in');
    return this.#items;
  }

  stop(): Promise<void> {
    return this.#reflector.stop();
  }
}

function keyed<T>(value: T | undefined, key: (value: T) => string): Keyed<T> | undefined {
  return value === undefined ? undefined : { key: key(value), value };
}

function podKey({ namespace, name }: LocalPod): string {
  return `${namespace}/${name}`;
}

function readNamespace(raw: unknown): Keyed<Readonly<Record<string, string>>> | undefined {
  const metadata = new FieldReader(raw, '', []).child('metadata');
  const key = metadata.optionalText('name');
  return key === undefined ? undefined : { key, value: Object.fromEntries(metadata.textMap('labels')) };
}

function readServiceCidr(raw: unknown): Keyed<readonly Cidr[]> | undefined {
  const object = new FieldReader(raw, '', []);
  const key = object.child('metadata').optionalText('name');
  if (key === undefined) return undefined;
  const texts = object.child('spec').list('cidrs', { min: 0, max: SERVICE_NETWORKS_MAX });
  const value = texts.flatMap((text) => {
    const parsed = parseCidr(text.text() ?? '');
    return parsed.kind === 'ok' ? [parsed.value] : [];
  });
  return { key, value };
}

/** A policy that does not parse is the controller's to report; here it is as if it were not there. */
function readPolicy(kind: PolicyKind): (raw: unknown) => Keyed<Policy> | undefined {
  return (raw) => {
    const parsed = parsePolicy(raw, kind);
    return parsed.kind === 'ok' ? { key: parsed.value.ref.uid, value: parsed.value } : undefined;
  };
}
