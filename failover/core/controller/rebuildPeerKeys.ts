/**
 * Decides what is written in the place of a Secret with the agents' keys that is gone or damaged.
 *
 * Agents keep the keys they have until there is a Secret that can be read again. It is rebuilt around those: what can be
 * read of it, what the keeper remembers, and, by their numbers alone, what agents say they accept (see
 * core/peerKeys.ts). All of that stays accepted, the key in use stays signed with, and a new one is spread beside it. A new
 * key for all at once would silence every two agents of which one has learned of it and the other has not, and that
 * the first goes on accepting its old key is no help to the second.
 */
import {
  type AgentKeys,
  type KnownPeerKeys,
  keptKeys,
  makeKey,
  type NextPeerKeys,
  type PeerKeyStep,
  stampOf,
} from './peerKeyFacts.ts';

export function rebuildPeerKeys(known: KnownPeerKeys, act: 'make' | 'repair'): PeerKeyStep {
  const { stored, remembered, agents, wallMs } = known;
  const present = stored.kind === 'present' ? stored.keys : [];
  const readable = present.filter((key) => key.readable);
  const madeMs = stampOf(wallMs);
  const backed: NextPeerKeys['keys'] = [
    ...keptKeys(readable, wallMs),
    ...remembered
      .filter((id) => !readable.some((key) => key.id === id))
      .map((id) => ({ id, madeMs, source: 'remembered' }) as const),
  ];
  const held = [...new Set(agents.flatMap(({ accepted }) => accepted))]
    .filter((id) => !backed.some((key) => key.id === id))
    .map((id) => ({ id, madeMs, source: 'held' }) as const);
  const kept = [...backed, ...held].toSorted((a, b) => a.id - b.id);
  const ids = kept.map(({ id }) => id);
  const said = stored.kind === 'present' ? stored.signing : undefined;
  // In every phase of a rotation the oldest is one that all accept.
  const signing = [said, ...usedKeys(agents), ids[0]].find((id) => id !== undefined && ids.includes(id));
  // Who deletes the Secret wants another key; and one that no keeper has cannot be given to an agent that starts.
  const wanted = act === 'make' || signing === undefined || !backed.some(({ id }) => id >= signing);
  const made = wanted ? makeKey(known) : undefined;
  const keys = [...kept, ...(made === undefined ? [] : [made])];
  const used = signing ?? made?.id;
  if (used === undefined || (wanted && made === undefined))
    return { kind: 'keep', phase: 'exhausted', waitingFor: [] };
  return { kind: 'write', act, next: { keys, signing: used }, leftBehind: [] };
}

/** What agents sign with, by how many do; the older first. */
function usedKeys(agents: readonly AgentKeys[]): readonly number[] {
  const counts = new Map<number, number>();
  for (const { signing } of agents) if (signing !== 0) counts.set(signing, (counts.get(signing) ?? 0) + 1);
  return [...counts].toSorted(([a, countA], [b, countB]) => countB - countA || a - b).map(([id]) => id);
}
