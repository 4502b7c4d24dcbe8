/**
 * The collections that the controller watches, each parsed into what its core keeps, as events. Followers watch too, so
 * that a new leader starts from warm caches.
 */
import type { KubeClient } from '../../kube/kubeClient.ts';
import { leasePath, parseLease } from '../../kube/lease.ts';
import { startReflector } from '../../kube/reflector.ts';
import { FieldReader } from '../../policy/fieldReader.ts';
import {
  CILIUM_EGRESS_GATEWAY_POLICY,
  collectionPath,
  EGRESS_IP,
  EGRESS_POLICY,
  GATEWAY_LEASE_PREFIX,
  GATEWAY_NODE,
  VOTERS_CONFIG_MAP,
} from '../../policy/names.ts';
import { parseNode } from '../../policy/parseFacts.ts';
import type { Logger } from '../../runtime/logger.ts';
import type { CollectionEvent } from '../core/controller/controllerEvents.ts';
import type { CollectionName, Collections, VotersObject } from '../core/controller/controllerView.ts';
import { parseEgressIpObject, parsePolicyObject } from '../core/controller/parseObjects.ts';
import type { GatewayLease } from '../core/controller/sessions.ts';
import { parseGatewayNode } from '../core/parseGatewayNode.ts';
import { readVoterConfig } from './ownershipSecrets.ts';

/** How one collection is read: where it is, and what is kept of an object. Undefined: as if it were not there. */
export interface Source<C extends CollectionName> {
  /** Of the collection. */
  readonly path: string;
  /** What of it is watched. */
  readonly query?: Readonly<Record<string, string>>;
  /** Of one object. */
  objectPath(key: string): string;
  read(raw: unknown): { readonly key: string; readonly value: Collections[C] } | undefined;
}

export type Sources = { readonly [C in CollectionName]: Source<C> };

export function controllerSources(namespace: string): Sources {
  const leases = leasePath(namespace);
  return {
    CiliumEgressGatewayPolicy: source(collectionPath(CILIUM_EGRESS_GATEWAY_POLICY), (raw) =>
      named(parsePolicyObject(raw, 'CiliumEgressGatewayPolicy')),
    ),
    EgressPolicy: source(collectionPath(EGRESS_POLICY), (raw) =>
      named(parsePolicyObject(raw, 'EgressPolicy')),
    ),
    nodes: source('/api/v1/nodes', (raw) => named(parseNode(raw))),
    gatewayNodes: source(collectionPath(GATEWAY_NODE), (raw) => named(parseGatewayNode(raw))),
    egressIps: source(collectionPath(EGRESS_IP), (raw) => {
      const value = parseEgressIpObject(raw);
      return value === undefined ? undefined : { key: value.egressIp.name, value };
    }),
    leases: {
      path: leases,
      objectPath: (gateway) => `${leases}/${GATEWAY_LEASE_PREFIX}${gateway}`,
      read: readGatewayLease,
    },
    voters: {
      path: `/api/v1/namespaces/${namespace}/configmaps`,
      query: { fieldSelector: `metadata.name=${VOTERS_CONFIG_MAP}` },
      objectPath: (name) => `/api/v1/namespaces/${namespace}/configmaps/${name}`,
      read: readVoters,
    },
  };
}

function source<C extends CollectionName>(path: string, read: Source<C>['read']): Source<C> {
  return { path, objectPath: (key) => `${path}/${key}`, read };
}

function named<T extends { readonly name: string }>(
  value: T | undefined,
): { readonly key: string; readonly value: T } | undefined {
  return value === undefined ? undefined : { key: value.name, value };
}

function readVoters(raw: unknown): { readonly key: string; readonly value: VotersObject } | undefined {
  const config = readVoterConfig(raw);
  const resourceVersion = new FieldReader(raw, '', []).child('metadata').optionalText('resourceVersion');
  if (config === undefined || resourceVersion === undefined) return undefined;
  return { key: VOTERS_CONFIG_MAP, value: { config, resourceVersion } };
}

/** Other Leases of the namespace are none of ours. */
function readGatewayLease(raw: unknown): { readonly key: string; readonly value: GatewayLease } | undefined {
  const lease = parseLease(raw);
  if (lease === undefined || !lease.name.startsWith(GATEWAY_LEASE_PREFIX)) return undefined;
  const gateway = lease.name.slice(GATEWAY_LEASE_PREFIX.length);
  return {
    key: gateway,
    value: {
      gateway,
      session: lease.transitions,
      holding: lease.holder === `${gateway}/${lease.transitions}`,
      durationMs: lease.durationSeconds * 1000,
      version: lease.resourceVersion,
    },
  };
}

export interface ControllerCaches {
  stop(): Promise<void>;
}

export function startControllerCaches(options: {
  readonly client: KubeClient;
  readonly sources: Sources;
  readonly logger: Logger;
  readonly onEvent: (event: CollectionEvent) => void;
  /** The Leases' watch broke: gateways may be heartbeating unseen. */
  readonly onContactLost: () => void;
}): ControllerCaches {
  const { client, sources, logger } = options;
  const start = <C extends CollectionName>(collection: C) =>
    startReflector<Collections[C]>({
      client,
      logger,
      path: sources[collection].path,
      ...(sources[collection].query === undefined ? {} : { query: sources[collection].query }),
      project: (raw) => sources[collection].read(raw),
      // Cilium's group is not installed where Cilium's own CRD of that name is.
      absentIsEmpty: collection === 'CiliumEgressGatewayPolicy',
      onEvent: (event) => {
        if (event.kind !== 'disconnected') {
          // One collection and its own kind of value: TypeScript cannot follow the pair through the parameter C.
          options.onEvent({ ...event, collection } as unknown as CollectionEvent);
        } else if (collection === 'leases') options.onContactLost();
      },
    });
  const reflectors = [
    start('CiliumEgressGatewayPolicy'),
    start('EgressPolicy'),
    start('nodes'),
    start('gatewayNodes'),
    start('egressIps'),
    start('leases'),
    start('voters'),
  ];
  return {
    async stop() {
      await Promise.all(reflectors.map((reflector) => reflector.stop()));
    },
  };
}
