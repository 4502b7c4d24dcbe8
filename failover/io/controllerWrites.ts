/**
 * Carries out the controller's writes, each as a compare-and-swap on the version it was decided on, and says what came of
 * it. A conflict, an object that is there or not there against expectation, and a lost answer are all the same: what
 * stands there has to be read.
 *
 * Of an object that is there only what is the controller's is replaced: labels, annotations, finalizers and owners may be
 * somebody else's (kubectl, Argo CD), and stay.
 */
import type { KubeClient, KubeOutcome } from '../../kube/kubeClient.ts';
import { FieldReader } from '../../policy/fieldReader.ts';
import { collectionPath, EGRESS_IP, VOTERS_CONFIG_MAP } from '../../policy/names.ts';
import type { Logger } from '../../runtime/logger.ts';
import {
  type ControllerEffect,
  type RequestEvent,
  targetOf,
  type WriteEffect,
} from '../core/controller/controllerEvents.ts';
import type { CollectionName } from '../core/controller/controllerView.ts';
import { renderEgressIpStatus, renderPolicyStatus } from '../core/controller/renderStatus.ts';
import { renderEgressIp, renderEgressIpSpec } from '../core/renderEgressIp.ts';
import type { Sources } from './controllerCaches.ts';
import { VOTERS_FIELD } from './ownershipSecrets.ts';

export interface ControllerWrites {
  write(effect: WriteEffect): Promise<RequestEvent>;
  read(effect: Extract<ControllerEffect, { readonly kind: 'read-object' }>): Promise<RequestEvent>;
}

export function createControllerWrites(options: {
  readonly client: KubeClient;
  readonly sources: Sources;
  readonly logger: Logger;
}): ControllerWrites {
  const { client, sources, logger } = options;
  const answered = (
    collection: CollectionName,
    key: string,
    answer:
      | { readonly kind: 'absent' | 'unreadable' | 'stale' | 'failed' }
      | { readonly kind: 'present'; readonly value: unknown },
  ): RequestEvent =>
    // The value was read by the collection's own parser: TypeScript cannot follow the pair through a name.
    ({ kind: 'answered', collection, key, answer }) as RequestEvent;

  const present = (collection: CollectionName, key: string, raw: unknown): RequestEvent => {
    const kept = sources[collection].read(raw);
    if (kept !== undefined) return answered(collection, key, { kind: 'present', value: kept.value });
    logger.warn('an object cannot be read, and is in the way until somebody removes it', {
      collection,
      object: key,
    });
    return answered(collection, key, { kind: 'unreadable' });
  };

  return {
    async write(effect) {
      const { collection, key } = targetOf(effect);
      const outcome = await send(client, sources, effect);
      if (outcome.kind === 'ok') {
        const removes = effect.kind === 'remove-egress-ip' || effect.kind === 'remove-gateway-node';
        if (!removes) return present(collection, key, outcome.value);
        if (!isDeleting(outcome.value)) return answered(collection, key, { kind: 'stale' });
        logger.warn('an object goes when its finalizers are gone, which are not ours', {
          collection,
          object: key,
        });
        return answered(collection, key, { kind: 'failed' });
      }
      const { code, message } = outcome.error;
      if (
        outcome.kind === 'unknown' ||
        code === 'conflict' ||
        code === 'already-exists' ||
        code === 'not-found'
      ) {
        logger.debug('a write has to be read back', { effect: effect.kind, object: key, code });
        return answered(collection, key, { kind: 'stale' });
      }
      logger.warn('a write was refused', { effect: effect.kind, object: key, code, reason: message });
      return answered(collection, key, { kind: 'failed' });
    },
    async read({ collection, key }) {
      const outcome = await client.get(sources[collection].objectPath(key));
      if (outcome.kind === 'ok') return present(collection, key, outcome.value);
      return answered(collection, key, { kind: outcome.error.code === 'not-found' ? 'absent' : 'failed' });
    },
  };
}

/** The answer to a deletion has the object, where that waits for somebody. */
function isDeleting(answer: unknown): boolean {
  return new FieldReader(answer, '', []).child('metadata').has('deletionTimestamp');
}

function send(client: KubeClient, sources: Sources, effect: WriteEffect): Promise<KubeOutcome<unknown>> {
  const { collection, key } = targetOf(effect);
  const path = sources[collection].objectPath(key);
  switch (effect.kind) {
    case 'create-egress-ip':
      return client.create(collectionPath(EGRESS_IP), renderEgressIp(effect.egressIp));
    case 'replace-egress-ip':
      return putPart(client, path, {
        resourceVersion: effect.egressIp.resourceVersion,
        spec: renderEgressIpSpec(effect.egressIp),
      });
    case 'remove-egress-ip': {
      const { uid, resourceVersion } = effect.egressIp;
      return client.remove(path, { uid, resourceVersion });
    }
    case 'remove-gateway-node': {
      const { uid, resourceVersion } = effect.gatewayNode;
      return client.remove(path, { uid, resourceVersion });
    }
    case 'write-egress-ip-status':
      return putPart(client, `${path}/status`, {
        resourceVersion: effect.egressIp.resourceVersion,
        status: renderEgressIpStatus(effect.status),
      });
    case 'write-policy-status':
      return putPart(client, `${path}/status`, {
        resourceVersion: effect.resourceVersion,
        status: renderPolicyStatus(effect.status),
      });
    case 'write-finalizers': {
      const { resourceVersion, finalizers } = effect;
      return client.mergePatch(path, { metadata: { resourceVersion, finalizers } });
    }
    case 'write-voters':
      return writeVoters(client, path, effect);
    default:
      return effect satisfies never;
  }
}

/** Replaces the whole spec or status, so that what is not in it any more goes; a version that moved on is a conflict. */
function putPart(
  client: KubeClient,
  path: string,
  { resourceVersion, ...parts }: { readonly resourceVersion: string } & Readonly<Record<string, unknown>>,
): Promise<KubeOutcome<unknown>> {
  return client.jsonPatch(path, [
    { op: 'replace', path: '/metadata/resourceVersion', value: resourceVersion },
    ...Object.entries(parts).map(([name, value]) => ({ op: 'add', path: `/${name}`, value })),
  ]);
}

function writeVoters(
  client: KubeClient,
  path: string,
  { config, resourceVersion }: Extract<WriteEffect, { readonly kind: 'write-voters' }>,
): Promise<KubeOutcome<unknown>> {
  const data = { [VOTERS_FIELD]: JSON.stringify(config) };
  if (resourceVersion !== '') return client.mergePatch(path, { metadata: { resourceVersion }, data });
  const metadata = { name: VOTERS_CONFIG_MAP };
  return client.create(path.slice(0, path.lastIndexOf('/')), {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata,
    data,
  });
}
