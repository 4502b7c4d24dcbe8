/** What a voter keeps of one gateway's session: what it promised, what it said, and what the session waits for. */
import type { Durations } from './durations.ts';

export interface VoterEntry {
  /** The highest session known; all lower ones are dead. */
  readonly session: number;
  /** Which process opened it; empty until it is heard: the API named it. */
  readonly boot: string;
  readonly seq: number;
  /** The promise runs from here. */
  readonly grantedAtMs: number;
  readonly stage:
    | { readonly kind: 'granting' }
    /** Its promise has run out. It was not called dead: nobody waits for it. */
    | { readonly kind: 'unheard' }
    | { readonly kind: 'declared' }
    | { readonly kind: 'retracting'; readonly untilMs: number };
  /** How often a declaration of this session was taken back. */
  readonly retractions: number;
  /** This session itself was closed by its gateway. */
  readonly closed: boolean;
  /** When it was begun, called dead or closed: news for a while. */
  readonly changedMs: number;
  /** Gateways whose death it waits for; undefined: all. */
  readonly awaits: readonly string[] | undefined;
}

export function newEntry(
  session: number,
  { boot, seq, nowMs }: { readonly boot: string; readonly seq: number; readonly nowMs: number },
): VoterEntry {
  return {
    session,
    boot,
    seq,
    grantedAtMs: nowMs,
    stage: { kind: 'granting' },
    retractions: 0,
    closed: false,
    changedMs: nowMs,
    awaits: [],
  };
}

export function heardAnew(entry: VoterEntry, atMs: number): VoterEntry {
  const retractions = wasCalledDead(entry) ? entry.retractions + 1 : entry.retractions;
  return { ...entry, grantedAtMs: atMs, stage: { kind: 'granting' }, retractions };
}

/** And that was not taken back since. */
export function wasCalledDead({ stage }: VoterEntry): boolean {
  return stage.kind === 'declared' || stage.kind === 'retracting';
}

/** Some other session that is heard waits for the death of this gateway's. */
export function whoIsAwaited(entries: ReadonlyMap<string, VoterEntry>): (gateway: string) => boolean {
  const named = new Set<string>();
  const byAll: string[] = [];
  for (const [other, { stage, closed, awaits }] of entries) {
    if (closed || (stage.kind !== 'granting' && stage.kind !== 'retracting')) continue;
    if (awaits === undefined) byAll.push(other);
    else for (const name of awaits) if (name !== other) named.add(name);
  }
  return (gateway) => named.has(gateway) || byAll.some((other) => other !== gateway);
}

export function isOverdue(entry: VoterEntry, durations: Durations, nowMs: number): boolean {
  const deadlineMs = deadlineOf(entry, durations);
  return deadlineMs !== undefined && nowMs >= deadlineMs;
}

/** When it is called dead if nothing more is heard; undefined: it is already. One that came back only to fall silent too. */
export function deadlineOf(
  { stage, closed, grantedAtMs }: VoterEntry,
  { promiseMs }: Durations,
): number | undefined {
  if (closed) return undefined;
  switch (stage.kind) {
    case 'granting':
      return grantedAtMs + promiseMs;
    case 'retracting':
      return stage.untilMs + promiseMs;
    case 'unheard':
    case 'declared':
      return undefined;
    default:
      return stage satisfies never;
  }
}
