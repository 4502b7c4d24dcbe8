/**
 * The keys that agents prove themselves to each other with, and which of them an agent uses after it has read the Secret.
 *
 * A key that the Secret names without a readable secret is one that the keeper does not have: whoever holds it from before
 * keeps it. So a Secret that was deleted or damaged, and written anew by a keeper that never saw the key in use, takes
 * nothing away from agents that talk by that key, and they change to the new one as they would to any other.
 */

export interface PeerKey {
  /** 1..PEER_KEY_ID_MAX; a newer key has a higher one, and none is used again. */
  readonly id: number;
  readonly secret: Uint8Array;
}

/** The keys that are accepted, and the one that is signed with, which is one of them. */
export interface PeerKeys {
  readonly accepted: readonly PeerKey[];
  readonly signing: PeerKey;
}

/** What an agent says of its keys. */
export interface PeerKeyIds {
  readonly accepted: readonly number[];
  /** 0: it has none, and sends nothing. */
  readonly signing: number;
}

/** What stands in the Secret. */
export interface NamedPeerKeys {
  readonly keys: readonly { readonly id: number; readonly secret: Uint8Array | undefined }[];
  /** One of `keys`. */
  readonly signing: number;
}

/** Nine digits: what the names of the Secret's fields may have. */
export const PEER_KEY_ID_MAX = 999_999_999;

export const NO_PEER_KEYS: PeerKeyIds = { accepted: [], signing: 0 };

/** @returns undefined where not one key is left: the agent is better off with what it has. */
export function resolvePeerKeys(named: NamedPeerKeys, held: PeerKeys | undefined): PeerKeys | undefined {
  const accepted = named.keys.flatMap(({ id, secret }): readonly PeerKey[] =>
    secret === undefined ? (held?.accepted ?? []).filter((key) => key.id === id) : [{ id, secret }],
  );
  const withId = (id: number | undefined) => accepted.find((key) => key.id === id);
  // Who started after the key in use was lost cannot sign with it. The newest is what all are about to accept.
  const signing = withId(named.signing) ?? withId(held?.signing.id) ?? newest(accepted);
  return signing === undefined ? undefined : { accepted, signing };
}

function newest(keys: readonly PeerKey[]): PeerKey | undefined {
  return keys.toSorted((a, b) => b.id - a.id)[0];
}
