/** Who matters for a rotation: the replicas that state anything, and the Pods of the webhook that are ready. */

import type { KubeClient } from '../../kube/kubeClient.ts';
import { parseCertificateNotes, replicaName } from '../../policy/certificateNotes.ts';
import { FieldReader } from '../../policy/fieldReader.ts';
import type { ReplicaFacts } from '../core/rotationFacts.ts';
import { asRecord } from './readFacts.ts';

/** The chart allows ten replicas; a rollout doubles them. */
const PODS_MAX = 100;

export interface ReplicaPods {
  readonly namespace: string;
  /** Which Pods are replicas of the webhook. Absent: only what they state is known. */
  readonly podSelector?: string;
}

/** @param object the Secret as read. */
export async function readReplicas(
  client: KubeClient,
  pods: ReplicaPods,
  object: Readonly<Record<string, unknown>>,
): Promise<readonly ReplicaFacts[]> {
  const ready = await readReadyPods(client, pods);
  const { replicas } = parseCertificateNotes(asRecord(object.metadata).annotations);
  const stated = replicas.map(
    ({ name, trusts, serves, beat }): ReplicaFacts => ({
      ...{ name, trusts, serves, beat },
      pod: ready === undefined ? 'unknown' : ready.has(name) ? 'runs' : 'none',
    }),
  );
  const names = new Set(replicas.map(({ name }) => name));
  const silent = [...(ready ?? [])].filter((name) => !names.has(name));
  return [
    ...stated,
    ...silent.map((name) => ({ name, trusts: '', serves: '', beat: '', pod: 'runs' as const })),
  ];
}

/** By the names in statements; undefined where that cannot be read. */
async function readReadyPods(
  client: KubeClient,
  { namespace, podSelector }: ReplicaPods,
): Promise<ReadonlySet<string> | undefined> {
  if (podSelector === undefined) return undefined;
  const read = await client.get(`/api/v1/namespaces/${namespace}/pods`, {
    labelSelector: podSelector,
    limit: PODS_MAX,
  });
  if (read.kind !== 'ok') return undefined;
  const { items } = asRecord(read.value);
  const ready = (Array.isArray(items) ? items : []).flatMap((raw) => {
    const name = new FieldReader(raw, '', []).child('metadata').optionalText('name');
    return name !== undefined && isReady(raw) ? [replicaName(name)] : [];
  });
  return new Set(ready);
}

function isReady(raw: unknown): boolean {
  const { conditions } = asRecord(asRecord(raw).status);
  if (!Array.isArray(conditions)) return false;
  return conditions.map(asRecord).some(({ type, status }) => type === 'Ready' && status === 'True');
}
