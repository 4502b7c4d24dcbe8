import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { formatAddress, makeAddress, parseAddress } from '../../policy/address.ts';
import type { Address } from '../../policy/model.ts';
import { GuardKernel } from '../../test/lab/ownershipNetwork.ts';
import type { KernelOutcome } from '../core/dataPlane.ts';
import { REFRESH_MS } from '../core/ownership/announceArmed.ts';
import type { Assignment } from '../core/ownership/assignment.ts';
import { deriveDurations } from '../core/ownership/durations.ts';
import type { PeerMessage } from '../core/ownership/messages.ts';
import { soleUplink, type Uplinks } from '../core/uplinks.ts';
import type { KernelGate } from './answerGate.ts';
import type { FromOwnership } from './ownershipProtocol.ts';
import { OwnershipRunner } from './ownershipRunner.ts';
import { DROP_REASONS, type DropReason, type PeerKeys } from './peerTransport.ts';

const IP = '203.0.113.10';
const DURATIONS = deriveDurations({ heartbeatMs: 25, sessionMs: 200 });
const COMMAND_MS = 1;

function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed.kind !== 'ok') throw new Error(parsed.error.message);
  return parsed.value;
}

type Failing = keyof KernelGate;

/** A kernel that answers after a millisecond; what is in `failing` it refuses, and does not do. */
class FakeGate implements KernelGate {
  readonly kernel = new GuardKernel();
  readonly failing = new Set<Failing>();
  guarded: readonly string[] = [];
  standingBy: readonly string[] = [];
  announced: readonly string[] = [];
  refreshed: readonly string[] = [];
  reasserted = 0;
  uplinks: Uplinks | undefined;

  async #take(what: Failing, change: () => void): Promise<KernelOutcome> {
    await new Promise((resolve) => setTimeout(resolve, COMMAND_MS));
    if (this.failing.has(what)) return { kind: 'refused', message: `no ${what} today` };
    change();
    return { kind: 'ok' };
  }

  #run(command: Parameters<GuardKernel['run']>[0]): Promise<KernelOutcome> {
    return this.#take(command.kind, () => this.kernel.run(command, performance.now(), DURATIONS));
  }

  flush(): Promise<KernelOutcome> {
    return this.#take('flush', () => this.kernel.flush());
  }

  setUplinks(uplinks: Uplinks): Promise<KernelOutcome> {
    return this.#take('setUplinks', () => {
      this.uplinks = uplinks;
    });
  }

  guard(addresses: readonly Address[]): Promise<KernelOutcome> {
    return this.#take('guard', () => {
      this.guarded = addresses.map(formatAddress);
    });
  }

  standBy(addresses: readonly Address[]): Promise<KernelOutcome> {
    return this.#take('standBy', () => {
      this.standingBy = addresses.map(formatAddress);
    });
  }

  beat(session: number, seq: number): Promise<KernelOutcome> {
    return this.#run({ kind: 'beat', session, seq });
  }

  grant(session: number, seq: number): void {
    void this.#run({ kind: 'grant', session, seq });
  }

  arm(to: Address, session: number): Promise<KernelOutcome> {
    return this.#run({ kind: 'arm', address: formatAddress(to), session });
  }

  disarm(from: Address): Promise<KernelOutcome> {
    return this.#run({ kind: 'disarm', address: formatAddress(from), session: 0 });
  }

  /** Address → where this node sends its packets. */
  readonly steered = new Map<string, string>();

  steer(address: Address, gateway: Address): void {
    this.steered.set(formatAddress(address), formatAddress(gateway));
  }

  refresh(addresses: readonly Address[]): void {
    this.refreshed = [...this.refreshed, ...addresses.map(formatAddress)];
  }

  announce(addresses: readonly Address[]): void {
    this.announced = [...this.announced, ...addresses.map(formatAddress)];
  }

  reassert(): Promise<KernelOutcome> {
    return this.#take('reassert', () => {
      this.reasserted += 1;
    });
  }

  async readFenced(): Promise<number> {
    return 42;
  }

  get answers(): boolean {
    return this.kernel.answers(IP, performance.now());
  }
}

/** A node that is its only voter: what it says to itself comes back, what it says to others lies on the wire. */
class World {
  readonly gate = new FakeGate();
  readonly posted: FromOwnership[] = [];
  readonly wire: { readonly to: string; readonly message: PeerMessage; readonly live: number }[] = [];
  peers: ReadonlyMap<string, Address> = new Map();
  keys: PeerKeys | undefined;
  /** Nothing comes back from the own voter. */
  deaf = false;
  readonly runner: OwnershipRunner;

  constructor() {
    this.runner = new OwnershipRunner({
      settings: {
        node: 'gw',
        address: address('192.0.2.1'),
        uplinks: soleUplink('eth0'),
        peerPort: 1,
        durations: DURATIONS,
        execPrefix: [],
        token: new Uint8Array(),
      },
      incarnation: () => 'i',
      gate: this.gate,
      transport: {
        send: (to, message) => this.#send(to, message),
        setKeys: (keys) => {
          this.keys = keys;
        },
        setPeers: (peers) => {
          this.peers = peers;
        },
        dropped: () =>
          Object.fromEntries(DROP_REASONS.map((it, index) => [it, index])) as Record<DropReason, number>,
      },
      post: (message) => this.posted.push(message),
      monotonicMs: () => performance.now(),
    });
  }

  #send(to: string, message: PeerMessage): void {
    this.wire.push({ to, message, live: this.gate.kernel.sentAtMs.size });
    if (to === 'gw' && !this.deaf)
      setImmediate(() => this.runner.post({ kind: 'received', from: 'gw', message }));
  }

  said<K extends FromOwnership['kind']>(kind: K): readonly Extract<FromOwnership, { readonly kind: K }>[] {
    return this.posted.filter((it): it is Extract<FromOwnership, { readonly kind: K }> => it.kind === kind);
  }

  heartbeats(): readonly number[] {
    return this.wire.flatMap(({ to, message }) =>
      to === 'gw' && message.kind === 'heartbeat' ? [message.seq] : [],
    );
  }

  assign(...assignments: readonly Assignment[]): void {
    const all = new Map(assignments.map((it) => [it.address, it]));
    this.runner.handle({ kind: 'event', event: { kind: 'assigned', assignments: all } });
  }
}

const MINE: Assignment = {
  address: IP,
  epoch: 1,
  order: [{ gateway: 'gw', session: 1 }],
  fence: [],
  blocksVersion: 1,
};

let world: World;

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'performance'],
  });
  world = new World();
});

afterEach(() => {
  world.runner.stop();
  vi.useRealTimers();
});

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** A valid session; the voter's silence at its start is over. */
async function opened(): Promise<void> {
  const { runner } = world;
  runner.handle({ kind: 'event', event: { kind: 'configured', config: { version: 1, sets: [['gw']] } } });
  await pass(Math.ceil(DURATIONS.startSilenceMs));
  runner.handle({ kind: 'event', event: { kind: 'opened', session: 1, boot: 'b' } });
  await pass(30);
}

async function answering(): Promise<void> {
  await opened();
  world.assign(MINE);
  await pass(30);
  expect(world.gate.answers).toBe(true);
}

test('neighbours are told again by one word, not by an announcement', async () => {
  await answering();
  await pass(REFRESH_MS);
  expect(world.gate.refreshed).toEqual([IP]);
  expect(world.gate.announced).toEqual([IP]);
});

test('an assignment ends in a kernel that answers, neighbours that know and a word to the main thread', async () => {
  await answering();
  expect(world.gate.announced).toEqual([IP]);
  expect(world.gate.guarded).toEqual([IP]);
  expect(world.said('word').at(-1)?.word).toMatchObject({
    session: 1,
    holdings: [{ address: IP, right: { epoch: 1, index: 0 }, blocksVersion: 1 }],
    config: { version: 1, sets: [['gw']] },
  });
});

test('the kernel goes on answering as time passes, and nothing is said twice', async () => {
  await answering();
  const { length } = world.posted;
  for (let ms = 0; ms < 2000; ms += 10) {
    await pass(10);
    expect(world.gate.answers).toBe(true);
  }
  expect(world.posted).toHaveLength(length);
});

test('a heartbeat leaves when the kernel holds its element and not before', async () => {
  await answering();
  const beats = world.wire.filter(({ to, message }) => to === 'gw' && message.kind === 'heartbeat');
  expect(beats.map(({ live }) => live)).toEqual(beats.map((_, index) => index + 1));
});

test('without answers the kernel falls silent by itself, the lapse is logged, and the session goes on when it is heard', async () => {
  await answering();
  world.deaf = true;
  await pass(1000);
  expect(world.gate.answers).toBe(false);
  const logged = world.said('log').map(({ message }) => message);
  expect(logged).toContain('the session lapsed: no majority of voters granted it in time');
  world.deaf = false;
  await pass(1000);
  expect(world.gate.answers).toBe(true);
  expect(world.said('session-over')).toEqual([]);
});

test('a flush is confirmed when the kernel has done it, and a failed one after a pause', async () => {
  world.runner.handle({ kind: 'flush' });
  expect(world.said('flushed')).toEqual([]);
  await pass(COMMAND_MS + 1);
  expect(world.said('flushed')).toEqual([{ kind: 'flushed', ok: true }]);
  world.gate.failing.add('flush');
  world.runner.handle({ kind: 'flush' });
  await pass(COMMAND_MS + 249);
  expect(world.said('flushed')).toHaveLength(1);
  await pass(1);
  expect(world.said('flushed')[1]).toEqual({ kind: 'flushed', ok: false });
});

test('an arming that fails is undone and tried again, once in a while and not in a hot loop', async () => {
  await opened();
  world.gate.failing.add('arm');
  world.assign(MINE);
  await pass(2000);
  expect(world.gate.answers).toBe(false);
  const tries = world.said('log').filter(({ message }) => message === 'answering for an egress IP').length;
  expect(tries).toBeGreaterThan(3);
  expect(tries).toBeLessThan(10);
  expect(world.said('log').find(({ message }) => message === 'arming failed')?.fields).toEqual({
    outcome: 'refused',
    reason: 'no arm today',
  });
  world.gate.failing.clear();
  await pass(300);
  expect(world.gate.answers).toBe(true);
});

test('a disarming that fails is tried again until the kernel is silent, and only then said', async () => {
  await answering();
  world.gate.failing.add('disarm');
  world.assign();
  await pass(1000);
  expect(world.gate.answers).toBe(true);
  world.gate.failing.clear();
  await pass(300);
  expect(world.gate.answers).toBe(false);
  expect(world.said('word').at(-1)?.word.holdings).toEqual([]);
});

test('one heartbeat that the kernel refuses does not silence the gateway', async () => {
  await answering();
  world.gate.failing.add('beat');
  await pass(30);
  world.gate.failing.clear();
  for (let ms = 0; ms < 400; ms += 5) {
    await pass(5);
    expect(world.gate.answers).toBe(true);
  }
});

test('heartbeats go on after one that the kernel refused, with a number of its own', async () => {
  await answering();
  const before = world.heartbeats().at(-1) ?? 0;
  world.gate.failing.add('beat');
  await pass(26);
  world.gate.failing.clear();
  await pass(300);
  const after = world.heartbeats().filter((seq) => seq > before);
  expect(after[0]).toBe(before + 2);
});

test('a guarding that failed is done with the next assignments, also where they name the same', async () => {
  world.gate.failing.add('guard');
  world.assign(MINE);
  await pass(5);
  world.gate.failing.clear();
  world.assign(MINE);
  await pass(5);
  expect(world.gate.guarded).toEqual([IP]);
});

test('a gateway that says it answers is followed at once, an older word of another is not', async () => {
  const [one, two] = [makeAddress(4, 0xcb00710cn), makeAddress(4, 0xcb00710dn)];
  const peers = new Map([
    ['gw-2', one],
    ['gw-3', two],
  ]);
  const say = (from: string, epoch: number, index: number): void =>
    world.runner.post({
      kind: 'received',
      from,
      message: {
        kind: 'moved',
        session: 1,
        after: 0,
        upTo: 1,
        holdings: [{ address: IP, right: { epoch, index }, blocksVersion: 1 }],
      },
    });
  world.runner.handle({ kind: 'peers', peers });
  world.assign(MINE);
  say('gw-2', 0, 0);
  expect(world.gate.steered.get(IP)).toBeUndefined();
  say('gw-2', 1, 1);
  expect(world.gate.steered.get(IP)).toBe(formatAddress(one));
  say('gw-3', 1, 0);
  expect(world.gate.steered.get(IP)).toBe(formatAddress(one));
  world.runner.handle({ kind: 'rights', rights: new Map([[IP, { epoch: 5, index: 0 }]]) });
  say('gw-3', 4, 0);
  expect(world.gate.steered.get(IP)).toBe(formatAddress(one));
  say('gw-3', 5, 1);
  expect(world.gate.steered.get(IP)).toBe(formatAddress(two));
});

test('of an address that was gone nothing is remembered: the same right is followed again', () => {
  const gateway = makeAddress(4, 0xcb00710cn);
  const followed = (): string | undefined => {
    world.gate.steered.clear();
    const holdings = [{ address: IP, right: { epoch: 1, index: 0 }, blocksVersion: 1 }];
    const message: PeerMessage = { kind: 'moved', session: 1, after: 0, upTo: 1, holdings };
    world.runner.post({ kind: 'received', from: 'gw-2', message });
    return world.gate.steered.get(IP);
  };
  world.runner.handle({ kind: 'peers', peers: new Map([['gw-2', gateway]]) });
  world.assign(MINE);
  expect(followed()).toBe(formatAddress(gateway));
  expect(followed()).toBeUndefined();
  world.assign();
  world.runner.handle({ kind: 'rights', rights: new Map() });
  world.assign(MINE);
  expect(followed()).toBe(formatAddress(gateway));
});

test('a wake that was put off comes all the same: a voter that hears nothing any more speaks in time', async () => {
  world.runner.handle({
    kind: 'event',
    event: { kind: 'configured', config: { version: 1, sets: [['gw']] } },
  });
  await pass(Math.ceil(DURATIONS.startSilenceMs));
  const hears = (from: string, seq: number): void =>
    world.runner.post({
      kind: 'received',
      from,
      message: { kind: 'heartbeat', session: 1, boot: from, seq, configVersion: 1, closed: false },
    });
  hears('a', 1);
  hears('b', 1);
  await pass(25);
  hears('b', 2);
  await pass(75);
  hears('a', 2);
  const dead = (): number =>
    world.wire.filter(({ message }) => message.kind === 'statements' && Object.hasOwn(message.dead, 'b'))
      .length;
  await pass(Math.floor(DURATIONS.promiseMs) - 75);
  expect(dead()).toBe(0);
  await pass(2);
  expect(dead()).toBe(1);
});

test('the main thread hears each word once', async () => {
  await answering();
  world.assign(MINE);
  await pass(500);
  const words = world
    .said('word')
    .map(({ word }) => JSON.stringify({ ...word, released: [...word.released] }));
  expect(words).toEqual(words.filter((word, index) => word !== words[index - 1]));
  expect(words.length).toBeGreaterThan(1);
});

test('how long the thread stood still is counted', async () => {
  await answering();
  await pass(15_000);
  expect(world.said('stats').at(-1)?.stats.longestStallMs).toBeLessThan(2);
  const nowMs = performance.now.bind(performance);
  const ahead = vi.spyOn(performance, 'now').mockImplementation(() => nowMs() + 100);
  await pass(15_000);
  ahead.mockRestore();
  // The next heartbeat was at most 25 ms away.
  expect(world.said('stats').at(-1)?.stats.longestStallMs).toBeGreaterThanOrEqual(75);
});

test('a closing lets go of everything, tells the voters and then the main thread', async () => {
  await answering();
  world.runner.handle({ kind: 'event', event: { kind: 'close' } });
  await pass(100);
  expect(world.gate.answers).toBe(false);
  expect(world.said('session-closed')).toEqual([{ kind: 'session-closed', session: 1 }]);
  const closed = world.wire.filter(({ message }) => message.kind === 'heartbeat' && message.closed);
  expect(closed).toHaveLength(3);
  const beats = world.heartbeats().length;
  await pass(1000);
  expect(world.heartbeats()).toHaveLength(beats);
});

test('peers are told what is held, and who they are', async () => {
  world.runner.handle({
    kind: 'peers',
    peers: new Map([
      ['gw', address('192.0.2.1')],
      ['w', address('192.0.2.2')],
    ]),
  });
  expect([...world.peers.keys()]).toEqual(['gw', 'w']);
  await answering();
  expect(world.wire.filter(({ to }) => to === 'w').map(({ message }) => message.kind)).toContain('moved');
});

test('what a peer holds is passed on and acknowledged', () => {
  const holdings = [{ address: IP, right: { epoch: 3, index: 0 }, blocksVersion: 1 }];
  const span = { after: 2, upTo: 3 };
  const message: PeerMessage = { kind: 'moved', session: 4, ...span, holdings };
  world.runner.post({ kind: 'received', from: 'other', message });
  expect(world.said('heard-holdings')).toEqual([
    { kind: 'heard-holdings', session: { gateway: 'other', session: 4 }, holdings },
  ]);
  const ack = { kind: 'moved-ack', session: 4, ...span };
  expect(world.wire.map(({ to, message }) => ({ to, message }))).toEqual([{ to: 'other', message: ack }]);
});

test('keys go to the transport, a resync and other uplinks to the kernel', async () => {
  const key = { id: 1, secret: new Uint8Array(32) };
  world.runner.handle({ kind: 'keys', keys: { accepted: [key], signing: key } });
  expect(world.keys?.signing.id).toBe(1);
  world.runner.handle({ kind: 'resync' });
  await pass(2);
  expect(world.gate.reasserted).toBe(1);
  world.runner.handle({ kind: 'uplinks', uplinks: soleUplink('eth1') });
  await pass(2);
  expect(world.gate.uplinks).toEqual(soleUplink('eth1'));
});

test('events that come while one is stepped are stepped after it, in their order', async () => {
  await opened();
  const kinds: string[] = [];
  const span = { after: 0, upTo: 1 };
  world.posted.push = (...messages: FromOwnership[]) => {
    for (const { kind } of messages) {
      kinds.push(kind);
      if (kind === 'heard-holdings' && kinds.length < 4)
        world.runner.post({
          kind: 'received',
          from: 'c',
          message: { kind: 'moved', session: 2, ...span, holdings: [] },
        });
    }
    return messages.length;
  };
  const before = world.wire.length;
  const message: PeerMessage = { kind: 'moved', session: 1, ...span, holdings: [] };
  world.runner.post({ kind: 'received', from: 'b', message });
  expect(kinds).toEqual(['heard-holdings', 'heard-holdings', 'heard-holdings', 'heard-holdings']);
  // The answer to the first is out before the second is begun.
  expect(world.wire.slice(before).map(({ to }) => to)).toEqual(['b', 'c', 'c', 'c']);
});

test('every fifteen seconds what was dropped, fenced, lapsed and stalled is counted', async () => {
  await answering();
  world.deaf = true;
  await pass(300);
  await pass(15_000);
  expect(world.said('stats').at(-1)?.stats).toMatchObject({
    dropped: { truncated: 0, misdirected: 6 },
    fenced: 42,
    lapses: 1,
  });
});

test('a runner that is stopped beats no more', async () => {
  await answering();
  world.runner.stop();
  const beats = world.heartbeats().length;
  await pass(1000);
  // One was in the kernel already.
  expect(world.heartbeats().length).toBeLessThanOrEqual(beats + 1);
  expect(world.gate.answers).toBe(false);
});
