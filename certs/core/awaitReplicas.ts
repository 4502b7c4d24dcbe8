/**
 * Decides whether everybody who matters follows what stands in the Secret, and for how long that has been so.
 *
 * Relies on what replicas state of themselves. Whoever is heard, or has a Pod that runs, matters. Times are monotonic ones of
 * the replica that looks, and begin anew with the next: wherever a wall clock jumps, no wait becomes shorter.
 */
import type { CertificatePhase } from '../../policy/certificateNotes.ts';
import type { KnownRotation, PresentFacts, ReplicaFacts } from './rotationFacts.ts';

/** A replica states something at least this often while anything is awaited. */
export const BEAT_INTERVAL_MS = 10_000;
/** Without a Pod and unheard for so long a replica is gone. */
export const SILENT_MS = 60_000;
/**
 * In `publishing`, a replica that runs and does not follow is not waited for longer: it serves a leaf of the old CA, which
 * stays trusted. In `retiring` it is waited for until its leaf has expired: nothing else tells that it serves another.
 */
export const PATIENCE_MS: Readonly<Record<CertificatePhase, number>> = {
  settled: 0,
  publishing: 600_000,
  retiring: Number.POSITIVE_INFINITY,
};

interface Heard {
  readonly beat: string;
  readonly atMs: number;
}

/** What one replica remembers from look to look; monotonic. */
export interface RotationWatch {
  /** Of the Secret: bundle, leaf, phase. Another one begins the waits anew. */
  readonly shape: string;
  readonly sinceMs: number;
  readonly agreedSinceMs?: number;
  readonly heard: ReadonlyMap<string, Heard>;
}

export interface Agreement {
  readonly watch: RotationWatch;
  readonly confirmed: boolean;
  /** Names of replicas. */
  readonly waitingFor: readonly string[];
  /** Those that are waited for no longer, and do not follow. */
  readonly leftBehind: readonly string[];
}

export function awaitReplicas(
  known: KnownRotation,
  stored: { readonly facts: PresentFacts; readonly phase: CertificatePhase },
  before: RotationWatch | undefined,
): Agreement {
  const { monotonicMs } = known;
  const { facts, phase } = stored;
  const shape = `${phase} ${facts.bundleId} ${facts.leafId}`;
  const same = before?.shape === shape ? before : undefined;
  const sinceMs = same?.sinceMs ?? monotonicMs;
  const heard = listen(known, before?.heard);
  const behind = known.replicas.filter((replica) => !follows(replica, facts, phase));
  const isAwaited = (replica: ReplicaFacts): boolean =>
    isAlive(replica, heard, monotonicMs) && monotonicMs - sinceMs < PATIENCE_MS[phase];
  const waitingFor = behind.filter(isAwaited).map(({ name }) => name);
  const agreed = known.published && waitingFor.length === 0;
  const agreedSinceMs = agreed ? (same?.agreedSinceMs ?? monotonicMs) : undefined;
  return {
    watch: { shape, sinceMs, heard, ...(agreedSinceMs === undefined ? {} : { agreedSinceMs }) },
    confirmed: agreedSinceMs !== undefined && monotonicMs - agreedSinceMs >= known.propagationMs,
    waitingFor,
    leftBehind: behind.filter((replica) => !isAwaited(replica)).map(({ name }) => name),
  };
}

function follows({ trusts, serves }: ReplicaFacts, facts: PresentFacts, phase: CertificatePhase): boolean {
  switch (phase) {
    case 'settled':
      return true;
    case 'publishing':
      return trusts === facts.bundleId;
    case 'retiring':
      return trusts === facts.bundleId && serves === facts.leafId;
    default:
      return phase satisfies never;
  }
}

function listen(
  { replicas, monotonicMs }: KnownRotation,
  before: ReadonlyMap<string, Heard> = new Map(),
): ReadonlyMap<string, Heard> {
  return new Map(
    replicas.map(({ name, beat }) => {
      const last = before.get(name);
      return [name, last?.beat === beat ? last : { beat, atMs: monotonicMs }];
    }),
  );
}

function isAlive(
  { name, pod }: ReplicaFacts,
  heard: ReadonlyMap<string, Heard>,
  monotonicMs: number,
): boolean {
  return pod === 'runs' || monotonicMs - (heard.get(name)?.atMs ?? monotonicMs) < SILENT_MS;
}
