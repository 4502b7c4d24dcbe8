/** What is known when the next step of the webhook's certificates is decided, and how long each of them lives. */
import type { CertificatePhase, RotationWish } from '../../policy/certificateNotes.ts';

const DAY_MS = 86_400_000;
/** Long enough that a cluster rarely sees it, short enough that rotation is not a myth. */
export const CA_LIFETIME_MS = 3_650 * DAY_MS;
export const LEAF_LIFETIME_MS = 90 * DAY_MS;
/** A leaf is replaced with a third of its life left: a month in which every attempt may fail. */
export const LEAF_RENEW_BEFORE_MS = LEAF_LIFETIME_MS / 3;
/** A CA must outlive every leaf it signs, or the leaf's written expiry is a lie. */
export const CA_RENEW_BEFORE_MS = LEAF_LIFETIME_MS + LEAF_RENEW_BEFORE_MS;
/** Each certificate in the bundle is read by the API server on every change; three are a rotation, more is a loop. */
export const TRUSTED_CAS_MAX = 4;

/**
 * 2020-01-01, before there was this program. Every certificate is valid since then, so a clock that is set back, here or on
 * an API server, finds none that is not valid yet; a clock from before is known to be wrong.
 */
export const VALID_SINCE_MS = 1_577_836_800_000;
/** 2200-01-01: a clock from beyond is known to be wrong, and expiry dates stay within what X.509 can say. */
const CLOCK_MAX_MS = 7_258_118_400_000;

/** The wall clock as far as it can be right. */
export function plausibleMs(wallMs: number): number {
  return Math.min(Math.max(wallMs, VALID_SINCE_MS), CLOCK_MAX_MS);
}

export interface ValidityFacts {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export interface CaFacts extends ValidityFacts {
  /** Carries basicConstraints CA, is signed by itself, and its stored private key belongs to it. */
  readonly canSign: boolean;
}

export interface LeafFacts extends ValidityFacts {
  /** Index of the CA that signed it, among those of the Secret. Absent: a stranger did. */
  readonly signedBy?: number;
  readonly keyMatches: boolean;
  /** Names out of the wanted ones that the certificate does not cover. */
  readonly missingNames: readonly string[];
}

export interface PresentFacts {
  readonly kind: 'present';
  /** The signing CA comes first; the others are trusted only, but for `next`. Never empty. */
  readonly cas: readonly [CaFacts, ...CaFacts[]];
  /** Index of the CA that is to sign next. Absent where there is none, or its key is not there. */
  readonly next?: number;
  /** Absent where the leaf or its key cannot be read. */
  readonly leaf?: LeafFacts;
  /** Digests, as replicas name them. */
  readonly bundleId: string;
  readonly leafId: string;
  /** What the annotations say. */
  readonly noted: {
    readonly phase?: CertificatePhase;
    readonly sinceMs?: number;
    readonly asked?: RotationWish;
  };
}

/** What stands in the Secret. `foreign`: somebody else's, without a mark of ours; `damaged`: ours, and unreadable. */
export type SecretFacts =
  | { readonly kind: 'absent' }
  | { readonly kind: 'foreign'; readonly reason: string }
  | { readonly kind: 'damaged'; readonly reason: string }
  | PresentFacts;

/** A replica as it was heard, or as its Pod shows it. */
export interface ReplicaFacts {
  readonly name: string;
  readonly trusts: string;
  readonly serves: string;
  /** Empty: it never stated anything. */
  readonly beat: string;
  /** Whether there is a Pod of this name that is ready, so that API servers may ask it. */
  readonly pod: 'runs' | 'none' | 'unknown';
}

export interface KnownRotation {
  readonly secret: SecretFacts;
  /** This replica holds a whole set, in use and valid, that the Secret may have lost. */
  readonly remembered: boolean;
  readonly replicas: readonly ReplicaFacts[];
  /** Every webhook configuration that exists carries the Secret's bundle. */
  readonly published: boolean;
  readonly wallMs: number;
  readonly monotonicMs: number;
  /** How long what everybody confirms has to stand before the next step builds on it. */
  readonly propagationMs: number;
}
