/**
 * Reads a message of another agent. Its sender was proven by the transport; a text that is not one of the messages, as
 * from an agent of another version, is as if it had not come. Written by hand because it runs for every heartbeat.
 */
import type { SessionRef } from '../egressIp.ts';
import type { DeadTable, Echo, Holding, PeerMessage, Verdict } from './messages.ts';
import type { VoterConfig } from './voterConfig.ts';

type Json = Readonly<Record<string, unknown>>;

/** Nodes in a voter set, gateways in a table: what fits one packet is far less. */
const LIST_MAX = 1024;
const NAME_LENGTH_MAX = 253;

export function parsePeerMessage(raw: unknown): PeerMessage | undefined {
  if (!isObject(raw)) return undefined;
  switch (raw.kind) {
    case 'heartbeat':
      return parseHeartbeat(raw);
    case 'answer': {
      const [statements, verdict] = [parseStatements(raw), parseVerdict(raw.verdict)];
      const config = raw.config === undefined ? undefined : parseVoterConfig(raw.config);
      if (statements === undefined || verdict === undefined) return undefined;
      if (raw.config === undefined) return { kind: 'answer', ...statements, verdict };
      return config === undefined ? undefined : { kind: 'answer', ...statements, verdict, config };
    }
    case 'statements': {
      const statements = parseStatements(raw);
      return statements === undefined ? undefined : { kind: 'statements', ...statements };
    }
    case 'ask':
    case 'told':
      return parseAsk(raw, raw.kind);
    case 'moved':
    case 'moved-ack':
      return parseMoved(raw, raw.kind);
    case 'hello':
      return { kind: 'hello' };
    default:
      return undefined;
  }
}

export function parseVoterConfig(raw: unknown): VoterConfig | undefined {
  if (!isObject(raw)) return undefined;
  const version = natural(raw.version);
  const sets = list(raw.sets, (set) => list(set, name));
  return version === undefined || sets === undefined ? undefined : { version, sets };
}

function parseHeartbeat(raw: Json): PeerMessage | undefined {
  const echo = parseEcho(raw);
  const configVersion = natural(raw.configVersion);
  if (echo === undefined || configVersion === undefined || typeof raw.closed !== 'boolean') return undefined;
  const heartbeat = { kind: 'heartbeat', ...echo, configVersion, closed: raw.closed } as const;
  if (raw.awaits === undefined) return heartbeat;
  const awaits = list(raw.awaits, name);
  return awaits === undefined ? undefined : { ...heartbeat, awaits };
}

function parseEcho(raw: unknown): Echo | undefined {
  if (!isObject(raw)) return undefined;
  const [session, boot, seq] = [natural(raw.session), name(raw.boot), natural(raw.seq)];
  return session === undefined || boot === undefined || seq === undefined
    ? undefined
    : { session, boot, seq };
}

function parseStatements(
  raw: Json,
): { readonly echo: Echo; readonly dead: DeadTable; readonly configVersion: number } | undefined {
  const [echo, configVersion] = [parseEcho(raw.echo), natural(raw.configVersion)];
  if (echo === undefined || configVersion === undefined || !isObject(raw.dead)) return undefined;
  const entries = Object.entries(raw.dead);
  if (entries.length > LIST_MAX || entries.some(([, session]) => natural(session) === undefined))
    return undefined;
  return { echo, configVersion, dead: raw.dead as DeadTable }; // Every value was just found to be a number.
}

function parseVerdict(raw: unknown): Verdict | undefined {
  if (!isObject(raw)) return undefined;
  switch (raw.kind) {
    case 'granted': {
      const generation = name(raw.generation);
      return generation === undefined ? undefined : { kind: 'granted', generation };
    }
    case 'refused': {
      const highest = natural(raw.highest);
      return highest === undefined ? undefined : { kind: 'refused', highest };
    }
    case 'retracting':
    case 'outdated':
      return { kind: raw.kind };
    default:
      return undefined;
  }
}

function parseSession(raw: unknown): SessionRef | undefined {
  if (!isObject(raw)) return undefined;
  const [gateway, session] = [name(raw.gateway), natural(raw.session)];
  return gateway === undefined || session === undefined ? undefined : { gateway, session };
}

function parseAsk(raw: Json, kind: 'ask' | 'told'): PeerMessage | undefined {
  const [candidate, target] = [parseSession(raw.candidate), parseSession(raw.target)];
  const [address, epoch] = [name(raw.address), natural(raw.epoch)];
  if (candidate === undefined || target === undefined || address === undefined || epoch === undefined)
    return undefined;
  if (kind === 'ask')
    return typeof raw.last === 'boolean'
      ? { kind, candidate, target, address, epoch, last: raw.last }
      : undefined;
  const { state } = raw;
  return state === 'released' || state === 'holding'
    ? { kind, candidate, target, address, epoch, state }
    : undefined;
}

function parseMoved(raw: Json, kind: 'moved' | 'moved-ack'): PeerMessage | undefined {
  const [session, after, upTo] = [natural(raw.session), natural(raw.after), natural(raw.upTo)];
  if (session === undefined || after === undefined || upTo === undefined) return undefined;
  if (kind === 'moved-ack') return { kind, session, after, upTo };
  const holdings = parseHoldings(raw.holdings);
  return holdings === undefined ? undefined : { kind, session, after, upTo, holdings };
}

function parseHoldings(raw: unknown): readonly Holding[] | undefined {
  return list(raw, (entry) => {
    if (!Array.isArray(entry)) return undefined;
    const address = name(entry[0]);
    const [epoch, index, blocksVersion] = [natural(entry[1]), natural(entry[2]), natural(entry[3])];
    if (address === undefined || epoch === undefined || index === undefined || blocksVersion === undefined)
      return undefined;
    return { address, right: { epoch, index }, blocksVersion };
  });
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function natural(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

function name(value: unknown): string | undefined {
  return typeof value === 'string' && value.length <= NAME_LENGTH_MAX ? value : undefined;
}

/** All entries or nothing: half a list is another list. */
function list<T>(value: unknown, read: (entry: unknown) => T | undefined): readonly T[] | undefined {
  if (!Array.isArray(value) || value.length > LIST_MAX) return undefined;
  const entries = value.flatMap((entry: unknown) => {
    const one = read(entry);
    return one === undefined ? [] : [one];
  });
  return entries.length === value.length ? entries : undefined;
}
