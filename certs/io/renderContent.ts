/** What a step makes of the Secret: issues what is new, and keeps what is to stay. */
import type { CertificatePhase, RotationWish } from '../../policy/certificateNotes.ts';
import { parseCertificate, validity } from '../../runtime/pem.ts';
import { stillTrusted } from '../core/readEvent.ts';
import type { RotationState, RotationStep } from '../core/rotation.ts';
import { TRUSTED_CAS_MAX } from '../core/rotationFacts.ts';
import type { SecretContent, StoredSecret } from './certSecret.ts';
import { issueCa, issueLeaf } from './issue.ts';
import type { CertificateSet } from './readFacts.ts';

export interface StepContext {
  readonly stored: StoredSecret;
  readonly state: RotationState;
  readonly names: readonly string[];
  readonly nowMs: number;
  /** The whole set that this replica remembers. */
  readonly remembered: CertificateSet | undefined;
  /** PEM of CAs that API servers trust now, whatever the Secret says. */
  readonly trusted: readonly string[];
  /** Pods that are gone: their statements go as well. */
  readonly gone: readonly string[];
}

type Change = Exclude<RotationStep, 'keep'>;

export async function renderContent(step: Change, context: StepContext): Promise<SecretContent> {
  const set = await makeSet(step, context);
  const { noted } = presentOf(context) ?? {};
  const phase = phaseOfSet(set);
  const keepsSince = step !== 'note' && noted?.phase === phase && noted.sinceMs !== undefined;
  const sinceMs = keepsSince ? (noted.sinceMs ?? context.nowMs) : context.nowMs;
  const asked = wishAfter(step, context);
  return { set, phase, sinceMs, gone: context.gone, ...(asked === undefined ? {} : { asked }) };
}

function presentOf({ stored }: StepContext) {
  return stored.facts.kind === 'present' ? stored.facts : undefined;
}

function phaseOfSet({ caPems, nextKeyPem }: CertificateSet): CertificatePhase {
  if (nextKeyPem !== '') return 'publishing';
  return caPems.length > 1 ? 'retiring' : 'settled';
}

/** A wish is taken off when what it asks for has begun. Who deletes the Secret wants other certificates. */
function wishAfter(step: Change, context: StepContext): RotationWish | undefined {
  const asked = presentOf(context)?.noted.asked;
  switch (step) {
    case 'note':
    case 'retire':
      return asked;
    case 'renew-leaf':
    case 'sign-by-next':
      return asked === 'ca' ? 'ca' : undefined;
    case 'publish-ca':
    case 'make':
      return undefined;
    case 'restore':
      return context.state === 'absent' ? 'ca' : asked;
    default:
      return step satisfies never;
  }
}

async function makeSet(step: Change, context: StepContext): Promise<CertificateSet> {
  const { set } = context.stored;
  switch (step) {
    case 'note':
      return set;
    case 'renew-leaf':
      return { ...set, leaf: await signLeaf(set, context) };
    case 'publish-ca':
      return publishCa(set, context);
    case 'sign-by-next':
      return signByNext(set, context);
    case 'retire':
      return { ...set, caPems: set.caPems.slice(0, 1), nextKeyPem: '' };
    case 'restore':
      if (context.remembered === undefined) throw new Error('restore: nothing is remembered');
      return context.remembered;
    case 'make':
      return makeAnew(set, context);
    default:
      return step satisfies never;
  }
}

function signLeaf({ caPems, caKeyPem }: CertificateSet, { names, nowMs }: StepContext) {
  return issueLeaf({ certPem: caPems[0] ?? '', keyPem: caKeyPem }, names, nowMs);
}

async function publishCa(set: CertificateSet, context: StepContext): Promise<CertificateSet> {
  const next = await issueCa(context.nowMs);
  const [signer, ...others] = set.caPems;
  const kept = validPems(others, context.nowMs);
  const caPems = [...(signer === undefined ? [] : [signer]), next.certPem, ...kept];
  return { ...set, caPems: caPems.slice(0, TRUSTED_CAS_MAX), nextKeyPem: next.keyPem };
}

async function signByNext(set: CertificateSet, context: StepContext): Promise<CertificateSet> {
  const nextPem = set.caPems[presentOf(context)?.next ?? -1];
  if (nextPem === undefined) throw new Error('sign-by-next: there is no next CA');
  const others = validPems(
    set.caPems.filter((pem) => pem !== nextPem),
    context.nowMs,
  );
  const signing = { ...set, caPems: [nextPem, ...others], caKeyPem: set.nextKeyPem, nextKeyPem: '' };
  return { ...signing, leaf: await signLeaf(signing, context) };
}

async function makeAnew(set: CertificateSet, context: StepContext): Promise<CertificateSet> {
  const ca = await issueCa(context.nowMs);
  const stored = context.state === 'foreign' ? [] : validPems(set.caPems, context.nowMs);
  const all = [ca.certPem, ...stored, ...context.trusted].map((pem) => pem.trim());
  const made = { caPems: [...new Set(all)].slice(0, TRUSTED_CAS_MAX), caKeyPem: ca.keyPem, nextKeyPem: '' };
  return { ...made, leaf: await issueLeaf(ca, context.names, context.nowMs) };
}

function validPems(pems: readonly string[], nowMs: number): readonly string[] {
  const readable = pems.flatMap((pem) => {
    const certificate = parseCertificate(pem);
    return certificate === undefined ? [] : [{ pem, ...validity(certificate) }];
  });
  return stillTrusted(readable, nowMs).flatMap((index) => readable[index]?.pem ?? []);
}
