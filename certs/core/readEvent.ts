/** Decides what there is to say of a Secret that can be read: the most urgent of what is wrong, due, confirmed or asked for. */
import type { CertificatePhase } from '../../policy/certificateNotes.ts';
import type { Agreement } from './awaitReplicas.ts';
import type { RotationEvent } from './rotation.ts';
import {
  CA_RENEW_BEFORE_MS,
  type CaFacts,
  type KnownRotation,
  LEAF_LIFETIME_MS,
  LEAF_RENEW_BEFORE_MS,
  type PresentFacts,
  plausibleMs,
  type ValidityFacts,
} from './rotationFacts.ts';

/** Two replicas' clocks may differ by this without either being wrong. */
const CLOCK_SKEW_MAX_MS = 3_600_000;

/** By what is there, not by what is noted: a note may be lost. */
export function phaseOf({ cas, next }: PresentFacts): CertificatePhase {
  if (next !== undefined) return 'publishing';
  return cas.length > 1 ? 'retiring' : 'settled';
}

export function readEvent(
  known: KnownRotation,
  {
    secret,
    state,
    agreement,
  }: {
    readonly secret: PresentFacts;
    readonly state: CertificatePhase;
    readonly agreement: Agreement;
  },
): readonly [RotationEvent, string] {
  const nowMs = plausibleMs(known.wallMs);
  const [signer] = secret.cas;
  const { leaf } = secret;
  const leafFault = whyUnusableLeaf(secret, nowMs);
  const caFault = whyUnusableCa(signer, nowMs);
  if (leafFault !== undefined && caFault !== undefined)
    return [known.remembered ? 'remembered' : 'all-unusable', `${leafFault}, and ${caFault}`];
  if (leafFault !== undefined || leaf === undefined) return ['leaf-unusable', leafFault ?? ''];
  const bySigner = leaf.signedBy === 0;
  if (agreement.confirmed && bySigner && state !== 'settled') return ['confirmed', 'all follow'];
  if (state === 'retiring' && bySigner && isOutlived(secret, nowMs))
    return ['outlived', 'every leaf of the CA before has expired'];
  if (caFault !== undefined) return ['ca-unusable', caFault];
  if (leaf.notAfterMs - nowMs <= LEAF_RENEW_BEFORE_MS) return ['leaf-due', 'the leaf is about to expire'];
  if (!bySigner) return ['leaf-due', 'the leaf was signed by a CA that is to go'];
  if (signer.notAfterMs - nowMs <= CA_RENEW_BEFORE_MS) return ['ca-due', 'the CA is about to expire'];
  const { asked } = secret.noted;
  if (asked !== undefined) return [asked === 'ca' ? 'ca-asked' : 'leaf-asked', 'somebody asked for it'];
  if (!isNoted(secret, state, nowMs)) return ['unnoted', 'the phase is not noted'];
  return ['quiet', ''];
}

/** What a retired CA signed was signed before this phase began. */
function isOutlived({ noted }: PresentFacts, nowMs: number): boolean {
  return noted.phase === 'retiring' && nowMs - (noted.sinceMs ?? nowMs) > LEAF_LIFETIME_MS;
}

/** A start that lies ahead was noted by a clock that has been set back since. */
function isNoted({ noted }: PresentFacts, state: CertificatePhase, nowMs: number): boolean {
  if (noted.phase !== state || noted.sinceMs === undefined) return false;
  return state === 'settled' || noted.sinceMs <= nowMs + CLOCK_SKEW_MAX_MS;
}

/** Undefined where API servers that trust the bundle accept the leaf, and a replica can serve it. */
function whyUnusableLeaf({ leaf, cas }: PresentFacts, nowMs: number): string | undefined {
  if (leaf === undefined) return 'the leaf cannot be read';
  if (!leaf.keyMatches) return "the leaf and its key don't belong together";
  const signer: CaFacts | undefined = cas[leaf.signedBy ?? -1];
  if (signer === undefined) return 'the leaf was not signed by our CA';
  if (leaf.missingNames.length > 0) return `the leaf does not cover ${leaf.missingNames.join(', ')}`;
  return whyInvalid('the leaf', leaf, nowMs) ?? whyInvalid("the leaf's CA", signer, nowMs);
}

function whyUnusableCa(ca: CaFacts, nowMs: number): string | undefined {
  return ca.canSign ? whyInvalid('the CA', ca, nowMs) : 'the CA cannot sign with the stored key';
}

function whyInvalid(what: string, { notBeforeMs, notAfterMs }: ValidityFacts, nowMs: number) {
  if (notBeforeMs > nowMs) return `${what} is not valid yet`;
  return notAfterMs <= nowMs ? `${what} has expired` : undefined;
}

/** Whether a replica can serve the leaf to who trusts the bundle. */
export function isLeafUsable(facts: PresentFacts, wallMs: number): boolean {
  return whyUnusableLeaf(facts, plausibleMs(wallMs)) === undefined;
}

/** Whether a replica that remembers this could go on with it alone. */
export function isWhole(facts: PresentFacts, wallMs: number): boolean {
  return isLeafUsable(facts, wallMs) && whyUnusableCa(facts.cas[0], plausibleMs(wallMs)) === undefined;
}

/** Indices of CAs that are valid at that time. */
export function stillTrusted(cas: readonly ValidityFacts[], wallMs: number): readonly number[] {
  const nowMs = plausibleMs(wallMs);
  return cas.flatMap((ca, index) => (whyInvalid('', ca, nowMs) === undefined ? [index] : []));
}
