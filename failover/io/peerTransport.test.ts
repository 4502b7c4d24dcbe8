/**
 * Over the loopback device: each node has an address of 127.0.0.0/8 of its own, all share one port that is free. Packets
 * between two sockets of the loopback device arrive in the order sent, so a message that comes through tells that
 * everything before it was looked at.
 */
import { createHmac } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseAddress } from '../../policy/address.ts';
import type { Address } from '../../policy/model.ts';
import { holdingBytes, MOVED_BYTES_MAX, type PeerMessage } from '../core/ownership/messages.ts';
import {
  DROP_REASONS,
  type DropReason,
  openPeerTransport,
  type PeerKey,
  type PeerKeys,
  type PeerTransport,
} from './peerTransport.ts';

const OLD: PeerKey = { id: 1, secret: Buffer.alloc(32, 1) };
const NEW: PeerKey = { id: 2, secret: Buffer.alloc(32, 2) };
const BOTH_OLD: PeerKeys = { accepted: [OLD], signing: OLD };

const HOSTS = { a: '127.0.0.11', b: '127.0.0.12', tap: '127.0.0.13' } as const;
type Host = keyof typeof HOSTS;

function addressOf(host: Host): Address {
  const parsed = parseAddress(HOSTS[host]);
  if (parsed.kind !== 'ok') throw new Error(parsed.error.message);
  return parsed.value;
}

/** Messages as they come, to be waited for. */
class Inbox {
  readonly heard: { readonly from: string; readonly message: PeerMessage }[] = [];
  #waiting: (() => void)[] = [];

  put = (from: string, message: PeerMessage): void => {
    this.heard.push({ from, message });
    for (const wake of this.#waiting.splice(0)) wake();
  };

  async until(count: number): Promise<readonly { readonly from: string; readonly message: PeerMessage }[]> {
    while (this.heard.length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.heard;
  }

  seqs(): readonly number[] {
    return this.heard.map(({ message }) => (message.kind === 'heartbeat' ? message.seq : -1));
  }
}

let port = 0;
let warnings: string[] = [];
const closing: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  const probe = createSocket('udp4');
  probe.bind(0, HOSTS.b);
  await once(probe, 'listening');
  port = probe.address().port;
  await new Promise<void>((resolve) => probe.close(() => resolve()));
  warnings = [];
});

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function open(
  host: 'a' | 'b',
  keys: PeerKeys | 'none' = BOTH_OLD,
  node: string = host,
): Promise<{ readonly transport: PeerTransport; readonly inbox: Inbox }> {
  const inbox = new Inbox();
  const transport = await openPeerTransport({
    node,
    address: addressOf(host),
    port,
    onMessage: inbox.put,
    warn: (message) => warnings.push(message),
  });
  closing.push(() => transport.close());
  if (keys !== 'none') transport.setKeys(keys);
  transport.setPeers(
    new Map([
      ['a', addressOf('a')],
      ['b', addressOf('b')],
    ] as const),
  );
  return { transport, inbox };
}

/** Takes the packets that a sends to b, and hands them to b as it is told. */
class Tap {
  readonly socket: Socket;
  readonly packets: Buffer[] = [];
  #waiting: (() => void)[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('message', (packet) => {
      this.packets.push(packet);
      for (const wake of this.#waiting.splice(0)) wake();
    });
  }

  async taken(count: number): Promise<readonly Buffer[]> {
    while (this.packets.length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.packets;
  }

  give(packet: Buffer): Promise<void> {
    return new Promise((resolve) => this.socket.send(packet, port, HOSTS.b, () => resolve()));
  }
}

async function tapped() {
  const [a, b] = [await open('a'), await open('b')];
  const socket = createSocket('udp4');
  socket.bind(port, HOSTS.tap);
  await once(socket, 'listening');
  closing.push(() => new Promise<void>((resolve) => socket.close(() => resolve())));
  const tap = new Tap(socket);
  a.transport.setPeers(new Map([['b', addressOf('tap')]] as const));
  /** The packets of so many heartbeats from a to b. */
  const packetsOf = async (count: number): Promise<readonly Buffer[]> => {
    const before = tap.packets.length;
    for (let seq = 1; seq <= count; seq += 1) a.transport.send('b', beat(seq));
    return (await tap.taken(before + count)).slice(before);
  };
  return { a, b, tap, packetsOf };
}

function beat(seq: number): PeerMessage {
  return { kind: 'heartbeat', session: 1, boot: 'x', seq, configVersion: 1, closed: false };
}

function dropsOf(transport: PeerTransport): Partial<Record<DropReason, number>> {
  return Object.fromEntries(Object.entries(transport.dropped()).filter(([, count]) => count > 0));
}

/** As the transport describes it in its first lines. */
function sealed(fields: {
  readonly body: string;
  readonly key?: PeerKey;
  readonly counter?: number;
  readonly incarnation?: bigint;
}): Buffer {
  const { body, key = OLD, counter = 1, incarnation = 7n } = fields;
  const head = Buffer.alloc(5);
  head.writeUInt8(1, 0);
  head.writeUInt32BE(key.id, 1);
  const rest = Buffer.alloc(14);
  rest.writeBigUInt64BE(incarnation, 0);
  rest.writeUIntBE(counter, 8, 6);
  const covered = Buffer.concat([rest, Buffer.from(body)]);
  const tag = createHmac('sha256', key.secret).update(head).update(covered).digest().subarray(0, 16);
  return Buffer.concat([head, tag, covered]);
}

function bodyOf(seq: number, fields: { readonly from?: string; readonly to?: string } = {}): string {
  return JSON.stringify({ f: fields.from ?? 'a', t: fields.to ?? 'b', m: beat(seq) });
}

function flipped(packet: Buffer, at: number): Buffer {
  const copy = Buffer.from(packet);
  copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
  return copy;
}

test('a message arrives with the name of its sender, as it was sent', async () => {
  const [a, b] = [await open('a'), await open('b')];
  a.transport.send('b', beat(7));
  expect(await b.inbox.until(1)).toEqual([{ from: 'a', message: beat(7) }]);
  b.transport.send('a', beat(8));
  expect(await a.inbox.until(1)).toEqual([{ from: 'b', message: beat(8) }]);
  expect(dropsOf(b.transport)).toEqual({});
});

test('what a node says to itself comes back, not before it has finished speaking, and needs neither key nor address', async () => {
  const { transport, inbox } = await open('a');
  transport.setPeers(new Map());
  transport.send('a', beat(1));
  expect(inbox.heard).toEqual([]);
  expect(await inbox.until(1)).toEqual([{ from: 'a', message: beat(1) }]);
});

test('packets are laid out as the documentation says', async () => {
  const { b, tap } = await tapped();
  await tap.give(sealed({ body: bodyOf(3) }));
  expect(await b.inbox.until(1)).toEqual([{ from: 'a', message: beat(3) }]);
});

interface DropCase {
  readonly name: string;
  readonly reason: DropReason;
  /** From a packet that would be heard. */
  readonly make: (good: Buffer) => Buffer;
}

const DROPS: readonly DropCase[] = [
  { name: 'nothing at all', reason: 'truncated', make: () => Buffer.alloc(0) },
  { name: 'a head without a body', reason: 'truncated', make: (good) => good.subarray(0, 35) },
  { name: 'a body that lacks its last byte', reason: 'forged', make: (good) => good.subarray(0, -1) },
  {
    name: 'a packet of another version',
    reason: 'version',
    make: (good) => Buffer.concat([Buffer.from([2]), good.subarray(1)]),
  },
  {
    name: 'a packet under a key that is not known',
    reason: 'no-key',
    make: () => sealed({ body: bodyOf(1), key: NEW }),
  },
  {
    name: 'a packet under another secret of the same number',
    reason: 'forged',
    make: () => sealed({ body: bodyOf(1), key: { id: OLD.id, secret: NEW.secret } }),
  },
  { name: 'a packet whose tag was changed', reason: 'forged', make: (good) => flipped(good, 5) },
  { name: 'a packet whose life was changed', reason: 'forged', make: (good) => flipped(good, 21) },
  { name: 'a packet whose counter was changed', reason: 'forged', make: (good) => flipped(good, 34) },
  {
    name: 'a packet whose body was changed',
    reason: 'forged',
    make: (good) => flipped(good, good.length - 3),
  },
  {
    name: 'a packet for another node',
    reason: 'misdirected',
    make: () => sealed({ body: bodyOf(1, { to: 'c' }) }),
  },
  { name: 'what is no JSON', reason: 'malformed', make: () => sealed({ body: '{' }) },
  { name: 'what is no object', reason: 'malformed', make: () => sealed({ body: 'null' }) },
  {
    name: 'a message of a later version',
    reason: 'malformed',
    make: () => sealed({ body: JSON.stringify({ f: 'a', t: 'b', m: { kind: 'later' } }) }),
  },
  {
    name: 'a message of nobody',
    reason: 'malformed',
    make: () => sealed({ body: JSON.stringify({ t: 'b', m: beat(1) }) }),
  },
];

test.each(DROPS)('$name is counted as $reason and not heard', async ({ reason, make }) => {
  const { b, tap, packetsOf } = await tapped();
  const [good = Buffer.alloc(0), marker = Buffer.alloc(0)] = await packetsOf(2);
  await tap.give(make(good));
  await tap.give(marker);
  await b.inbox.until(1);
  expect(b.inbox.seqs()).toEqual([2]);
  expect(dropsOf(b.transport)).toEqual({ [reason]: 1 });
});

test('there is a case for every reason', () => {
  const reasons = new Set<DropReason>([...DROPS.map(({ reason }) => reason), 'replayed']);
  expect([...reasons].toSorted()).toEqual([...DROP_REASONS].toSorted());
});

test('a packet is heard once, and packets that overtook each other are all heard', async () => {
  const { b, tap, packetsOf } = await tapped();
  const [one, two, three] = (await packetsOf(3)) as [Buffer, Buffer, Buffer];
  for (const packet of [three, one, one, three, two, two]) await tap.give(packet);
  await b.inbox.until(3);
  await tap.give(sealed({ body: bodyOf(9) }));
  await b.inbox.until(4);
  expect(b.inbox.seqs()).toEqual([3, 1, 2, 9]);
  expect(dropsOf(b.transport)).toEqual({ replayed: 3 });
});

/** Counters of one life, in the order they arrive, and which of them are heard. */
test.each([
  { name: 'the last that a window holds', counters: [2000, 977], heard: [2000, 977] },
  { name: 'the first that is too old', counters: [2000, 976], heard: [2000] },
  { name: 'one in a window that moved far', counters: [5, 10_000, 9999, 5], heard: [5, 10_000, 9999] },
  { name: 'one that the window moved past exactly', counters: [1, 1025, 1], heard: [1, 1025] },
  { name: 'one at the edge of a window that moved', counters: [2, 1025, 2], heard: [2, 1025] },
  { name: 'one of a year ago', counters: [2 ** 47, 1], heard: [2 ** 47] },
])('$name: heard are $heard', async ({ counters, heard }) => {
  const { b, tap } = await tapped();
  for (const counter of counters) await tap.give(sealed({ body: bodyOf(counter), counter }));
  await tap.give(sealed({ body: bodyOf(0), incarnation: 8n }));
  while (b.inbox.seqs().at(-1) !== 0) await b.inbox.until(b.inbox.heard.length + 1);
  expect(b.inbox.seqs()).toEqual([...heard, 0]);
  expect(b.transport.dropped().replayed).toBe(counters.length - heard.length);
});

test('a sender that starts anew is heard from its first packet, and its former life is not heard twice', async () => {
  const { b, tap } = await tapped();
  const before = sealed({ body: bodyOf(1), counter: 500, incarnation: 1n });
  await tap.give(before);
  for (const life of [2n, 3n, 4n]) await tap.give(sealed({ body: bodyOf(Number(life)), incarnation: life }));
  await tap.give(before);
  await tap.give(sealed({ body: bodyOf(9), counter: 2, incarnation: 4n }));
  await b.inbox.until(5);
  expect(b.inbox.seqs()).toEqual([1, 2, 3, 4, 9]);
  expect(dropsOf(b.transport)).toEqual({ replayed: 1 });
});

test('counters of one sender say nothing of another', async () => {
  const { b, tap } = await tapped();
  await tap.give(sealed({ body: bodyOf(1) }));
  await tap.give(sealed({ body: bodyOf(2, { from: 'c' }) }));
  expect((await b.inbox.until(2)).map(({ from }) => from)).toEqual(['a', 'c']);
});

test('while keys are exchanged both are heard and one signs', async () => {
  const { a, b, tap, packetsOf } = await tapped();
  b.transport.setKeys({ accepted: [OLD, NEW], signing: OLD });
  const [old = Buffer.alloc(0)] = await packetsOf(1);
  a.transport.setKeys({ accepted: [OLD, NEW], signing: NEW });
  const [young = Buffer.alloc(0)] = await packetsOf(1);
  expect([old.readUInt32BE(1), young.readUInt32BE(1)]).toEqual([OLD.id, NEW.id]);
  for (const packet of [old, young]) await tap.give(packet);
  await b.inbox.until(2);
  b.transport.setKeys({ accepted: [NEW], signing: NEW });
  await tap.give(sealed({ body: bodyOf(5), incarnation: 9n }));
  await tap.give(sealed({ body: bodyOf(6), incarnation: 9n, key: NEW }));
  await b.inbox.until(3);
  expect(b.inbox.seqs()).toEqual([1, 1, 6]);
  expect(dropsOf(b.transport)).toEqual({ 'no-key': 1 });
});

test('a key to sign with that is not accepted is complained about, and the keys stay as they were', async () => {
  const { a, tap } = await tapped();
  expect(a.transport.keyIds()).toEqual({ accepted: [1], signing: 1 });
  a.transport.setKeys({ accepted: [OLD], signing: NEW });
  expect(warnings).toEqual(['peer key 2 is to be signed with and is not accepted: keys are kept']);
  expect(a.transport.keyIds()).toEqual({ accepted: [1], signing: 1 });
  a.transport.send('b', beat(1));
  expect((await tap.taken(1))[0]?.readUInt32BE(1)).toBe(OLD.id);
  a.transport.setKeys({ accepted: [OLD, NEW], signing: NEW });
  expect(a.transport.keyIds()).toEqual({ accepted: [1, 2], signing: 2 });
});

test('to a node without an address nothing is sent', async () => {
  const { a, tap } = await tapped();
  a.transport.send('nobody', beat(1));
  a.transport.send('b', beat(2));
  expect((await tap.taken(1))[0]?.toString('utf8')).toContain('"seq":2');
});

test('without keys nothing is sent, and nothing that comes is heard', async () => {
  const [a, b] = [await open('a', 'none'), await open('b')];
  a.transport.send('b', beat(1));
  b.transport.send('a', beat(2));
  while (a.transport.dropped()['no-key'] === 0) await setImmediate();
  a.transport.setKeys(BOTH_OLD);
  a.transport.send('b', beat(3));
  await b.inbox.until(1);
  b.transport.send('a', beat(4));
  await a.inbox.until(1);
  expect([...a.inbox.seqs(), ...b.inbox.seqs()]).toEqual([4, 3]);
});

test('a message that does not fit a packet is not sent, and said so', async () => {
  const { a, tap } = await tapped();
  const dead = Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`gateway-${index}`, index]));
  const echo = { session: 1, boot: 'x', seq: 1 };
  a.transport.send('b', { kind: 'statements', echo, dead, configVersion: 1 });
  expect(warnings).toEqual([expect.stringMatching(/^a statements of \d{4} bytes does not fit a packet$/)]);
  a.transport.send('b', beat(2));
  expect(await tap.taken(1)).toHaveLength(1);
});

test('letters of more than one byte arrive whole, and one message goes to many as one that is made for each', async () => {
  const [a, b] = [await open('a'), await open('b')];
  const message: PeerMessage = {
    kind: 'heartbeat',
    session: 1,
    boot: 'é€😀',
    seq: 1,
    configVersion: 1,
    closed: false,
  };
  for (const each of [message, beat(2), message]) a.transport.send('b', each);
  expect((await b.inbox.until(3)).map((it) => it.message)).toEqual([message, beat(2), message]);
  expect(dropsOf(b.transport)).toEqual({});
});

test('as many holdings as one message may have fit a packet', async () => {
  const names = ['a'.repeat(150), 'b'.repeat(150)] as const;
  const [a, b] = [await open('a', BOTH_OLD, names[0]), await open('b', BOTH_OLD, names[1])];
  a.transport.setPeers(new Map([[names[1], addressOf('b')]]));
  const holding = { address: '203.113.113.100', right: { epoch: 99, index: 9 }, blocksVersion: 9999 };
  const holdings = Array.from({ length: MOVED_BYTES_MAX / holdingBytes(holding) }, () => holding);
  const [session, after, upTo] = [99_999_999, 99_999_999, 99_999_999];
  const message: PeerMessage = { kind: 'moved', session, after, upTo, holdings };
  a.transport.send(names[1], message);
  expect((await b.inbox.until(1))[0]?.message).toEqual(message);
  expect(warnings).toEqual([]);
});

test('a peer that is down is no error', async () => {
  const { transport, inbox } = await open('a');
  for (let seq = 1; seq <= 3; seq += 1) transport.send('b', beat(seq));
  transport.send('a', beat(9));
  await inbox.until(1);
  expect(warnings).toEqual([]);
});

test('an address that is taken is said to whoever opens', async () => {
  await open('a');
  await expect(open('a')).rejects.toThrow('EADDRINUSE');
});
