/**
 * The guard on the uplink: ARP for an egress IP leaves only while address → session → heartbeat → live element holds. A
 * table of its own, because it is written for every heartbeat and by another thread than the data plane.
 *
 * Session and heartbeat marks have different top bits, so a chain that breaks in the middle finds nothing at its end.
 * Announcements pass the same check as answers.
 */
import { contentHash } from './contentHash.ts';

export const GUARD_TABLE = 'sallyport_guard';
/** As nft commands name it. */
export const GUARD = `netdev ${GUARD_TABLE}`;

/**
 * Session marks have the top bit, heartbeat marks have not: one is never taken for the other. Neither is ever 0, which is
 * what a packet has that the chain found nothing for.
 */
const SESSION_BIT = 0x8000_0000;
const SESSION_MASK = 0x7fff_ffff;
/** A heartbeat mark: a bit of its own, 10 of the session and 20 of the sequence, which repeats after 7 hours at 25 ms. */
const HEARTBEAT_BIT = 0x4000_0000;
const HEARTBEAT_SESSION_MASK = 0x3ff;
const HEARTBEAT_SEQUENCE_MASK = 0xf_ffff;

export function sessionMark(session: number): number {
  return (SESSION_BIT | (session & SESSION_MASK)) >>> 0;
}

export function heartbeatMark(session: number, seq: number): number {
  return HEARTBEAT_BIT | ((session & HEARTBEAT_SESSION_MASK) << 20) | (seq & HEARTBEAT_SEQUENCE_MASK);
}

/** The guard's sets and maps, by name. */
const SETS = {
  guarded: { kind: 'set', type: 'type ipv4_addr;' },
  address_session: { kind: 'map', type: 'type ipv4_addr : mark;' },
  session_heartbeat: { kind: 'map', type: 'type mark : mark;' },
  live: { kind: 'set', type: 'type mark; flags timeout;' },
} as const;

/**
 * Adds elements to a set that is there, by declaring it again with them: for `add element` nft 1.0.6 first reads every chain
 * and every interval set of the node, whoever they belong to.
 */
function add(name: keyof typeof SETS, elements: readonly string[]): string {
  const { kind, type } = SETS[name];
  return elements.length === 0
    ? ''
    : `add ${kind} ${GUARD} ${name} { ${type} elements = { ${elements.join(', ')} }; }\n`;
}

/** The text that replaces the table, and the name of the empty chain that tells this text from any other. */
export function renderGuardRuleset(uplink: string): {
  readonly text: string;
  readonly fingerprint: string;
} {
  const sets = Object.entries(SETS).map(([name, { kind, type }]) => `\n  ${kind} ${name} { ${type}\n  }`);
  const body = `${sets.join('')}
  counter fenced {
  }
  chain guard { type filter hook egress device "${uplink}" priority 0;
    arp saddr ip @guarded goto fence
  }
  chain fence {
    meta mark set 0
    meta mark set arp saddr ip map @address_session
    meta mark set meta mark map @session_heartbeat
    meta mark @live accept
    counter name fenced drop
  }`;
  const fingerprint = `version_${contentHash(body)}`;
  return {
    text: `table ${GUARD}\ndelete table ${GUARD}\ntable ${GUARD} {\n  chain ${fingerprint} {\n  }${body}\n}\n`,
    fingerprint,
  };
}

/** The element of one heartbeat, whose lifetime runs from the kernel's taking it. */
export function insertCommand(session: number, seq: number, lifetimeMs: number): string {
  return add('live', [`${heartbeatMark(session, seq)} timeout ${lifetimeMs}ms`]);
}

/** The session hangs on this heartbeat from now on, and no other session on any. */
export function grantCommands(session: number, seq: number): string {
  const link = `${sessionMark(session)} : ${heartbeatMark(session, seq)}`;
  return `flush map ${GUARD} session_heartbeat\n${add('session_heartbeat', [link])}`;
}

/** Nobody answers for these but by a session, from now on. */
export function guardCommands(addresses: readonly string[]): string {
  return add('guarded', addresses);
}

/** These are none of ours any more: nothing of them is left on the device. */
export function unguardCommands(addresses: readonly string[]): string {
  return addresses.length === 0 ? '' : `delete element ${GUARD} guarded { ${addresses.join(', ')} }\n`;
}

/** One address more hangs on the session. */
export function armCommands(address: string, session: number): string {
  return guardCommands([address]) + add('address_session', [`${address} : ${sessionMark(session)}`]);
}

export function disarmCommands(address: string): string {
  return `delete element ${GUARD} address_session { ${address} }\n`;
}

/** What hangs on which session, whole. What is guarded stays so: it may still be on the device. */
export function addressCommands(armed: ReadonlyMap<string, number>): string {
  const sessions = [...armed].map(([address, session]) => `${address} : ${sessionMark(session)}`);
  return [
    `flush map ${GUARD} address_session\n`,
    guardCommands([...armed.keys()]),
    add('address_session', sessions),
  ].join('');
}
