/**
 * Carries out the controller's writes, each as a compare-and-swap on the version it was decided on, and says what came of
 * it. A conflict, an object that is there or not there against expectation, and a lost answer are all the same: what
 * stands there has to be read.
 */
import type { KubeClient, KubeOutcome } from '../../kube/kubeClient.ts';
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
import { renderEgressIp } from '../core/renderEgressIp.ts';
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
      if (outcome.kind === 'ok')
        return effect.kind === 'remove-egress-ip' || effect.kind === 'remove-gateway-node'
          ? answered(collection, key, { kind: 'stale' })
          : present(collection, key, outcome.value);
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

function send(client: KubeClient, sources: Sources, effect: WriteEffect): Promise<KubeOutcome<unknown>> {
  const { collection, key } = targetOf(effect);
  const path = sources[collection].objectPath(key);
  switch (effect.kind) {
    case 'create-egress-ip':
      return client.create(collectionPath(EGRESS_IP), renderEgressIp(effect.egressIp));
    case 'replace-egress-ip':
      return client.replace(path, renderEgressIp(effect.egressIp));
    case 'remove-egress-ip': {
      const { uid, resourceVersion } = effect.egressIp;
      return client.remove(path, { uid, resourceVersion });
    }
    case 'remove-gateway-node': {
      const { uid, resourceVersion } = effect.gatewayNode;
      return client.remove(path, { uid, resourceVersion });
    }
    case 'write-egress-ip-status':
      return putStatus(client, path, {
        resourceVersion: effect.egressIp.resourceVersion,
        status: renderEgressIpStatus(effect.status),
      });
    case 'write-policy-status':
      return putStatus(client, path, {
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

/** Replaces the whole status, so that what is not in it any more goes; a version that moved on is a conflict. */
function putStatus(
  client: KubeClient,
  path: string,
  { resourceVersion, status }: { readonly resourceVersion: string; readonly status: unknown },
): Promise<KubeOutcome<unknown>> {
  return client.jsonPatch(`${path}/status`, [
    { op: 'replace', path: '/metadata/resourceVersion', value: resourceVersion },
    { op: 'add', path: '/status', value: status },
  ]);
}

function writeVoters(
  client: KubeClient,
  path: string,
  { config, resourceVersion }: Extract<WriteEffect, { readonly kind: 'write-voters' }>,
): Promise<KubeOutcome<unknown>> {
  const body = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: VOTERS_CONFIG_MAP, ...(resourceVersion === '' ? {} : { resourceVersion }) },
    data: { [VOTERS_FIELD]: JSON.stringify(config) },
  };
  return resourceVersion === ''
    ? client.create(path.slice(0, path.lastIndexOf('/')), body)
    : client.replace(path, body);
}
