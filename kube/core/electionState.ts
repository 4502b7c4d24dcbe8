/**
 * What a candidate for a Lease knows, hears and asks for: the values that `leaderElection.ts` decides over, and the check
 * of the durations that its safety rests on.
 */

export interface ElectionRules {
  readonly identity: string;
  /** Published: others wait this long from their last sight of a change. Whole seconds. */
  readonly leaseDurationMs: number;
  /** From the sending of the last accepted write: then a leader ceases to be one. */
  readonly renewDeadlineMs: number;
  readonly retryPeriodMs: number;
}

/** The fields of the Lease that matter. */
export interface ObservedLease {
  readonly version: string;
  /** Empty: nobody. */
  readonly holder: string;
  readonly durationMs: number;
  readonly transitions: number;
  readonly acquireTime: string;
  readonly renewTime: string;
}

export interface LeaseWrite {
  /** Absent: create. */
  readonly version?: string;
  readonly holder: string;
  readonly durationMs: number;
  readonly transitions: number;
  /** Absent: now. */
  readonly acquireTime?: string;
}

/** `stale`: somebody else wrote since our version. `failed`: it did not happen. `unknown`: it may have. */
export type WriteOutcome =
  | { readonly kind: 'accepted'; readonly lease: ObservedLease }
  | { readonly kind: 'stale' | 'unknown' | 'failed' };

export type ElectionEvent =
  | { readonly kind: 'tick'; readonly nowMs: number; readonly random: number }
  | {
      readonly kind: 'read';
      readonly nowMs: number;
      readonly random: number;
      readonly found: ObservedLease | 'absent' | 'failed';
    }
  | {
      readonly kind: 'wrote';
      readonly sentAtMs: number;
      readonly nowMs: number;
      readonly random: number;
      readonly outcome: WriteOutcome;
    }
  /** Time has passed that the monotonic clock did not see. */
  | { readonly kind: 'jumped'; readonly nowMs: number }
  | { readonly kind: 'stop'; readonly nowMs: number };

export type ElectionEffect =
  | { readonly kind: 'read' }
  | { readonly kind: 'write'; readonly write: LeaseWrite }
  | { readonly kind: 'changed'; readonly role: 'leader' | 'follower'; readonly term: number }
  | { readonly kind: 'ended' };

export interface ElectionState {
  /** `stopping`: finding out whether there is something to release; `releasing`: doing it. */
  readonly role: 'follower' | 'leader' | 'stopping' | 'releasing' | 'stopped';
  /** At most one request is under way. */
  readonly pending: 'none' | 'read' | 'write';
  readonly observed: ObservedLease | undefined;
  /** When `observed` last changed as seen from here. */
  readonly changedAtMs: number;
  /** Whether `observed` is worth a compare-and-swap; else it has to be read first. */
  readonly fresh: boolean;
  /** Whether a claim was ever sent, so that there may be something to release. */
  readonly claimed: boolean;
  /** Of this leadership or of the last one; 0 before the first. */
  readonly term: number;
  /** −∞ while not leading. */
  readonly holdsUntilMs: number;
  /** When the next tick is due while nothing is under way. */
  readonly wakeAtMs: number;
}

export interface ElectionStep {
  readonly state: ElectionState;
  readonly effects: readonly ElectionEffect[];
}

export const ELECTION_START: ElectionState = {
  role: 'follower',
  pending: 'none',
  observed: undefined,
  changedAtMs: Number.NEGATIVE_INFINITY,
  fresh: false,
  claimed: false,
  term: 0,
  holdsUntilMs: Number.NEGATIVE_INFINITY,
  wakeAtMs: Number.NEGATIVE_INFINITY,
};

/** client-go waits up to 1.2 periods as well: the renewal has to fit into the deadline even after the longest pause. */
export const RETRY_JITTER = 0.2;
/** What is wrong with these durations; empty: nothing. */
export function electionProblems(rules: Omit<ElectionRules, 'identity'>): readonly string[] {
  const { leaseDurationMs, renewDeadlineMs, retryPeriodMs } = rules;
  const longestRetryMs = retryPeriodMs * (1 + RETRY_JITTER);
  return [
    ...(leaseDurationMs % 1000 === 0 && leaseDurationMs > 0
      ? []
      : [`a lease duration of ${leaseDurationMs} ms is not in whole seconds`]),
    ...(leaseDurationMs > renewDeadlineMs
      ? []
      : [
          `the lease duration (${leaseDurationMs} ms) must be longer than the renew deadline (${renewDeadlineMs} ms)`,
        ]),
    ...(renewDeadlineMs > longestRetryMs
      ? []
      : [
          `the renew deadline (${renewDeadlineMs} ms) must be longer than 1.2 × the retry period (${longestRetryMs} ms)`,
        ]),
    ...(retryPeriodMs > 0 ? [] : [`a retry period of ${retryPeriodMs} ms is none`]),
  ];
}
