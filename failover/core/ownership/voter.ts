/**
 * One agent as a voter: grants heartbeats of gateway sessions, and calls a session dead when its promise has run out and
 * somebody who lives waits for that. A session that nobody waits for is only unheard: should it be heard again it goes
 * on, so that a stall that meets all standbys does not cost the last of them its rank while no API server gives another.
 * Nothing is persisted: a voter that starts, or that joins the voters again, is silent until what it said in its former
 * life has run out everywhere.
 *
 * Relies on monotonic milliseconds in every event, and on sessions being opened only after the gateway's kernel was
 * flushed: a higher session so proves every lower one dead. Leaves counting majorities to the gateways.
 */
import type { SessionRef } from '../egressIp.ts';
import { deadTable, newsOf } from './deadTable.ts';
import type { Durations } from './durations.ts';
import { earlier } from './earlier.ts';
import type { Outgoing, PeerMessage, Verdict } from './messages.ts';
import { isVoter, type VoterConfig } from './voterConfig.ts';
import {
  deadlineOf,
  heardAnew,
  isOverdue,
  newEntry,
  type VoterEntry,
  wasCalledDead,
  whoIsAwaited,
} from './voterEntry.ts';

export interface VoterState {
  readonly node: string;
  /** Tells this life of the voter from its former ones; part of every generation. */
  readonly incarnation: string;
  readonly durations: Durations;
  readonly config: VoterConfig | undefined;
  readonly silentUntilMs: number;
  readonly entries: ReadonlyMap<string, VoterEntry>;
  /** Gateways that assignments name: what is stated of them is waited for. */
  readonly named: ReadonlySet<string>;
  /** The last declaration is pushed once more then. */
  readonly repeatAtMs: number | undefined;
}

export interface VoterStep {
  readonly state: VoterState;
  readonly outgoing: readonly Outgoing[];
}

/** A push may be lost; the gateways' next heartbeats bring the same, but later. */
const REPEAT_MS = 20;
/** Gateways that are heard or named at the most; beyond it the newest is not served, and its gateway has other voters. */
const GATEWAYS_MAX = 1024;
/** As many of them may be known by name alone: anybody's objects may name gateways that never were, and one that is heard has to have room. */
const UNHEARD_MAX = GATEWAYS_MAX / 2;

export function initialVoter(options: {
  readonly node: string;
  readonly incarnation: string;
  readonly durations: Durations;
  readonly nowMs: number;
}): VoterState {
  const { nowMs, ...rest } = options;
  const silentUntilMs = nowMs + options.durations.startSilenceMs;
  return {
    ...rest,
    config: undefined,
    silentUntilMs,
    entries: new Map(),
    named: new Set(),
    repeatAtMs: undefined,
  };
}

/** Takes a newer configuration; an older one is not acted on. */
export function becomeConfigured(state: VoterState, config: VoterConfig, nowMs: number): VoterState {
  if (state.config !== undefined && config.version <= state.config.version) return state;
  const was = state.config !== undefined && isVoter(state.config, state.node);
  const is = isVoter(config, state.node);
  if (was === is) return { ...state, config };
  // What it stated as a voter runs out after it left; what it did not hear since then says nothing.
  const silentUntilMs = was ? nowMs + state.durations.startSilenceMs : state.silentUntilMs;
  const restart = Math.max(nowMs, silentUntilMs);
  const entries = is
    ? new Map([...state.entries].map(([gateway, entry]) => [gateway, heardAnew(entry, restart)] as const))
    : state.entries;
  return { ...state, config, silentUntilMs, entries };
}

/** Sessions that assignments name: one that is never heard has to be called dead all the same. */
export function becomeAware(state: VoterState, sessions: readonly SessionRef[], nowMs: number): VoterState {
  const named = new Set(sessions.map(({ gateway }) => gateway));
  let entries: Map<string, VoterEntry> | undefined;
  for (const { gateway, session } of sessions) {
    const known = (entries ?? state.entries).get(gateway);
    if (known !== undefined && known.session >= session) continue;
    if (known === undefined && (entries ?? state.entries).size >= UNHEARD_MAX) continue;
    entries ??= new Map(state.entries);
    entries.set(
      gateway,
      newEntry(session, { boot: '', seq: 0, nowMs: Math.max(nowMs, state.silentUntilMs) }),
    );
  }
  return { ...state, named, entries: entries ?? state.entries };
}

export function voterHears(
  state: VoterState,
  gateway: string,
  heartbeat: Extract<PeerMessage, { readonly kind: 'heartbeat' }>,
  nowMs: number,
): VoterStep {
  const { config } = state;
  if (config === undefined || !isVoter(config, state.node) || nowMs < state.silentUntilMs)
    return { state, outgoing: [] };
  const declared = voterTicks(state, nowMs);
  const known = declared.state.entries.get(gateway);
  if (known === undefined && declared.state.entries.size >= GATEWAYS_MAX) return declared;
  const { entry, verdict } = judge(declared.state, known, heartbeat, nowMs);
  const { session, boot, seq, configVersion, awaits } = heartbeat;
  const entries =
    entry === undefined ? declared.state.entries : new Map(declared.state.entries).set(gateway, entry);
  // What it waits for may be the death of one that nobody waited for before.
  const awaited = voterTicks({ ...declared.state, entries }, nowMs);
  const next = awaited.state;
  const plain: PeerMessage = {
    kind: 'answer',
    echo: { session, boot, seq },
    verdict,
    dead: deadTable(newsOf(next, nowMs), awaits),
    configVersion: config.version,
  };
  const answer: PeerMessage = configVersion < config.version ? { ...plain, config } : plain;
  // A session that ends by its own word is news for every other gateway, as a declaration is.
  const ended =
    entry !== undefined && (heartbeat.closed || entry.session > (state.entries.get(gateway)?.session ?? 0));
  const pushed = ended ? push(next, nowMs) : { state: next, outgoing: [] };
  return {
    state: pushed.state,
    outgoing: [
      ...declared.outgoing,
      { to: gateway, message: answer },
      ...awaited.outgoing,
      ...pushed.outgoing,
    ],
  };
}

/** Without an entry nothing is to be kept of the heartbeat. */
function judge(
  state: VoterState,
  known: VoterEntry | undefined,
  heartbeat: Extract<PeerMessage, { readonly kind: 'heartbeat' }>,
  nowMs: number,
): { readonly entry?: VoterEntry; readonly verdict: Verdict } {
  const { session, boot, seq, awaits } = heartbeat;
  if (heartbeat.configVersion < (state.config?.version ?? 0) && !heartbeat.closed)
    return { verdict: { kind: 'outdated' } };
  if (known === undefined || session > known.session) {
    const entry = { ...newEntry(session, { boot, seq, nowMs }), closed: heartbeat.closed, awaits };
    return { entry, verdict: granted(state, entry) };
  }
  const foreign = known.boot !== '' && known.boot !== boot;
  if (session < known.session || foreign || known.closed)
    return { verdict: { kind: 'refused', highest: known.session } };
  if (heartbeat.closed)
    return {
      entry: { ...known, boot, closed: true, changedMs: nowMs },
      verdict: { kind: 'refused', highest: session },
    };
  const heard = seq > known.seq ? { ...known, boot, awaits } : { ...known, boot };
  return judgeCurrent(state, heard, { seq, nowMs });
}

function judgeCurrent(
  state: VoterState,
  known: VoterEntry,
  { seq, nowMs }: { readonly seq: number; readonly nowMs: number },
): { readonly entry: VoterEntry; readonly verdict: Verdict } {
  const { stage } = known;
  // A duplicate is answered; it extends nothing and is no sign of life.
  if (seq <= known.seq)
    return {
      entry: known,
      verdict: wasCalledDead(known) ? { kind: 'retracting' } : granted(state, known),
    };
  switch (stage.kind) {
    case 'declared': {
      const untilMs = nowMs + state.durations.retractionMs;
      return {
        entry: { ...known, seq, stage: { kind: 'retracting', untilMs } },
        verdict: { kind: 'retracting' },
      };
    }
    case 'retracting': {
      if (nowMs < stage.untilMs) return { entry: { ...known, seq }, verdict: { kind: 'retracting' } };
      const entry = { ...heardAnew(known, nowMs), seq };
      return { entry, verdict: granted(state, entry) };
    }
    case 'granting':
    case 'unheard': {
      const entry = { ...heardAnew(known, nowMs), seq };
      return { entry, verdict: granted(state, entry) };
    }
    default:
      return stage satisfies never;
  }
}

function granted({ incarnation }: VoterState, { retractions }: VoterEntry): Verdict {
  return { kind: 'granted', generation: `${incarnation}.${retractions}` };
}

/** Calls sessions dead whose promise has run out and that are waited for, and tells every gateway that is alive. */
export function voterTicks(state: VoterState, nowMs: number): VoterStep {
  const { config } = state;
  if (config === undefined || !isVoter(config, state.node) || nowMs < state.silentUntilMs)
    return { state, outgoing: [] };
  const silenced = silenceOverdue(state, nowMs);
  let entries: Map<string, VoterEntry> | undefined;
  let isAwaited: ((gateway: string) => boolean) | undefined;
  for (const [gateway, entry] of silenced.entries) {
    if (entry.stage.kind !== 'unheard') continue;
    isAwaited ??= whoIsAwaited(silenced.entries);
    if (!isAwaited(gateway)) continue;
    entries ??= new Map(silenced.entries);
    entries.set(gateway, { ...entry, stage: { kind: 'declared' }, changedMs: nowMs });
  }
  if (entries !== undefined) return push({ ...silenced, entries }, nowMs);
  if (silenced.repeatAtMs === undefined || nowMs < silenced.repeatAtMs)
    return { state: silenced, outgoing: [] };
  return { state: { ...silenced, repeatAtMs: undefined }, outgoing: pushes(silenced, nowMs) };
}

/** Its promise is over. What was called dead before and fell silent again is dead without anybody's waiting. */
function silenceOverdue(state: VoterState, nowMs: number): VoterState {
  let entries: Map<string, VoterEntry> | undefined;
  for (const [gateway, entry] of state.entries) {
    if (!isOverdue(entry, state.durations, nowMs)) continue;
    entries ??= new Map(state.entries);
    entries.set(
      gateway,
      wasCalledDead(entry)
        ? { ...entry, stage: { kind: 'declared' }, changedMs: nowMs }
        : { ...entry, stage: { kind: 'unheard' } },
    );
  }
  return entries === undefined ? state : { ...state, entries };
}

function push(state: VoterState, nowMs: number): VoterStep {
  return { state: { ...state, repeatAtMs: nowMs + REPEAT_MS }, outgoing: pushes(state, nowMs) };
}

function pushes(state: VoterState, nowMs: number): readonly Outgoing[] {
  const news = newsOf(state, nowMs);
  const configVersion = state.config?.version ?? 0;
  return [...state.entries]
    .filter(([, { stage, closed, boot }]) => stage.kind === 'granting' && !closed && boot !== '')
    .map(([to, { session, boot, seq, awaits }]) => ({
      to,
      message: {
        kind: 'statements',
        echo: { session, boot, seq },
        dead: deadTable(news, awaits),
        configVersion,
      },
    }));
}

/** When something changes by time alone; undefined: nothing will. */
export function voterWakeMs(state: VoterState): number | undefined {
  if (state.config === undefined || !isVoter(state.config, state.node)) return undefined;
  let wakeMs = state.repeatAtMs;
  for (const entry of state.entries.values()) wakeMs = earlier(wakeMs, deadlineOf(entry, state.durations));
  return wakeMs === undefined ? undefined : Math.max(state.silentUntilMs, wakeMs);
}
