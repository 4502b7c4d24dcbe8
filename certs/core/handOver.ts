/**
 * Decides when a replica shows a new leaf to its clients: when they have trusted its CA for long enough, or when there is
 * nothing to lose. Times are monotonic.
 */
export interface HandOverFacts {
  /** Absent: nothing is served yet. */
  readonly served?: {
    readonly same: boolean;
    readonly valid: boolean;
    /** By every webhook configuration, as far as these can be read. */
    readonly trusted: boolean;
  };
  /** Since when every webhook configuration trusts the new leaf's CA; absent: one does not. */
  readonly trustedSinceMs?: number;
  /** `unknown`: the configurations cannot be read. `any`: they leave it to others whom to trust. */
  readonly trust: 'known' | 'unknown' | 'any';
  readonly nowMs: number;
  readonly propagationMs: number;
}

export type HandOver = 'keep' | 'serve' | 'wait';

export function decideHandOver({ served, ...facts }: HandOverFacts): HandOver {
  if (served === undefined) return 'serve';
  if (served.same) return 'keep';
  if (!served.valid || facts.trust === 'any') return 'serve';
  if (facts.trust === 'unknown') return 'wait';
  // Where nobody trusts any more what is served here, waiting would only make that last.
  if (!served.trusted) return 'serve';
  const { trustedSinceMs } = facts;
  if (trustedSinceMs === undefined) return 'wait';
  return facts.nowMs - trustedSinceMs >= facts.propagationMs ? 'serve' : 'wait';
}
