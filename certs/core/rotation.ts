/**
 * Decides what the webhook's serving certificate needs: nothing, a new leaf, or a new CA with a leaf.
 *
 * Relies on facts that were read from one version of the Secret, and on wall-clock milliseconds: validity is written in
 * wall-clock time. Leaves to others: keys and signatures (io/issue.ts), the compare-and-swap that lets one of several
 * replicas win (io/certSecret.ts), and publishing trust before a leaf that needs it (io/startCertificates.ts).
 *
 * A CA is never swapped in one step while the old one is sound: `trust` names the CAs that stay in the bundle beside the
 * new one, so a replica that still serves an old leaf stays trusted until its CA has run out.
 */

const DAY_MS = 86_400_000;
/** Long enough that a cluster rarely sees it, short enough that rotation is not a myth. */
export const CA_LIFETIME_MS = 3_650 * DAY_MS;
export const LEAF_LIFETIME_MS = 90 * DAY_MS;
/** A leaf is replaced with a third of its life left: a month in which every attempt may fail. */
export const LEAF_RENEW_BEFORE_MS = LEAF_LIFETIME_MS / 3;
/** A CA must outlive every leaf it signs, or the leaf's written expiry is a lie. */
export const CA_RENEW_BEFORE_MS = LEAF_LIFETIME_MS + LEAF_RENEW_BEFORE_MS;
/** Each certificate in the bundle is read by the API server on every change; two is a rotation, more is a loop. */
export const TRUSTED_CAS_MAX = 3;

export interface ValidityFacts {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export interface CaFacts extends ValidityFacts {
  /** Carries basicConstraints CA, is signed by itself, and its stored private key belongs to it. */
  readonly canSign: boolean;
}

export interface LeafFacts extends ValidityFacts {
  readonly signedByCa: boolean;
  readonly keyMatches: boolean;
  /** Names out of the wanted ones that the certificate does not cover. */
  readonly missingNames: readonly string[];
}

/** What stands in the Secret. `damaged` covers foreign content: nothing in it can be read as ours. */
export type SecretFacts =
  | { readonly kind: 'absent' }
  | { readonly kind: 'damaged'; readonly reason: string }
  | {
      readonly kind: 'present';
      /** The signing CA comes first; the others are trusted only. Never empty. */
      readonly cas: readonly [CaFacts, ...CaFacts[]];
      /** Absent where the leaf or its key cannot be read. */
      readonly leaf?: LeafFacts;
    };

export type RotationStep =
  | { readonly kind: 'keep'; readonly renewAtMs: number }
  | { readonly kind: 'issue-leaf'; readonly reason: string }
  | {
      readonly kind: 'issue-ca';
      readonly reason: string;
      /** Indices into `cas` that stay trusted beside the new CA, in their order. */
      readonly trust: readonly number[];
    };

export function decideRotation(facts: SecretFacts, nowMs: number): RotationStep {
  switch (facts.kind) {
    case 'absent':
      return { kind: 'issue-ca', reason: 'there is no certificate yet', trust: [] };
    case 'damaged':
      return { kind: 'issue-ca', reason: facts.reason, trust: [] };
    case 'present': {
      const [ca] = facts.cas;
      const caReason = whyNewCa(ca, nowMs);
      if (caReason !== undefined)
        return { kind: 'issue-ca', reason: caReason, trust: stillTrusted(facts.cas, nowMs) };
      const leafReason = whyNewLeaf(facts.leaf, nowMs);
      if (leafReason !== undefined) return { kind: 'issue-leaf', reason: leafReason };
      return { kind: 'keep', renewAtMs: renewAt(ca, facts.leaf) };
    }
    default:
      return facts satisfies never;
  }
}

function whyNewCa(ca: CaFacts, nowMs: number): string | undefined {
  if (!ca.canSign) return 'the CA cannot sign with the stored key';
  if (ca.notBeforeMs > nowMs) return 'the CA is not valid yet';
  if (ca.notAfterMs - nowMs <= CA_RENEW_BEFORE_MS) return 'the CA would expire before a new leaf';
  return undefined;
}

function whyNewLeaf(leaf: LeafFacts | undefined, nowMs: number): string | undefined {
  if (leaf === undefined) return 'the leaf cannot be read';
  if (!leaf.keyMatches) return 'the leaf does not belong to the stored key';
  if (!leaf.signedByCa) return 'the leaf is not signed by the CA';
  if (leaf.missingNames.length > 0) return `the leaf does not cover ${leaf.missingNames.join(', ')}`;
  if (leaf.notBeforeMs > nowMs) return 'the leaf is not valid yet';
  if (leaf.notAfterMs - nowMs <= LEAF_RENEW_BEFORE_MS) return 'the leaf is about to expire';
  return undefined;
}

/** A CA that lost its key still vouches for leaves in service; one outside its validity vouches for nothing. */
function stillTrusted(cas: readonly CaFacts[], nowMs: number): readonly number[] {
  return cas
    .flatMap((ca, index) => (ca.notBeforeMs <= nowMs && nowMs < ca.notAfterMs ? [index] : []))
    .slice(0, TRUSTED_CAS_MAX - 1);
}

function renewAt(ca: CaFacts, leaf: LeafFacts | undefined): number {
  const leafAtMs = (leaf?.notAfterMs ?? 0) - LEAF_RENEW_BEFORE_MS;
  return Math.min(leafAtMs, ca.notAfterMs - CA_RENEW_BEFORE_MS);
}
