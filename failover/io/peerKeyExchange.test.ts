/**
 * Three agents' transports over the loopback device, the real keeper, and a Secret that goes through whole changes of its
 * key while each agent learns of every step at another time. At each of these moments packets of every agent to every
 * other are under way: not one may be dropped.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseAddress } from '../../policy/address.ts';
import type { Address } from '../../policy/model.ts';
import { ROTATE_ANNOTATION } from '../../policy/names.ts';
import { createLogger } from '../../runtime/logger.ts';
import { SecretApi } from '../../test/lab/secretApi.ts';
import { RETIRE_WAIT_MS } from '../core/controller/peerKeyRotation.ts';
import { NO_PEER_KEYS, type PeerKeyIds, type PeerKeys, resolvePeerKeys } from '../core/peerKeys.ts';
import { createPeerKeyKeeper, type PeerKeyKeeper } from './peerKeyKeeper.ts';
import { parsePeerKeySecret } from './peerKeySecret.ts';
import { DROP_REASONS, openPeerTransport, type PeerTransport } from './peerTransport.ts';

const HOSTS = ['127.0.0.21', '127.0.0.22', '127.0.0.23'] as const;
const ORDERS = [
  [0, 1, 2],
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
] as const;
type Order = readonly number[];
/** The steps of a change in which agents learn something: a key is added, signed with, and the other removed. */
const STEPS = 3;
/** A tenth of it on an idle machine. */
const TIMEOUT_MS = 60_000;
const silent = createLogger({ program: 'test', level: 'error', write: () => {} });

function addressOf(host: string): Address {
  const parsed = parseAddress(host);
  if (parsed.kind !== 'ok') throw new Error(parsed.error.message);
  return parsed.value;
}

interface Agent {
  readonly name: string;
  readonly transport: PeerTransport;
  keys: PeerKeys | undefined;
  said: PeerKeyIds;
}

class Exchange {
  readonly api = new SecretApi();
  readonly agents: Agent[] = [];
  readonly warnings: string[] = [];
  /** Agents claim to accept whatever the Secret names, whether or not they have read it. */
  boastful = false;
  keeper: PeerKeyKeeper = this.lead();
  #monotonicMs = 0;
  #sent = 0;
  #heard = 0;

  async open(port: number): Promise<void> {
    for (const [index, host] of HOSTS.entries()) {
      const name = `n${index}`;
      const transport = await openPeerTransport({
        node: name,
        address: addressOf(host),
        port,
        onMessage: () => {
          this.#heard += 1;
        },
        warn: (message) => this.warnings.push(message),
      });
      transport.setPeers(new Map(HOSTS.map((peer, at) => [`n${at}`, addressOf(peer)])));
      this.agents.push({ name, transport, keys: undefined, said: NO_PEER_KEYS });
    }
  }

  lead(): PeerKeyKeeper {
    return createPeerKeyKeeper({
      client: this.api.client,
      namespace: 'net',
      rotateEveryMs: 0,
      agents: () =>
        this.agents.map(({ name, said }) => ({ node: name, presence: 'ready', ...said, ...this.#boast() })),
      leads: () => true,
      events: { record: () => {}, stop: async () => {} },
      onAge: () => {},
      logger: silent,
      now: () => ({ wallMs: Date.UTC(2026, 0, 1) + this.#monotonicMs, monotonicMs: this.#monotonicMs }),
      random: () => 0,
    });
  }

  #boast(): Partial<PeerKeyIds> {
    const named = parsePeerKeySecret(this.api.object);
    return this.boastful && named !== undefined ? { accepted: named.keys.map(({ id }) => id) } : {};
  }

  get ids(): readonly number[] {
    return parsePeerKeySecret(this.api.object)?.keys.map(({ id }) => id) ?? [];
  }

  /** One packet from each to each, under way when this returns. */
  send(): void {
    for (const from of this.agents)
      for (const to of this.agents) {
        if (from === to) continue;
        this.#sent += 1;
        const seq = this.#sent;
        from.transport.send(to.name, {
          kind: 'heartbeat',
          session: 1,
          boot: 'x',
          seq,
          configVersion: 1,
          closed: false,
        });
      }
  }

  /** Until every packet was looked at. */
  async arrive(): Promise<void> {
    while (this.#heard + this.drops < this.#sent) await setImmediate();
  }

  get drops(): number {
    const dropped = this.agents.map(({ transport }) => transport.dropped());
    return dropped.reduce(
      (sum, it) => sum + DROP_REASONS.reduce((total, reason) => total + it[reason], 0),
      0,
    );
  }

  /** An agent reads the Secret and says so. */
  learn(index: number): void {
    const agent = this.agents[index];
    const named = parsePeerKeySecret(this.api.object);
    if (agent === undefined || named === undefined) return;
    const keys = resolvePeerKeys(named, agent.keys);
    if (keys === undefined) return;
    agent.keys = keys;
    agent.transport.setKeys(keys);
    agent.said = agent.transport.keyIds();
  }

  /** The keeper looks after each agent that has learned: with the last one the next step is due, and not before. */
  async step(order: Order): Promise<void> {
    for (const index of order) {
      this.send();
      await this.keeper.look();
      this.learn(index);
      await this.arrive();
      this.#monotonicMs += RETIRE_WAIT_MS;
    }
    this.send();
    await this.arrive();
    await this.keeper.look();
    this.#monotonicMs += RETIRE_WAIT_MS;
    await this.keeper.look();
  }

  async begin(): Promise<void> {
    await this.keeper.look();
    for (const index of [0, 1, 2]) this.learn(index);
  }

  ask(): void {
    this.api.edit((_data, annotations) => {
      annotations[ROTATE_ANNOTATION] = 'now';
    });
  }
}

let exchange: Exchange;

beforeEach(async () => {
  const probe = createSocket('udp4');
  probe.bind(0, HOSTS[0]);
  await once(probe, 'listening');
  const { port } = probe.address();
  await new Promise<void>((resolve) => probe.close(() => resolve()));
  exchange = new Exchange();
  await exchange.open(port);
  await exchange.begin();
});

afterEach(async () => {
  await Promise.all(exchange.agents.map(({ transport }) => transport.close()));
});

/** How the change begins. */
const BEGINNINGS = [
  { name: 'somebody asks', begin: () => exchange.ask() },
  { name: 'the Secret is deleted', begin: () => exchange.api.remove() },
  {
    name: 'the Secret is deleted, and its keeper with it',
    begin: () => {
      exchange.api.remove();
      exchange.keeper = exchange.lead();
    },
  },
] as const;

describe.each(BEGINNINGS)('no packet is dropped while a key is changed, since $name', ({ begin }) => {
  test.each(ORDERS)(
    'and agents learn of the new key as %i, %i, %i, and of the rest in every order',
    async (...first) => {
      let [id = 0] = exchange.ids;
      for (const second of ORDERS)
        for (const third of ORDERS) {
          begin();
          await exchange.keeper.look();
          expect(exchange.ids).toEqual([id, id + 1]);
          for (const order of [first, second, third]) await exchange.step(order);
          id += 1;
          expect([exchange.ids, exchange.drops]).toEqual([[id], 0]);
        }
      expect(exchange.agents.map(({ said }) => said)).toEqual(Array(3).fill({ accepted: [id], signing: id }));
      expect(exchange.warnings).toEqual([]);
    },
    TIMEOUT_MS,
  );
});

test('where a key is signed with before all accept it packets are dropped: this rig sees it', async () => {
  exchange.boastful = true;
  exchange.ask();
  await exchange.keeper.look();
  for (let step = 0; step < STEPS; step += 1) await exchange.step([0, 1, 2]);
  const dropped = exchange.agents.map(({ transport }) => transport.dropped()['no-key']);
  expect(dropped.reduce((sum, it) => sum + it, 0)).toBeGreaterThan(0);
});
