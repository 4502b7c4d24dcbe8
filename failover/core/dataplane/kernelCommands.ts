/**
 * Commands to the kernel as datagrams to the node itself. A chain in the egress hook of the loopback device reads them
 * where they are sent, changes a set or a map, and turns the datagram around to its sender: what comes back is done. No
 * process is started or woken, so a heartbeat or a move costs what a packet costs.
 *
 * Changes at the pace of heartbeats and moves go this way; what is declared or emptied goes through nft. Whoever knows
 * the token, which is made anew by each life of the agent, may command.
 *
 *     token 16 bytes · operation 1 · kind of key 1 · 0 2 · key 16 · value 4 · number 4
 *
 * Keys and values are as the sets hold them: marks in the node's own byte order, addresses in the network's. The kind of
 * key tells them apart: 4 or 6 for an address of that family, 0 for a mark.
 */
import { formatAddress, makeAddress } from '../../../policy/address.ts';
import type { Address, Family } from '../../../policy/model.ts';

/** The agent's own end, and where commands are read. Of the loopback network, and nobody's. */
export const SENDER: Address = makeAddress(4, 0x7f49_5601n);
export const SENDER_ADDRESS = formatAddress(SENDER);
export const GUARD_COMMANDS_ADDRESS = '127.73.86.2';
export const STEERING_COMMANDS_ADDRESS = '127.73.86.3';

export const TOKEN_BYTES = 16;
const KEY_AT = 20;
const VALUE_AT = 36;
const NUMBER_AT = 40;
const COMMAND_BYTES = 44;

/** Closed: what a chain can be told. Each is one digit. */
export const OPERATIONS = { beat: 1, grant: 2, arm: 3, disarm: 4, steer: 5 } as const;
export type Operation = keyof typeof OPERATIONS;

/** Behind the UDP header of 8 bytes, in bits, as nft counts. */
const place = (byte: number, bytes: number): string => `@th,${(8 + byte) * 8},${bytes * 8}`;
const TOKEN = place(0, TOKEN_BYTES);
const OPERATION_AND_KIND = place(TOKEN_BYTES, 2);
export type KeyKind = Family | 0;
export const KEY: Readonly<Record<KeyKind, string>> = {
  0: place(KEY_AT, 4),
  4: place(KEY_AT, 4),
  6: place(KEY_AT, 16),
};
export const VALUE = place(VALUE_AT, 4);
/** An entry of a map, whatever it was before. A packet cannot change one in place. */
export const replaceIn = (map: string, kind: KeyKind): string =>
  `${removeFrom(map, kind)} add @${map} { ${KEY[kind]} : ${VALUE} }`;
export const removeFrom = (map: string, kind: KeyKind): string =>
  `delete @${map} { ${KEY[kind]} : ${VALUE} }`;

/** Declares the set that holds the token. */
export const TOKEN_SET = `typeof ${TOKEN};`;
/** What packets write needs room set aside (16 bytes an entry); what they remove is swept out by the timeouts' collector. */
export const writtenByPackets = (entries: number): string => `size ${entries}; flags dynamic,timeout;`;
/** Egress IPs of a cluster, and those that were moved within the collector's last second. */
export const ADDRESSES_MAX = 65_536;

/** The chain that reads commands sent to `address`: of an operation's rules the first that finds what it asks for counts. */
export function commandChains(
  address: string,
  tokens: string,
  rules: readonly (readonly [Operation, KeyKind, string])[],
): string {
  const lines = rules.map(
    ([operation, kind, rule]) =>
      `\n    ${OPERATION_AND_KIND} 0x0${OPERATIONS[operation]}0${kind} ${rule} ip daddr set ${SENDER_ADDRESS} accept`,
  );
  return `
  chain commands { type filter hook egress device "lo" priority 0;
    ip daddr ${address} goto command
  }
  chain command {
    ${TOKEN} != @${tokens} drop${lines.join('')}
    drop
  }`;
}

/** The token as nft spells it in the set. */
export function tokenElement(token: Uint8Array): string {
  const digits = [...token].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return rawElement(BigInt(`0x${digits}`));
}

/** As nft spells an element of a set whose key is a piece of a packet. */
export function rawElement(value: bigint): string {
  return `0x${value.toString(16)}`;
}

export interface KernelCommand {
  readonly operation: Operation;
  readonly key: Address | number;
  /** A mark. */
  readonly value?: number;
}

export function encodeCommand(
  { operation, key, value = 0 }: KernelCommand,
  envelope: { readonly token: Uint8Array; readonly number: number; readonly littleEndian: boolean },
): Uint8Array {
  const { token, number, littleEndian } = envelope;
  const bytes = new Uint8Array(COMMAND_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(token);
  view.setUint8(TOKEN_BYTES, OPERATIONS[operation]);
  view.setUint8(TOKEN_BYTES + 1, typeof key === 'number' ? 0 : key.family);
  if (typeof key === 'number') view.setUint32(KEY_AT, key, littleEndian);
  else writeAddress(view, key);
  view.setUint32(VALUE_AT, value, littleEndian);
  view.setUint32(NUMBER_AT, number);
  return bytes;
}

function writeAddress(view: DataView, { family, value }: Address): void {
  if (family === 4) return view.setUint32(KEY_AT, Number(value));
  view.setBigUint64(KEY_AT, value >> 64n);
  view.setBigUint64(KEY_AT + 8, value & 0xffff_ffff_ffff_ffffn);
}

/** The number of a command that came back; undefined: it is none. */
export function commandNumber(bytes: Uint8Array): number | undefined {
  if (bytes.length !== COMMAND_BYTES) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(NUMBER_AT);
}
