/**
 * Keeps order among the controller's own writes: at most one under way for an object, and a bounded number in all. An
 * answer that was lost, or that says somebody else wrote first, is followed by a read before the next write. An object
 * that vanished from the watch while a request about it was under way is read anew, so a late answer never brings it back.
 */
import { earliest } from '../ownership/earlier.ts';

type Entry =
  | { readonly kind: 'writing' | 'reading'; readonly overtaken: boolean }
  /** `unread`: what stands there is not known; it is read before anything else. */
  | { readonly kind: 'resting'; readonly untilMs: number; readonly unread: boolean };

/** Object (`collection/key`) → what is under way about it. */
export type WriteLedger = ReadonlyMap<string, Entry>;

/**
 * Writes at once: enough to move every address of a dead gateway in a round or two, and as many as are answered within the pause
 * after a long decision. The API server sees no more of them at a time than there are connections to it.
 */
export const WRITES_MAX = 128;
/** After a refusal or a failed read: it may need a person, and asking faster helps nobody. */
export const REST_MS = 2000;

export function mayWrite(ledger: WriteLedger, object: string): boolean {
  return !ledger.has(object) && !isFull(ledger);
}

export function isFull(ledger: WriteLedger): boolean {
  return underWay(ledger) >= WRITES_MAX;
}

function underWay(ledger: WriteLedger): number {
  return [...ledger.values()].filter(({ kind }) => kind !== 'resting').length;
}

export function becomeWriting(ledger: WriteLedger, object: string): WriteLedger {
  if (ledger.has(object)) throw new Error(`becomeWriting: something is under way about ${object} already`);
  return new Map(ledger).set(object, { kind: 'writing', overtaken: false });
}

export function becomeReading(ledger: WriteLedger, object: string): WriteLedger {
  return new Map(ledger).set(object, { kind: 'reading', overtaken: false });
}

export function becomeResting(ledger: WriteLedger, object: string, nowMs: number): WriteLedger {
  const unread = isReading(ledger, object);
  return new Map(ledger).set(object, { kind: 'resting', untilMs: nowMs + REST_MS, unread });
}

export function settle(ledger: WriteLedger, object: string): WriteLedger {
  const next = new Map(ledger);
  next.delete(object);
  return next;
}

/** The watch said that the object is gone. */
export function overtake(ledger: WriteLedger, object: string): WriteLedger {
  const entry = ledger.get(object);
  if (entry === undefined || entry.kind === 'resting') return ledger;
  return new Map(ledger).set(object, { ...entry, overtaken: true });
}

/** A new list: what it lacks may have been there when a request under way was answered. */
export function overtakeAll(ledger: WriteLedger, collection: string): WriteLedger {
  return [...ledger.keys()].filter((object) => object.startsWith(`${collection}/`)).reduce(overtake, ledger);
}

export function isReading(ledger: WriteLedger, object: string): boolean {
  return ledger.get(object)?.kind === 'reading';
}

export function wasOvertaken(ledger: WriteLedger, object: string): boolean {
  const entry = ledger.get(object);
  return entry !== undefined && entry.kind !== 'resting' && entry.overtaken;
}

/** Lets those rest no longer whose time is over; `unread` names those that are being read from now on. */
export function wakeRested(
  ledger: WriteLedger,
  nowMs: number,
): { readonly ledger: WriteLedger; readonly unread: readonly string[] } {
  let next = ledger;
  const unread: string[] = [];
  for (const [object, entry] of ledger) {
    if (entry.kind !== 'resting' || entry.untilMs > nowMs) continue;
    if (entry.unread) unread.push(object);
    next = entry.unread ? becomeReading(next, object) : settle(next, object);
  }
  return { ledger: next, unread };
}

export function nextWakeMs(ledger: WriteLedger): number | undefined {
  return earliest([...ledger.values()].map((it) => (it.kind === 'resting' ? it.untilMs : undefined)));
}
