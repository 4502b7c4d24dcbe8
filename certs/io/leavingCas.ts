/**
 * CAs that API servers trust and nobody asks for any more: where the mode of certificates is changed, replicas of before still
 * serve leaves of theirs, and cannot say so. They stay in the bundle for a while, whatever the wall clock says.
 */

/** A rollout of the webhook, with its replicas that drain one after another. */
const KEEP_MS = 600_000;
/** A bundle is read on every change. */
const KEPT_MAX = 4;

export interface SeenCas {
  /** PEM of those in the webhook configurations now, and of those that ought to be. */
  readonly present: readonly string[];
  readonly wanted: readonly string[];
  readonly nowMs: number;
}

/** Gives the CAs to keep beside the wanted ones, in an order that is the same for every replica. */
export function createLeavingCas(): (seen: SeenCas) => readonly string[] {
  let since: ReadonlyMap<string, number> = new Map();
  return ({ present, wanted, nowMs }) => {
    const asked = new Set(wanted.map((pem) => pem.trim()));
    const superfluous = present.map((pem) => pem.trim()).filter((pem) => !asked.has(pem));
    since = new Map(superfluous.map((pem) => [pem, since.get(pem) ?? nowMs]));
    const kept = [...since].flatMap(([pem, sinceMs]) => (nowMs - sinceMs < KEEP_MS ? [pem] : []));
    return kept.toSorted().slice(0, KEPT_MAX);
  };
}
