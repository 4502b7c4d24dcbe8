/**
 * One gateway's session among its peers: heartbeats to the voters, what they granted, and until when it so is valid.
 *
 * Before a heartbeat is sent the kernel holds a timed element for it; once a majority has granted it, the kernel is told,
 * and takes it only while that element lives. So what answers runs out by itself, at the latest L after a moment before
 * the sending, whatever stalls in here. `validUntilMs` is the same in user space and fences nothing.
 *
 * A session is extended only where a majority of voters did not call it dead since it was extended last: their generations
 * are those from then. So a lapse does not end it by itself, and a virtual machine that was frozen together with its clock,
 * which does not know of its lapse, is not brought back by voters that forgot, or that came after the verdict. Voters change one
 * at a time, and each step keeps a set of the step before: that set's majority is asked.
 *
 * Where its heartbeats leave and nothing comes back its voters may hear it for ever: it beats so seldom then that their
 * promises run out in between, and whoever waits for its death gets it. A session that was never valid must become so before
 * its first heartbeat runs out: within that time no voter can have called it dead.
 */
import type { Durations } from './durations.ts';
import {
  AWAITED_CHARACTERS_MAX,
  AWAITED_MAX,
  type Echo,
  type Outgoing,
  type PeerMessage,
  type Verdict,
} from './messages.ts';
import { decideExtension, type Granted } from './sessionExtension.ts';
import { type VoterConfig, votersOf } from './voterConfig.ts';

interface Sent {
  readonly seq: number;
  /** Monotonic: when its kernel element was asked for, so before it was sent. */
  readonly atMs: number;
}

export interface PeerSession extends Granted {
  readonly session: number;
  readonly boot: string;
  readonly seq: number;
  readonly nextBeatMs: number;
  /** The beat whose kernel element is being inserted. */
  readonly inserting: Sent | undefined;
  /** Newest first, no older than needed. */
  readonly sent: readonly Sent[];
  readonly firstSentMs: number | undefined;
  /** 0: never. */
  readonly validUntilMs: number;
  /** Heartbeats that left since the session was last extended. */
  readonly unanswered: number;
  readonly closing: { readonly nextMs: number; readonly left: number } | undefined;
  /** Gateways whose death would bring this one nearer to answering: the voters are told. Sorted. */
  readonly awaits: readonly string[];
}

export type PeerSessionEffect =
  /** Insert the element of `seq`. */
  | { readonly kind: 'beat'; readonly session: number; readonly seq: number }
  /** A majority granted `seq`: without effect where its element has run out. */
  | { readonly kind: 'grant'; readonly session: number; readonly seq: number }
  | {
      readonly kind: 'session-over';
      readonly session: number;
      readonly reason: OverReason;
      readonly floor: number;
    }
  | { readonly kind: 'session-closed'; readonly session: number };

/** Closed: logs and metrics carry it. */
export type OverReason = 'no-majority' | 'called-dead' | 'outnumbered' | 'voters-changed' | 'lease-lost';

export interface PeerSessionStep {
  readonly peer: PeerSession;
  readonly effects: readonly PeerSessionEffect[];
  readonly outgoing: readonly Outgoing[];
}

/** The last word of a session is sent this often: nobody asks for it again. */
const CLOSE_REPEATS = 3;
const CLOSE_EVERY_MS = 20;

export function openPeerSession(session: number, boot: string, nowMs: number): PeerSession {
  return {
    session,
    boot,
    seq: 0,
    nextBeatMs: nowMs,
    inserting: undefined,
    sent: [],
    firstSentMs: undefined,
    grants: new Map(),
    baseline: undefined,
    validUntilMs: 0,
    unanswered: 0,
    closing: undefined,
    awaits: [],
  };
}

/** Somebody more is waited for: while the session lives the voters hear of it at once and not with the next heartbeat. */
export function becomeAwaiting(peer: PeerSession, gateways: ReadonlySet<string>, nowMs: number): PeerSession {
  const known = new Set(peer.awaits);
  const more = [...gateways].some((gateway) => !known.has(gateway));
  if (!more && gateways.size === known.size) return peer;
  const hurries = more && isValid(peer, nowMs);
  const nextBeatMs = hurries ? Math.min(nowMs, peer.nextBeatMs) : peer.nextBeatMs;
  return { ...peer, awaits: [...gateways].toSorted(), nextBeatMs };
}

export function isValid(peer: PeerSession | undefined, nowMs: number): boolean {
  return peer !== undefined && nowMs <= peer.validUntilMs;
}

function stay(peer: PeerSession): PeerSessionStep {
  return { peer, effects: [], outgoing: [] };
}

export function peerTicks(
  peer: PeerSession,
  context: { readonly durations: Durations; readonly config: VoterConfig; readonly nowMs: number },
): PeerSessionStep {
  const { durations, config, nowMs } = context;
  if (peer.closing !== undefined) return tickClosing(peer, peer.closing, { config, nowMs });
  if (
    peer.validUntilMs === 0 &&
    peer.firstSentMs !== undefined &&
    nowMs > peer.firstSentMs + durations.sessionMs
  )
    return over(peer, 'no-majority');
  if (nowMs < peer.nextBeatMs || peer.inserting !== undefined) return stay(peer);
  const seq = peer.seq + 1;
  const everyMs = isUnheard(peer, durations, nowMs) ? 2 * durations.promiseMs : durations.heartbeatMs;
  return {
    peer: { ...peer, seq, inserting: { seq, atMs: nowMs }, nextBeatMs: nowMs + everyMs },
    effects: [{ kind: 'beat', session: peer.session, seq }],
    outgoing: [],
  };
}

/** It lapsed, and heartbeats left for a whole session's length without bringing it back. */
function isUnheard(peer: PeerSession, { heartbeatMs, sessionMs }: Durations, nowMs: number): boolean {
  return nowMs > peer.validUntilMs && peer.unanswered * heartbeatMs > sessionMs;
}

/** The kernel holds the element of `seq`, or could not: only then the heartbeat may leave. */
export function peerInserted(
  peer: PeerSession,
  done: { readonly seq: number; readonly ok: boolean },
  context: { readonly durations: Durations; readonly config: VoterConfig; readonly nowMs: number },
): PeerSessionStep {
  const { inserting } = peer;
  if (inserting === undefined || inserting.seq !== done.seq) return stay(peer);
  if (!done.ok) return stay({ ...peer, inserting: undefined });
  const { durations, config, nowMs } = context;
  const keepMs = nowMs - Math.max(durations.sessionMs, durations.statementMs);
  const sent = [inserting, ...peer.sent.filter(({ atMs }) => atMs >= keepMs)];
  const firstSentMs = peer.firstSentMs ?? inserting.atMs;
  const unanswered = peer.unanswered + 1;
  const next = { ...peer, inserting: undefined, sent, firstSentMs, unanswered };
  return { peer: next, effects: [], outgoing: heartbeats(next, config, false) };
}

function heartbeats(peer: PeerSession, config: VoterConfig, closed: boolean): readonly Outgoing[] {
  const { session, boot, seq, awaits } = peer;
  const message: PeerMessage = {
    kind: 'heartbeat',
    session,
    boot,
    seq,
    configVersion: config.version,
    closed,
    ...(fitsPacket(awaits) ? { awaits } : {}),
  };
  return votersOf(config).map((to) => ({ to, message }));
}

/** Beyond it the heartbeat says that it waits for everybody. */
function fitsPacket(awaits: readonly string[]): boolean {
  return awaits.length <= AWAITED_MAX && awaits.join('').length <= AWAITED_CHARACTERS_MAX;
}

/** When the heartbeat that a voter's word echoes was sent; undefined: not ours, or too old to count. */
export function sentAtMs(peer: PeerSession, echo: Echo): number | undefined {
  if (echo.session !== peer.session || echo.boot !== peer.boot) return undefined;
  return peer.sent.find(({ seq }) => seq === echo.seq)?.atMs;
}

export function peerHears(
  peer: PeerSession,
  voter: string,
  answer: { readonly echo: Echo; readonly verdict: Verdict; readonly configVersion: number },
  context: { readonly durations: Durations; readonly config: VoterConfig; readonly nowMs: number },
): PeerSessionStep {
  const { echo, verdict, configVersion } = answer;
  if (echo.session !== peer.session || echo.boot !== peer.boot || peer.closing !== undefined)
    return stay(peer);
  switch (verdict.kind) {
    case 'granted': {
      const known = peer.grants.get(voter);
      if (known !== undefined && known.seq >= echo.seq) return stay(peer);
      const grant = { seq: echo.seq, generation: verdict.generation, configVersion };
      return extend({ ...peer, grants: new Map(peer.grants).set(voter, grant) }, context);
    }
    case 'refused':
      return { ...over(peer, 'outnumbered', verdict.highest) };
    case 'outdated':
      // The configuration came with it: what counts by it goes out at once.
      return stay({ ...peer, nextBeatMs: context.nowMs });
    case 'retracting':
      return stay(becomeHeard(peer, context));
    default:
      return verdict satisfies never;
  }
}

/** A voter that takes back its verdict has to hear it all the while: it beats as ever for another session's length. */
function becomeHeard(
  peer: PeerSession,
  { durations, nowMs }: { readonly durations: Durations; readonly nowMs: number },
): PeerSession {
  if (!isUnheard(peer, durations, nowMs)) return peer;
  return { ...peer, unanswered: 0, nextBeatMs: Math.min(peer.nextBeatMs, nowMs + durations.heartbeatMs) };
}

function extend(
  peer: PeerSession,
  {
    durations,
    config,
    nowMs,
  }: { readonly durations: Durations; readonly config: VoterConfig; readonly nowMs: number },
): PeerSessionStep {
  const extension = decideExtension(peer, config);
  if (extension.kind === 'over') return over(peer, extension.reason);
  if (extension.kind === 'waits') return stay(peer);
  const { seq, baseline } = extension;
  const sent = peer.sent.find((it) => it.seq === seq);
  if (sent === undefined) return stay(peer);
  const validUntilMs = sent.atMs + durations.sessionMs;
  if (validUntilMs <= peer.validUntilMs || validUntilMs < nowMs) return stay(peer);
  return {
    peer: { ...peer, validUntilMs, baseline, unanswered: 0 },
    effects: [{ kind: 'grant', session: peer.session, seq }],
    outgoing: [],
  };
}

export function over(peer: PeerSession, reason: OverReason, highest = 0): PeerSessionStep {
  const floor = Math.max(highest, peer.session);
  return { ...stay(peer), effects: [{ kind: 'session-over', session: peer.session, reason, floor }] };
}

/** Everything was disarmed: the voters are told, so that nobody has to wait for the promise to run out. */
export function becomeClosing(peer: PeerSession, nowMs: number): PeerSession {
  return peer.closing === undefined
    ? {
        ...peer,
        closing: { nextMs: nowMs, left: CLOSE_REPEATS },
        validUntilMs: Math.min(peer.validUntilMs, 1),
      }
    : peer;
}

function tickClosing(
  peer: PeerSession,
  closing: { readonly nextMs: number; readonly left: number },
  { config, nowMs }: { readonly config: VoterConfig; readonly nowMs: number },
): PeerSessionStep {
  if (nowMs < closing.nextMs) return stay(peer);
  const left = closing.left - 1;
  const next = { ...peer, seq: peer.seq + 1, closing: { nextMs: nowMs + CLOSE_EVERY_MS, left } };
  const effects: readonly PeerSessionEffect[] =
    left > 0 ? [] : [{ kind: 'session-closed', session: peer.session }];
  return { peer: next, effects, outgoing: heartbeats(next, config, true) };
}

export function closedUnheard(peer: PeerSession): PeerSessionStep {
  return { ...stay(peer), effects: [{ kind: 'session-closed', session: peer.session }] };
}

export function peerWakeMs(peer: PeerSession, durations: Durations): number | undefined {
  if (peer.closing !== undefined) return peer.closing.left > 0 ? peer.closing.nextMs : undefined;
  const unproven =
    peer.validUntilMs === 0 && peer.firstSentMs !== undefined
      ? peer.firstSentMs + durations.sessionMs + 1
      : undefined;
  if (peer.inserting !== undefined) return unproven;
  return unproven === undefined ? peer.nextBeatMs : Math.min(peer.nextBeatMs, unproven);
}
