/** How many answered for an address at once at the most, as a third party saw it on the wire. */
import type { Answer } from '../../test/chaos/answerWatch.ts';

/** Answers of one owner come this close together; after a longer silence it has stopped, and begins anew. */
const CONTIGUOUS_MS = 150;

interface Span {
  readonly first: number;
  readonly last: number;
}

/** @param answers in the order seen; two answer at once where one's answers go on after the other's began */
export function countAnswerers(answers: readonly Answer[]): number {
  const spans = spansOf(answers);
  const starts = new Map<number, number>();
  const ends = new Map<number, number>();
  for (const { first, last } of spans) {
    starts.set(first, (starts.get(first) ?? 0) + 1);
    ends.set(last, (ends.get(last) ?? 0) + 1);
  }
  let now = 0;
  let most = 0;
  for (const index of answers.keys()) {
    now += starts.get(index) ?? 0;
    most = Math.max(most, now);
    now -= ends.get(index) ?? 0;
  }
  return most;
}

/** Every uninterrupted answering of one node, by the places of its first and last answer among all. */
function spansOf(answers: readonly Answer[]): readonly Span[] {
  const open = new Map<string, Span & { readonly lastMs: number }>();
  const closed: Span[] = [];
  for (const [index, { node, atMs }] of answers.entries()) {
    const span = open.get(node);
    const goesOn = span !== undefined && atMs - span.lastMs < CONTIGUOUS_MS;
    if (span !== undefined && !goesOn) closed.push(span);
    open.set(node, { first: goesOn ? span.first : index, last: index, lastMs: atMs });
  }
  return [...closed, ...open.values()];
}
