/**
 * What is known of the agents' keys when the Secret's next content is decided, and what that content is: ids, times and
 * where the bytes come from, never the bytes.
 */
import { NO_PEER_KEYS, PEER_KEY_ID_MAX } from '../peerKeys.ts';
import type { ControllerView } from './controllerView.ts';

/** Two controllers' clocks may differ by this; a key of a later time was made under a wrong clock. */
export const CLOCK_SKEW_MAX_MS = 3_600_000;
/** The end of the year 9999: later times have no form in RFC 3339. */
const WALL_MAX_MS = 253_402_300_799_000;

/** What the cluster says of an agent's node: `gone` has no Node object. */
export type Presence = 'ready' | 'not-ready' | 'gone';

export interface AgentKeys {
  readonly node: string;
  readonly presence: Presence;
  readonly accepted: readonly number[];
  readonly signing: number;
}

export interface StoredKey {
  readonly id: number;
  /** False: the Secret names it without a secret of the right length. */
  readonly readable: boolean;
  /** Wall clock; undefined where it cannot be read. */
  readonly madeMs: number | undefined;
}

export type StoredPeerKeys =
  | { readonly kind: 'absent' }
  | {
      readonly kind: 'present';
      readonly keys: readonly StoredKey[];
      readonly signing: number | undefined;
      /** Somebody asked for a new key. */
      readonly asked: boolean;
    };

export interface KnownPeerKeys {
  readonly stored: StoredPeerKeys;
  /** Of the last sound Secret that this leader read, whose secrets it still has. */
  readonly remembered: readonly number[];
  readonly agents: readonly AgentKeys[];
  readonly wallMs: number;
  readonly monotonicMs: number;
  /** 0: only when asked. */
  readonly rotateEveryMs: number;
  /**
   * How far the number of a new key lies ahead of all that are known, 1..ID_STEP_MAX, by chance: an agent may hold a key of
   * a Secret that was deleted before anybody stated it, and two secrets of one number are each a forgery to the other.
   */
  readonly idStep: number;
}

/** One in a thousand of what is a rare accident, and two million changes until the numbers run out. */
export const ID_STEP_MAX = 1000;

/** Where the bytes of a key come from. `held`: from nowhere; the agents that have it keep it. */
export type KeySource = 'stored' | 'remembered' | 'held' | 'made';

export interface NextPeerKeys {
  readonly keys: readonly { readonly id: number; readonly madeMs: number; readonly source: KeySource }[];
  /** One of `keys`. */
  readonly signing: number;
}

export const PEER_KEY_ACTS = ['make', 'repair', 'stamp', 'add', 'sign', 'retire'] as const;
export type PeerKeyAct = (typeof PEER_KEY_ACTS)[number];

export type PeerKeyStep =
  | {
      readonly kind: 'keep';
      /** `exhausted`: a key is due and no number is left for it; only by hand does a Secret come so far. */
      readonly phase: 'settled' | 'spreading' | 'retiring' | 'exhausted';
      readonly waitingFor: readonly string[];
    }
  | {
      readonly kind: 'write';
      readonly act: PeerKeyAct;
      readonly next: NextPeerKeys;
      /** Nodes that were not waited for any longer. */
      readonly leftBehind: readonly string[];
    };

/** An agent that states nothing of its keys counts as one that has none: it is waited for. */
export function agentKeysOf({
  gatewayNodes,
  nodes,
}: Pick<ControllerView, 'gatewayNodes' | 'nodes'>): readonly AgentKeys[] {
  return [...gatewayNodes.values()].map(({ name, peerKeys = NO_PEER_KEYS }) => ({
    node: name,
    presence: presenceOf(nodes.get(name)?.ready),
    ...peerKeys,
  }));
}

function presenceOf(ready: boolean | undefined): Presence {
  if (ready === undefined) return 'gone';
  return ready ? 'ready' : 'not-ready';
}

/** Undefined where it cannot be told. */
export function signingAgeMs(stored: StoredPeerKeys, wallMs: number): number | undefined {
  if (stored.kind === 'absent') return undefined;
  const madeMs = stored.keys.find(({ id }) => id === stored.signing)?.madeMs;
  return madeMs === undefined || isFuture(madeMs, wallMs) ? undefined : Math.max(0, wallMs - madeMs);
}

/** As they stand, those of a wrong clock with the time of now. */
export function keptKeys(keys: readonly StoredKey[], wallMs: number): NextPeerKeys['keys'] {
  return keys.map(({ id, readable, madeMs }) => ({
    id,
    madeMs: madeMs === undefined || isFuture(madeMs, wallMs) ? stampOf(wallMs) : madeMs,
    source: readable ? 'stored' : 'held',
  }));
}

/** Of a later time than a right clock can have given it. */
function isFuture(madeMs: number, wallMs: number): boolean {
  return madeMs > stampOf(wallMs) + CLOCK_SKEW_MAX_MS;
}

/** Whole seconds, as it will be read back. */
export function stampOf(wallMs: number): number {
  const bounded = Math.min(Math.max(wallMs, 0), WALL_MAX_MS);
  return bounded - (bounded % 1000);
}

export function makeKey({
  stored,
  remembered,
  agents,
  wallMs,
  idStep,
}: KnownPeerKeys): NextPeerKeys['keys'][number] | undefined {
  const named = stored.kind === 'present' ? stored.keys.map(({ id }) => id) : [];
  const seen = agents.flatMap(({ accepted, signing }) => [...accepted, signing]);
  const id = [...named, ...remembered, ...seen].reduce((highest, it) => Math.max(highest, it), 0) + idStep;
  return id > PEER_KEY_ID_MAX ? undefined : { id, madeMs: stampOf(wallMs), source: 'made' };
}
