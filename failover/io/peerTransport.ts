/**
 * Authenticated datagrams between agents: UDP with an HMAC-SHA256 (RFC 2104, cut to 16 bytes as RFC 2104 §5 allows) over
 * everything behind it. A packet names its sender and its receiver, so that it can be neither sent on to another node
 * nor back; a counter lets each be heard once. What is not in order is counted and dropped.
 *
 *     version 1 byte · key id 4 · HMAC 16 · incarnation 8 · counter 6 · JSON {f: from, t: to, m: message}
 *
 * A replay window is kept for each life of a sender. What slips through it, a packet of a life that was forgotten, can
 * do nothing: every message is about sessions and sequences that only grow.
 */
import { createHmac, createSecretKey, type KeyObject, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Socket } from 'node:dgram';
import { formatAddress } from '../../policy/address.ts';
import type { Address } from '../../policy/model.ts';
import type { PeerMessage } from '../core/ownership/messages.ts';
import { parsePeerMessage } from '../core/ownership/parsePeerMessage.ts';
import { renderPeerMessage } from '../core/ownership/renderPeerMessage.ts';
import { NO_PEER_KEYS, type PeerKeyIds, type PeerKeys } from '../core/peerKeys.ts';
import { openDatagramSocket } from './openDatagramSocket.ts';

export type { PeerKey, PeerKeys } from '../core/peerKeys.ts';

/** Closed: why a packet was dropped. */
export const DROP_REASONS = [
  'truncated',
  'version',
  'no-key',
  'forged',
  'replayed',
  'malformed',
  'misdirected',
] as const;
export type DropReason = (typeof DROP_REASONS)[number];

export interface PeerTransport {
  /** Fire and forget, as the network is; to an unknown node, or without a key, nothing is sent. */
  send(to: string, message: PeerMessage): void;
  /** Complains and keeps what it has where the key to sign with is none of those accepted. */
  setKeys(keys: PeerKeys): void;
  /** Those in use. */
  keyIds(): PeerKeyIds;
  /** Node → its address. */
  setPeers(peers: ReadonlyMap<string, Address>): void;
  dropped(): Readonly<Record<DropReason, number>>;
  close(): Promise<void>;
}

export interface PeerTransportOptions {
  readonly node: string;
  readonly address: Address;
  readonly port: number;
  readonly onMessage: (from: string, message: PeerMessage) => void;
  readonly warn: (message: string) => void;
}

const VERSION = 1;
const TAG_BYTES = 16;
const TAG_AT = 5;
const INCARNATION_AT = TAG_AT + TAG_BYTES;
const COUNTER_AT = INCARNATION_AT + 8;
const BODY_AT = COUNTER_AT + 6;
/** Ethernet's 1,500 bytes less an outer IPv6 and UDP header; a dead table of 20 gateways is half of it. */
const PACKET_BYTES_MAX = 1452;
/** Packets may overtake each other by this many. */
const WINDOW = 1024n;
const WINDOW_MASK = (1n << WINDOW) - 1n;
/** Lives of one sender whose windows are kept: more than restart within the life of a packet. */
const LIVES_MAX = 4;

/** Made once: from the bytes, each HMAC would cost five times as much. */
interface PreparedKey {
  readonly id: number;
  readonly key: KeyObject;
}

interface PreparedKeys {
  readonly accepted: readonly PreparedKey[];
  readonly signing: PreparedKey;
}

interface Life {
  readonly incarnation: string;
  highest: number;
  /** Bit i: the packet with the counter `highest − i` was heard. */
  heard: bigint;
}

export async function openPeerTransport(options: PeerTransportOptions): Promise<PeerTransport> {
  const socket = await openDatagramSocket(options.address, options.port);
  return new Transport(options, socket);
}

class Transport implements PeerTransport {
  readonly #options: PeerTransportOptions;
  readonly #socket: Socket;
  readonly #incarnation = randomBytes(8);
  readonly #lives = new Map<string, Life[]>();
  readonly #dropped = Object.fromEntries(DROP_REASONS.map((reason) => [reason, 0])) as Record<
    DropReason,
    number
  >;
  #counter = 0;
  /** One message goes to many peers, one after the other. */
  #rendered: { readonly message: PeerMessage; readonly text: string } | undefined;
  #keys: PreparedKeys | undefined;
  /** Node → its address as text. */
  #peers: ReadonlyMap<string, string> = new Map();

  constructor(options: PeerTransportOptions, socket: Socket) {
    this.#options = options;
    this.#socket = socket;
    socket.on('message', (packet) => this.#hear(packet));
    // A peer that is down answers with an ICMP error: that is no error of ours.
    socket.on('error', (error) => options.warn(`the peer socket: ${error.message}`));
  }

  setKeys(keys: PeerKeys): void {
    const prepared = keys.accepted.map(({ id, secret }) => ({ id, key: createSecretKey(secret) }));
    const signing = prepared.find(({ id }) => id === keys.signing.id);
    if (signing !== undefined) this.#keys = { accepted: prepared, signing };
    else
      this.#options.warn(
        `peer key ${keys.signing.id} is to be signed with and is not accepted: keys are kept`,
      );
  }

  keyIds(): PeerKeyIds {
    if (this.#keys === undefined) return NO_PEER_KEYS;
    return { accepted: this.#keys.accepted.map(({ id }) => id), signing: this.#keys.signing.id };
  }

  setPeers(peers: ReadonlyMap<string, Address>): void {
    this.#peers = new Map([...peers].map(([node, address]) => [node, formatAddress(address)] as const));
  }

  dropped(): Readonly<Record<DropReason, number>> {
    return { ...this.#dropped };
  }

  send(to: string, message: PeerMessage): void {
    const { node, onMessage } = this.#options;
    if (to === node) {
      setImmediate(() => onMessage(node, message));
      return;
    }
    const address = this.#peers.get(to);
    if (address === undefined || this.#keys === undefined) return;
    const packet = this.#seal(to, message, this.#keys.signing);
    if (packet.length > PACKET_BYTES_MAX) {
      this.#options.warn(`a ${message.kind} of ${packet.length} bytes does not fit a packet`);
      return;
    }
    // Without a callback what goes wrong is not said, and a packet costs a third less.
    this.#socket.send(packet, this.#options.port, address);
  }

  #seal(to: string, message: PeerMessage, key: PreparedKey): Buffer {
    if (this.#rendered?.message !== message) this.#rendered = { message, text: renderPeerMessage(message) };
    const names = `{"f":${JSON.stringify(this.#options.node)},"t":${JSON.stringify(to)},"m":`;
    const body = `${names}${this.#rendered.text}}`;
    const packet = Buffer.allocUnsafe(BODY_AT + Buffer.byteLength(body));
    packet.writeUInt8(VERSION, 0);
    packet.writeUInt32BE(key.id, 1);
    this.#incarnation.copy(packet, INCARNATION_AT);
    this.#counter += 1;
    packet.writeUIntBE(this.#counter, COUNTER_AT, 6);
    packet.write(body, BODY_AT);
    tagOf(packet, key).copy(packet, TAG_AT);
    return packet;
  }

  #hear(packet: Buffer): void {
    const opened = this.#open(packet);
    if (opened.kind === 'dropped') this.#dropped[opened.reason] += 1;
    else this.#options.onMessage(opened.from, opened.message);
  }

  #open(
    packet: Buffer,
  ):
    | { readonly kind: 'dropped'; readonly reason: DropReason }
    | { readonly kind: 'heard'; readonly from: string; readonly message: PeerMessage } {
    const drop = (reason: DropReason) => ({ kind: 'dropped', reason }) as const;
    if (packet.length <= BODY_AT) return drop('truncated');
    if (packet.readUInt8(0) !== VERSION) return drop('version');
    const id = packet.readUInt32BE(1);
    const key = this.#keys?.accepted.find((it) => it.id === id);
    if (key === undefined) return drop('no-key');
    if (!timingSafeEqual(tagOf(packet, key), packet.subarray(TAG_AT, INCARNATION_AT))) return drop('forged');
    const body = parseBody(packet.subarray(BODY_AT));
    if (body === undefined) return drop('malformed');
    if (body.to !== this.#options.node) return drop('misdirected');
    const incarnation = packet.toString('hex', INCARNATION_AT, COUNTER_AT);
    if (!this.#isNew(body.from, incarnation, packet.readUIntBE(COUNTER_AT, 6))) return drop('replayed');
    return { kind: 'heard', from: body.from, message: body.message };
  }

  #isNew(from: string, incarnation: string, counter: number): boolean {
    const lives = this.#lives.get(from) ?? [];
    const known = lives.find((it) => it.incarnation === incarnation);
    if (known === undefined) {
      this.#lives.set(from, [...lives.slice(1 - LIVES_MAX), { incarnation, highest: counter, heard: 1n }]);
      return true;
    }
    if (counter > known.highest) {
      const ahead = BigInt(counter - known.highest);
      known.heard = ahead > WINDOW ? 1n : ((known.heard << ahead) | 1n) & WINDOW_MASK;
      known.highest = counter;
      return true;
    }
    const behind = BigInt(known.highest - counter);
    // Before it is shifted by: a packet of weeks ago would ask for a number of a hundred megabytes.
    if (behind >= WINDOW) return false;
    const bit = 1n << behind;
    if ((known.heard & bit) !== 0n) return false;
    known.heard |= bit;
    return true;
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }
}

/** Over the packet with its tag blanked: what is before the tag is covered too. */
function tagOf(packet: Buffer, { key }: PreparedKey): Buffer {
  return createHmac('sha256', key)
    .update(packet.subarray(0, TAG_AT))
    .update(packet.subarray(INCARNATION_AT))
    .digest()
    .subarray(0, TAG_BYTES);
}

function parseBody(
  bytes: Buffer,
): { readonly from: string; readonly to: string; readonly message: PeerMessage } | undefined {
  let raw: unknown;
  try {
    raw = JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof raw !== 'object' || raw === null) return undefined;
  const { f: from, t: to, m } = raw as Readonly<Record<string, unknown>>;
  const message = parsePeerMessage(m);
  if (typeof from !== 'string' || typeof to !== 'string' || message === undefined) return undefined;
  return { from, to, message };
}
