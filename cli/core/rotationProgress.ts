/** Follows a rotation that was asked for, by what stands in the Secret: what is new since the last look, and whether it is done. */
import type { CertificateNotes, RotationWish } from '../../policy/certificateNotes.ts';

export interface RotationLook {
  readonly leafId: string;
  /** Of the CA that signs. */
  readonly caId: string;
  readonly notes: CertificateNotes;
}

export interface RotationProgress {
  readonly done: boolean;
  /** Of replicas that do not serve the new leaf. */
  readonly waitingFor: readonly string[];
  /** Where it is, as a line for people. */
  readonly line: string;
}

export function followRotation(
  what: RotationWish,
  before: RotationLook,
  now: RotationLook,
): RotationProgress {
  const { phase, asked, replicas } = now.notes;
  const waitingFor = replicas.filter(({ serves }) => serves !== now.leafId).map(({ name }) => name);
  const changed = what === 'ca' ? now.caId !== before.caId : now.leafId !== before.leafId;
  if (asked === what) return { done: false, waitingFor, line: 'asked for' };
  if (what === 'ca' && phase === 'publishing')
    return { done: false, waitingFor, line: 'publishing: a new CA is trusted, the old one signs' };
  if (!changed) return { done: false, waitingFor, line: 'taken up' };
  if (waitingFor.length > 0)
    return { done: false, waitingFor, line: `a new leaf; not served yet by ${waitingFor.join(', ')}` };
  if (what === 'ca' && phase !== 'settled')
    return { done: false, waitingFor, line: 'retiring: the new CA signs, the old one is trusted still' };
  return { done: true, waitingFor, line: `done: leaf ${now.leafId} of CA ${now.caId}` };
}
