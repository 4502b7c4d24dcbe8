/**
 * Decides, from what the API server says of the release's workloads and of policies, how far an uninstall is: which nodes
 * are not clear yet, who still holds a policy. Relies on the kubelet's word for a pod that is ready.
 */
import { FieldReader } from '../../../policy/fieldReader.ts';
import { CONTROLLER_LEASE, FINALIZER, GATEWAY_LEASE_PREFIX } from '../../../policy/names.ts';

/** What the agents' pods run before the release goes. */
export const CLEANUP_ARGS: readonly string[] = ['/app/cleanup.js', '--stay'];
/** More objects than a cluster has of any of these kinds. */
const ITEMS_MAX = 200_000;

const itemsOf = (list: unknown): readonly FieldReader[] =>
  new FieldReader(list, '', []).list('items', { min: 0, max: ITEMS_MAX });

/** Patches the DaemonSet: every agent is replaced at once by what clears its node. */
export function renderCleanupPatch(): readonly unknown[] {
  return [
    { op: 'test', path: '/spec/template/spec/containers/0/name', value: 'agent' },
    { op: 'replace', path: '/spec/template/spec/containers/0/args', value: CLEANUP_ARGS },
    { op: 'add', path: '/spec/updateStrategy/rollingUpdate', value: { maxUnavailable: '100%' } },
  ];
}

/** Every node that is to run the DaemonSet runs it as it is now, and is ready. */
export function isRolledOut(daemonSet: unknown): boolean {
  const set = new FieldReader(daemonSet, '', []);
  const [status, generation] = [set.child('status'), set.child('metadata').optionalInteger('generation')];
  const number = (field: string): number => status.optionalInteger(field) ?? 0;
  const wanted = number('desiredNumberScheduled');
  return (
    number('observedGeneration') === generation &&
    number('updatedNumberScheduled') === wanted &&
    number('numberReady') === wanted
  );
}

/** Nodes of pods that are not ready, or are agents still. */
export function nodesNotClear(pods: unknown): readonly string[] {
  const names = itemsOf(pods)
    .filter((pod) => !isClear(pod))
    .map((pod) => pod.child('spec').optionalText('nodeName') ?? '');
  return [...new Set(names)].filter((name) => name !== '').toSorted();
}

function isClear(pod: FieldReader): boolean {
  const [container] = pod.child('spec').list('containers', { min: 0, max: ITEMS_MAX });
  const args = container?.list('args', { min: 0, max: ITEMS_MAX }).map((word) => word.text()) ?? [];
  const ready = pod
    .child('status')
    .list('conditions', { min: 0, max: ITEMS_MAX })
    .some((it) => it.optionalText('type') === 'Ready' && it.optionalText('status') === 'True');
  return ready && args[0] === CLEANUP_ARGS[0];
}

export function countItems(list: unknown): number {
  return itemsOf(list).length;
}

/** A policy that the controller would have let go of, and what is left of its finalizers without ours. */
export interface HeldPolicy {
  readonly name: string;
  readonly resourceVersion: string;
  readonly finalizers: readonly string[];
}

export function heldPolicies(list: unknown): readonly HeldPolicy[] {
  return itemsOf(list).flatMap((policy) => {
    const metadata = policy.child('metadata');
    const finalizers = metadata
      .list('finalizers', { min: 0, max: ITEMS_MAX })
      .flatMap((it) => it.text() ?? []);
    const [name, resourceVersion] = [metadata.optionalText('name'), metadata.optionalText('resourceVersion')];
    if (name === undefined || resourceVersion === undefined || !finalizers.includes(FINALIZER)) return [];
    return [{ name, resourceVersion, finalizers: finalizers.filter((it) => it !== FINALIZER) }];
  });
}

/** Of a namespace's Leases, those of the gateways and of the leader. */
export function ownLeases(list: unknown): readonly string[] {
  const names = itemsOf(list).flatMap((lease) => lease.child('metadata').optionalText('name') ?? []);
  return names.filter((name) => name === CONTROLLER_LEASE || name.startsWith(GATEWAY_LEASE_PREFIX));
}
