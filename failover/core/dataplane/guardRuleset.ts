/**
 * The guard on the uplinks: what tells neighbours that an egress IP is here leaves only while address → session → granted
 * lately holds. A table of its own, because another thread than the data plane's writes it.
 *
 * Of IPv4 that is every ARP packet whose sender is the address. Of IPv6 it is an advertisement of the address, and any
 * message of neighbour discovery that comes *from* it: neighbours learn the sender of a solicitation as they do that of an
 * ARP request, and the kernel solicits from an egress IP where it forwards a packet of it to a neighbour that it does not
 * know yet. A solicitation from the unspecified address (duplicate address detection) passes: nobody learns from it, and it
 * asks whether somebody else answers, as an ARP probe does.
 *
 * A heartbeat is put into all of `sent_25`, `sent_50` … before it is sent, each of which it leaves after so many
 * milliseconds. A grant puts the session into `valid`, for what the first of them that still holds its heartbeat leaves of
 * the session's life. All run out by the kernel's own timers. Announcements pass the same check as answers.
 */
import { formatAddress, makeAddress, parseAddress } from '../../../policy/address.ts';
import type { Family } from '../../../policy/model.ts';
import type { AnswerWindow, Durations } from '../ownership/durations.ts';
import { contentHash } from './contentHash.ts';
import {
  ADDRESSES_MAX,
  commandChains,
  GUARD_COMMANDS_ADDRESS,
  KEY,
  rawElement,
  removeFrom,
  replaceIn,
  TOKEN_SET,
  tokenElement,
  VALUE,
  writtenByPackets,
} from './kernelCommands.ts';

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

/** Heartbeats that live at a time: a session has far fewer, also of those that the collector has not swept out yet. */
const HEARTBEATS_MAX = 1024;

/**
 * Where a packet has the address that it speaks for. nft 1.0.6 has no name for the target of an advertisement, and compares
 * pieces without a name with numbers only: for that the sets of IPv6 hold numbers, and its sources are pieces too.
 */
const ARP_SENDER = 'arp saddr ip';
const ADVERTISED_TARGET = '@th,64,128';
const IPV6_SOURCE = '@nh,64,128';

/** The guard's sets and maps that are written through nft, by name. */
const SETS = {
  tokens: { kind: 'set', type: TOKEN_SET },
  guarded: { kind: 'set', type: 'type ipv4_addr;' },
  guarded6: { kind: 'set', type: `typeof ${ADVERTISED_TARGET};` },
  address_session: { kind: 'map', type: `type ipv4_addr : mark; ${writtenByPackets(ADDRESSES_MAX)}` },
  address_session6: {
    kind: 'map',
    type: `typeof ${ADVERTISED_TARGET} : meta mark; ${writtenByPackets(ADDRESSES_MAX)}`,
  },
} as const;
/** Those that hold addresses, by family. */
const GUARDED = { 4: 'guarded', 6: 'guarded6' } as const;
const ADDRESS_SESSION = { 4: 'address_session', 6: 'address_session6' } as const;
export const GUARDED_SETS: readonly string[] = Object.values(GUARDED);
const FAMILIES = [4, 6] as const;

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
export function renderGuardRuleset(
  uplink: string,
  { windows }: Pick<Durations, 'windows'>,
): {
  readonly text: string;
  readonly fingerprint: string;
} {
  const sets = Object.entries(SETS).map(([name, { kind, type }]) => `\n  ${kind} ${name} { ${type}\n  }`);
  const sent = windows.map(
    ({ withinMs }) =>
      `\n  set ${sentSet(withinMs)} { type mark; ${writtenByPackets(HEARTBEATS_MAX)} timeout ${withinMs}ms;\n  }`,
  );
  const body = `${[...sets, ...sent].join('')}
  set valid { type mark; ${writtenByPackets(HEARTBEATS_MAX)}
  }
  counter fenced {
  }
  chain guard { ${GUARDING(uplink)}
  }${fence('fence', `${ARP_SENDER} map @address_session`)}${fence('fence_target', `${ADVERTISED_TARGET} map @address_session6`)}${fence('fence_source', `${IPV6_SOURCE} map @address_session6`)}${commandChains(
    GUARD_COMMANDS_ADDRESS,
    'tokens',
    commandRules(windows),
  )}`;
  const fingerprint = `version_${contentHash(body)}`;
  return {
    text: `table ${GUARD}\ndelete table ${GUARD}\ntable ${GUARD} {\n  chain ${fingerprint} {\n  }${body}\n}\n`,
    fingerprint,
  };
}

const GUARDING = (device: string): string => `type filter hook egress device "${device}" priority 0;
    ${ARP_SENDER} @guarded goto fence
    icmpv6 type nd-neighbor-advert ${ADVERTISED_TARGET} @guarded6 goto fence_target
    icmpv6 type 133-137 ${IPV6_SOURCE} @guarded6 goto fence_source`;

const FURTHER_CHAIN = /^guard_[0-9a-f]{16}$/;

/**
 * The guard of a further uplink: the same rules in a chain of its own, so that it comes and goes while the others stay in force.
 * A transaction of its own where the table is there, or the end of the one that makes it.
 */
export function furtherGuard(device: string): { readonly chain: string; readonly text: string } {
  const rules = GUARDING(device);
  const chain = `guard_${contentHash(rules)}`;
  return { chain, text: `table ${GUARD} {\n  chain ${chain} { ${rules}\n  }\n}\n` };
}

export function isFurtherGuard(chain: string): boolean {
  return FURTHER_CHAIN.test(chain);
}

/** Of a device that is no uplink any more: nothing of ours is left on it. */
export function liftCommands(chains: readonly string[]): string {
  return chains.map((it) => `flush chain ${GUARD} ${it}\ndelete chain ${GUARD} ${it}\n`).join('');
}

function fence(name: string, session: string): string {
  return `
  chain ${name} {
    meta mark set 0
    meta mark set ${session}
    meta mark @valid accept
    counter name fenced drop
  }`;
}

function commandRules(windows: readonly AnswerWindow[]): Parameters<typeof commandChains>[2] {
  return [
    ['beat', 0, windows.map(({ withinMs }) => `add @${sentSet(withinMs)} { ${KEY[0]} }`).join(' ')],
    ...windows.map((window) => ['grant', 0, grantRule(window)] as const),
    ...FAMILIES.map((family) => ['arm', family, replaceIn(ADDRESS_SESSION[family], family)] as const),
    ...FAMILIES.map((family) => ['disarm', family, removeFrom(ADDRESS_SESSION[family], family)] as const),
  ];
}

function sentSet(withinMs: number): string {
  return `sent_${withinMs}`;
}

function grantRule({ withinMs, answerMs }: AnswerWindow): string {
  return `meta mark set ${KEY[0]} meta mark @${sentSet(withinMs)} update @valid { ${VALUE} timeout ${answerMs}ms }`;
}

/** Commands are taken from whoever knows this token, and from nobody else. */
export function tokenCommands(token: Uint8Array): string {
  return `flush set ${GUARD} tokens\n${add('tokens', [tokenElement(token)])}`;
}

/** Every right to answer ends. What is guarded stays so: it may still be on the device. */
export function flushCommands({ windows }: Pick<Durations, 'windows'>): string {
  const sent = windows.map(({ withinMs }) => `flush set ${GUARD} ${sentSet(withinMs)}\n`);
  return [flushSessions(), `flush set ${GUARD} valid\n`, ...sent].join('');
}

function flushSessions(): string {
  return FAMILIES.map((family) => `flush map ${GUARD} ${ADDRESS_SESSION[family]}\n`).join('');
}

/** Nobody answers for these but by a session, from now on. */
export function guardCommands(addresses: readonly string[]): string {
  return FAMILIES.map((family) => add(GUARDED[family], elementsOf(family, addresses))).join('');
}

/** These are none of ours any more: nothing of them is left on the device. */
export function unguardCommands(addresses: readonly string[]): string {
  return FAMILIES.map((family) => {
    const gone = elementsOf(family, addresses);
    return gone.length === 0 ? '' : `delete element ${GUARD} ${GUARDED[family]} { ${gone.join(', ')} }\n`;
  }).join('');
}

/** What hangs on which session, whole. What is guarded stays so: it may still be on the device. */
export function addressCommands(armed: ReadonlyMap<string, number>): string {
  const sessions = FAMILIES.map((family) => {
    const ofFamily = [...armed].filter(([address]) => familyOf(address) === family);
    return add(
      ADDRESS_SESSION[family],
      ofFamily.map(([address, session]) => `${elementOf(address)} : ${sessionMark(session)}`),
    );
  });
  return [flushSessions(), guardCommands([...armed.keys()]), ...sessions].join('');
}

function elementsOf(family: Family, addresses: readonly string[]): readonly string[] {
  return addresses.filter((address) => familyOf(address) === family).map(elementOf);
}

function familyOf(address: string): Family {
  return address.includes(':') ? 6 : 4;
}

function elementOf(address: string): string {
  if (familyOf(address) === 4) return address;
  const parsed = parseAddress(address);
  if (parsed.kind !== 'ok') throw new RangeError(`guard: ${parsed.error.message}`);
  return rawElement(parsed.value.value);
}

/** An element of one of `GUARDED_SETS`, as nft's JSON has it, as the address that it is. */
export function guardedAddress(set: string, element: string): string {
  return set === GUARDED[6] ? formatAddress(makeAddress(6, BigInt(element))) : element;
}
