/**
 * Decides what the Secret with the agents' keys should hold next, so that no packet between two agents is ever under a
 * key that its receiver lacks, whenever each of them learns of a change:
 *
 *     settled    one key, signed with                                   until it is old, or somebody asks
 *     spreading  a newer key is there, the old one is signed with       until every agent accepts the newer one
 *     retiring   the newer one is signed with, the old one is accepted  until every agent signs with it, and a wait
 *
 * Relies on what agents state of themselves (an agent that stated a key keeps it until the Secret no longer names it, also
 * over its restart, for it reads the newest Secret first) and on the caller's compare-and-swap. Leaves bytes to io.
 *
 * Waits run on the monotonic clock of the leader that watches, and begin anew with the next leader. The wall clock says only
 * how old a key is: wherever it jumps, a change begins early or late, in the same steps.
 */
import {
  type AgentKeys,
  type KnownPeerKeys,
  keptKeys,
  makeKey,
  type PeerKeyStep,
  type Presence,
  type StoredPeerKeys,
  signingAgeMs,
} from './peerKeyFacts.ts';
import { rebuildPeerKeys } from './rebuildPeerKeys.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** What was signed before the last agent changed must have arrived: far beyond what a network keeps a datagram. */
export const RETIRE_WAIT_MS = MINUTE_MS;

/**
 * How long a step waits for an agent that does not follow. One on a ready node is cut off from the API server, or too old
 * to state its keys, and would be cut off from its peers too; one on a node that is not ready may be forwarding still.
 */
export const PATIENCE_MS: Readonly<Record<Presence, number>> = {
  ready: 24 * HOUR_MS,
  'not-ready': 6 * HOUR_MS,
  gone: 10 * MINUTE_MS,
};

/** Since when the Secret stands as it does, and since when every agent follows; monotonic. */
export interface PeerKeyWatch {
  readonly shape: string;
  readonly sinceMs: number;
  readonly agreedSinceMs: number | undefined;
}

type Present = Extract<StoredPeerKeys, { readonly kind: 'present' }> & { readonly signing: number };

export function decidePeerKeys(
  known: KnownPeerKeys,
  before: PeerKeyWatch | undefined,
): { readonly step: PeerKeyStep; readonly watch: PeerKeyWatch | undefined } {
  const { stored } = known;
  if (stored.kind === 'absent') return { step: rebuildPeerKeys(known, 'make'), watch: undefined };
  if (!isSound(stored, known)) return { step: rebuildPeerKeys(known, 'repair'), watch: undefined };
  const target = stored.keys.findLast(({ id, readable }) => readable && id > stored.signing);
  if (target !== undefined) return spread(known, stored, { before, target: target.id });
  // One that cannot be read has to go first: an agent that starts could not sign with it.
  const readable = stored.keys.some((key) => key.id === stored.signing && key.readable);
  if (readable && stored.keys.some(({ id }) => id < stored.signing)) return retire(known, stored, before);
  return { step: settle(known, stored), watch: undefined };
}

/** Every key that anybody may be asked to sign with is one that somebody has. */
function isSound(
  stored: Extract<StoredPeerKeys, { readonly kind: 'present' }>,
  { remembered, agents }: KnownPeerKeys,
): stored is Present {
  const { signing } = stored;
  if (signing === undefined || !stored.keys.some(({ id }) => id === signing)) return false;
  return stored.keys
    .filter(({ id, readable }) => id >= signing && !readable)
    .every(({ id }) => !remembered.includes(id) && agents.some(({ accepted }) => accepted.includes(id)));
}

function spread(
  known: KnownPeerKeys,
  stored: Present,
  { before, target }: { readonly before: PeerKeyWatch | undefined; readonly target: number },
): ReturnType<typeof decidePeerKeys> {
  const { watch, waitingFor, leftBehind } = look(known, {
    shape: shapeOf(stored),
    before,
    follows: ({ accepted }) => accepted.includes(target),
  });
  if (waitingFor.length > 0) return { step: { kind: 'keep', phase: 'spreading', waitingFor }, watch };
  const next = { keys: keptKeys(stored.keys, known.wallMs), signing: target };
  return { step: { kind: 'write', act: 'sign', next, leftBehind }, watch: undefined };
}

function retire(
  known: KnownPeerKeys,
  stored: Present,
  before: PeerKeyWatch | undefined,
): ReturnType<typeof decidePeerKeys> {
  const { watch, waitingFor, leftBehind } = look(known, {
    shape: shapeOf(stored),
    before,
    follows: ({ signing }) => signing === stored.signing,
  });
  if (known.monotonicMs - (watch.agreedSinceMs ?? known.monotonicMs) < RETIRE_WAIT_MS)
    return { step: { kind: 'keep', phase: 'retiring', waitingFor }, watch };
  const keys = keptKeys(stored.keys, known.wallMs).filter(({ id }) => id >= stored.signing);
  const next = { keys, signing: stored.signing };
  return { step: { kind: 'write', act: 'retire', next, leftBehind }, watch: undefined };
}

function settle(known: KnownPeerKeys, stored: Present): PeerKeyStep {
  const keys = keptKeys(stored.keys, known.wallMs);
  const { signing } = stored;
  if (isDue(known, stored)) {
    const made = makeKey(known);
    if (made === undefined) return { kind: 'keep', phase: 'exhausted', waitingFor: [] };
    return { kind: 'write', act: 'add', next: { keys: [...keys, made], signing }, leftBehind: [] };
  }
  const stamped = keys.every(({ madeMs }, index) => madeMs === stored.keys[index]?.madeMs);
  if (stamped) return { kind: 'keep', phase: 'settled', waitingFor: [] };
  return { kind: 'write', act: 'stamp', next: { keys, signing }, leftBehind: [] };
}

function isDue(known: KnownPeerKeys, stored: Present): boolean {
  if (stored.asked || stored.keys.some(({ readable }) => !readable)) return true;
  const ageMs = signingAgeMs(stored, known.wallMs) ?? 0;
  return known.rotateEveryMs > 0 && ageMs >= known.rotateEveryMs;
}

interface Followers {
  readonly watch: PeerKeyWatch;
  readonly waitingFor: readonly string[];
  readonly leftBehind: readonly string[];
}

function look(
  { agents, monotonicMs }: KnownPeerKeys,
  asked: {
    readonly shape: string;
    readonly before: PeerKeyWatch | undefined;
    readonly follows: (agent: AgentKeys) => boolean;
  },
): Followers {
  const same = asked.before?.shape === asked.shape ? asked.before : undefined;
  const sinceMs = same?.sinceMs ?? monotonicMs;
  const behind = agents.filter((agent) => !asked.follows(agent));
  const waitsFor = ({ presence }: AgentKeys): boolean => monotonicMs - sinceMs < PATIENCE_MS[presence];
  const waitingFor = behind.filter(waitsFor).map(({ node }) => node);
  const agreedSinceMs = waitingFor.length > 0 ? undefined : (same?.agreedSinceMs ?? monotonicMs);
  return {
    watch: { shape: asked.shape, sinceMs, agreedSinceMs },
    waitingFor,
    leftBehind: behind.filter((agent) => !waitsFor(agent)).map(({ node }) => node),
  };
}

function shapeOf({ keys, signing }: Present): string {
  return `${signing} of ${keys.map(({ id }) => id).join(',')}`;
}
