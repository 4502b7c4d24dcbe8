/**
 * The gateway's Lease as its own agent sees it: read, open, heartbeat and close, each write a compare-and-swap on the
 * version read or written last. The session number stands in `leaseTransitions`; a closed Lease has no holder. What
 * others put to its metadata stays.
 */
import type { KubeClient, KubeOutcome } from '../../kube/kubeClient.ts';
import { formatMicroTime, type LeaseRecord, leasePath, parseLease, renderLease } from '../../kube/lease.ts';
import { GATEWAY_LEASE_PREFIX } from '../../policy/names.ts';
import type { LeaseFacts, LeaseWriteOutcome } from '../core/agent/leaseSession.ts';

export interface LeaseHeart {
  read(): Promise<LeaseFacts | 'absent' | 'failed'>;
  write(request: {
    readonly session: number;
    readonly holding: boolean;
    /** Absent: create. */
    readonly version?: string;
  }): Promise<LeaseWriteOutcome>;
}

export interface LeaseHeartOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly node: string;
  readonly durationSeconds: number;
  /** Wall clock, milliseconds since the epoch; written for people, never compared. */
  readonly wallClock: () => number;
}

export function createLeaseHeart(options: LeaseHeartOptions): LeaseHeart {
  const { client, namespace, node } = options;
  const name = `${GATEWAY_LEASE_PREFIX}${node}`;
  let acquired = { session: 0, time: '' };
  // As read or written last: the object of the version that is written over.
  let standing: unknown;
  return {
    async read() {
      const outcome = await client.get(leasePath(namespace, name));
      if (outcome.kind !== 'ok') return outcome.error.code === 'not-found' ? 'absent' : 'failed';
      const lease = parseLease(outcome.value);
      if (lease === undefined) return 'failed';
      standing = outcome.value;
      const holding = lease.holder === `${node}/${lease.transitions}`;
      return { version: lease.resourceVersion, session: lease.transitions, holding };
    },
    async write({ session, holding, version }) {
      const now = formatMicroTime(options.wallClock());
      if (session !== acquired.session) acquired = { session, time: now };
      const record: LeaseRecord = {
        name,
        namespace,
        uid: '',
        resourceVersion: version ?? '',
        holder: holding ? `${node}/${session}` : '',
        durationSeconds: options.durationSeconds,
        renewTime: now,
        acquireTime: acquired.time,
        transitions: session,
      };
      const body = renderLease(record, version === undefined ? undefined : standing);
      const outcome =
        version === undefined
          ? await client.create(leasePath(namespace), body)
          : await client.replace(leasePath(namespace, name), body);
      if (outcome.kind === 'ok') standing = outcome.value;
      return judge(outcome);
    },
  };
}

/** A conflict and a lost answer are the same to a heart: what stands there has to be read. */
function judge(outcome: KubeOutcome<unknown>): LeaseWriteOutcome {
  if (outcome.kind === 'ok') {
    const lease = parseLease(outcome.value);
    return lease === undefined ? { kind: 'stale' } : { kind: 'accepted', version: lease.resourceVersion };
  }
  if (outcome.kind === 'unknown') return { kind: 'stale' };
  const { code } = outcome.error;
  return code === 'conflict' || code === 'already-exists' || code === 'not-found'
    ? { kind: 'stale' }
    : { kind: 'failed' };
}
