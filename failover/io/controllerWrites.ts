/**
 * Carries out the controller's writes, each as a compare-and-swap on the version it was decided on, and says what came of
 * it. A conflict, an object that is there or not there against expectation, and a lost answer are all the same: what
 * stands there has to be read.
 */
import type { KubeClient, KubeOutcome } from '../../kube/kubeClient.ts';
import { parseLease } from '../../kube/lease.ts';
import { collectionPath, EGRESS_IP } from '../../policy/names.ts';
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
      | { readonly kind: 'absent' | 'stale' | 'failed' }
      | { readonly kind: 'present'; readonly value: unknown },
  ): RequestEvent =>
    // The value was read by the collection's own parser: TypeScript cannot follow the pair through a name.
    ({ kind: 'answered', collection, key, answer }) as RequestEvent;

  const present = (collection: CollectionName, key: string, raw: unknown): RequestEvent => {
    const kept = sources[collection].read(raw);
    return answered(
      collection,
      key,
      kept === undefined ? { kind: 'absent' } : { kind: 'present', value: kept.value },
    );
  };

  return {
    async write(effect) {
      const { collection, key } = targetOf(effect);
      const outcome = await send(client, sources, effect);
      if (outcome.kind === 'ok')
        return effect.kind === 'remove-egress-ip'
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
    case 'close-lease':
      return closeLease(client, path, effect.resourceVersion);
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

/**
 * The Lease with nobody holding it, everything else as it stands. It is read anew first: a heartbeat that came meanwhile is
 * seen there without a write, and the write that follows swaps against the version that stood still.
 */
async function closeLease(
  client: KubeClient,
  path: string,
  resourceVersion: string,
): Promise<KubeOutcome<unknown>> {
  const outcome = await client.get(path);
  if (outcome.kind !== 'ok') return outcome;
  const lease = outcome.value as { readonly spec?: object }; // parseLease is asked next, and reads less of it.
  if (parseLease(lease)?.resourceVersion !== resourceVersion) {
    const message = 'the Lease changed after it stood still';
    return { kind: 'refused', error: { code: 'conflict', transient: false, message } };
  }
  return client.replace(path, { ...lease, spec: { ...lease.spec, holderIdentity: '' } });
}
