import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { EventOccurrence } from '../../kube/eventRecorder.ts';
import { keyMadeAnnotation, ROTATE_ANNOTATION } from '../../policy/names.ts';
import { createLogger } from '../../runtime/logger.ts';
import { SecretApi, type WriteFate } from '../../test/lab/secretApi.ts';
import type { AgentKeys } from '../core/controller/peerKeyFacts.ts';
import { RETIRE_WAIT_MS } from '../core/controller/peerKeyRotation.ts';
import { NO_PEER_KEYS, type PeerKeyIds, type PeerKeys, resolvePeerKeys } from '../core/peerKeys.ts';
import { createPeerKeyKeeper, type PeerKeyKeeper } from './peerKeyKeeper.ts';
import { parsePeerKeySecret } from './peerKeySecret.ts';

const HOUR_MS = 3_600_000;
/** Half a second on an idle machine. */
const HISTORIES_TIMEOUT_MS = 60_000;
const silent = createLogger({ program: 'test', level: 'error', write: () => {} });

/** An agent as far as its keys go: what it has, and what it last said of it. */
class Agent {
  keys: PeerKeys | undefined;
  said: PeerKeyIds = NO_PEER_KEYS;

  read(api: SecretApi): void {
    const named = api.object === undefined ? undefined : parsePeerKeySecret(api.object);
    if (named !== undefined) this.keys = resolvePeerKeys(named, this.keys) ?? this.keys;
  }

  report(): void {
    const { keys } = this;
    if (keys !== undefined)
      this.said = { accepted: keys.accepted.map(({ id }) => id), signing: keys.signing.id };
  }

  hears({ keys }: Agent): boolean {
    const signing = keys?.signing;
    const known = this.keys?.accepted.find(({ id }) => id === signing?.id);
    return signing !== undefined && known !== undefined && Buffer.compare(known.secret, signing.secret) === 0;
  }
}

class World {
  readonly api = new SecretApi();
  readonly agents = [new Agent(), new Agent(), new Agent()] as const;
  readonly occurrences: EventOccurrence[] = [];
  readonly ages: number[] = [];
  wallMs = Date.UTC(2026, 0, 1);
  monotonicMs = 0;
  leading = true;
  listed = true;
  /** Numbers of keys follow each other, unless chance is wanted. */
  random: () => number = () => 0;
  keeper: PeerKeyKeeper = this.lead();

  lead(): PeerKeyKeeper {
    return createPeerKeyKeeper({
      client: this.api.client,
      namespace: 'net',
      rotateEveryMs: 24 * HOUR_MS,
      agents: () => (this.listed ? this.#statements() : undefined),
      leads: () => this.leading,
      events: { record: (it) => this.occurrences.push(it), stop: async () => {} },
      onAge: (ageMs) => this.ages.push(ageMs),
      logger: silent,
      now: () => ({ wallMs: this.wallMs, monotonicMs: this.monotonicMs }),
      random: () => this.random(),
    });
  }

  #statements(): readonly AgentKeys[] {
    return this.agents.map(({ said }, index) => ({ node: `n${index}`, presence: 'ready', ...said }));
  }

  get reasons(): readonly string[] {
    return this.occurrences.map(({ reason }) => reason);
  }

  pass(ms: number): void {
    this.wallMs += ms;
    this.monotonicMs += ms;
  }

  /** Everybody reads and says so, until the keeper has nothing left to do. */
  async settle(): Promise<void> {
    for (let round = 0; round < 8; round += 1) {
      await this.keeper.look();
      for (const agent of this.agents) agent.read(this.api);
      for (const agent of this.agents) agent.report();
      this.pass(RETIRE_WAIT_MS);
    }
  }

  get text(): string {
    const named = parsePeerKeySecret(this.api.object);
    if (named === undefined) return 'nothing';
    const ids = named.keys.map(({ id, secret }) => `${id}${secret === undefined ? '?' : ''}`);
    return `${ids.join(' ')} by ${named.signing}`;
  }

  /** Pairs of agents, both with keys, of which one would not hear the other. */
  get deaf(): readonly string[] {
    const { agents } = this;
    return agents.flatMap((to, at) =>
      agents.flatMap((from, index) =>
        to.keys === undefined || from.keys === undefined || to.hears(from) ? [] : [`${index} → ${at}`],
      ),
    );
  }
}

async function settled(): Promise<World> {
  const world = new World();
  await world.settle();
  world.occurrences.length = 0;
  return world;
}

const base64 = (bytes: number): string => Buffer.alloc(bytes, 7).toString('base64');

test('the first key is made and dated, and after that nothing is written', async () => {
  const world = new World();
  await world.settle();
  expect([world.text, world.reasons]).toEqual(['1 by 1', ['PeerKeyMade']]);
  expect(world.api.object?.metadata.annotations).toEqual({ [keyMadeAnnotation(1)]: '2026-01-01T00:00:00Z' });
});

test('an old key is changed in three steps, each said once on the Secret', async () => {
  const world = await settled();
  world.pass(25 * HOUR_MS);
  await world.settle();
  expect(world.text).toBe('2 by 2');
  expect(world.reasons).toEqual(['PeerKeyAdded', 'PeerKeySigning', 'PeerKeyRetired']);
  expect(world.occurrences[0]?.regarding).toEqual({
    apiVersion: 'v1',
    kind: 'Secret',
    name: 'sallyport-peer-key',
    namespace: 'net',
    uid: 'uid',
  });
  expect(Object.keys(world.api.object?.metadata.annotations ?? {})).toEqual([keyMadeAnnotation(2)]);
});

test('an annotation asks for a new key, is answered once and taken off; what others wrote stays', async () => {
  const world = await settled();
  world.api.edit((data, annotations) => {
    annotations[ROTATE_ANNOTATION] = '';
    annotations.theirs = 'kept';
    data.theirs = 'a2VwdA==';
  });
  await world.settle();
  expect(world.text).toBe('2 by 2');
  expect(world.api.object?.metadata.annotations).toEqual({
    theirs: 'kept',
    [keyMadeAnnotation(2)]: expect.any(String),
  });
  expect(world.api.object?.data.theirs).toBe('a2VwdA==');
});

test('asked while a key is being changed, it changes it once more afterwards', async () => {
  const world = await settled();
  const ask = () =>
    world.api.edit((_data, annotations) => {
      annotations[ROTATE_ANNOTATION] = 'now';
    });
  ask();
  await world.keeper.look();
  ask();
  await world.settle();
  await world.settle();
  expect(world.text).toBe('3 by 3');
});

test('the age of the key is told at each look', async () => {
  const world = await settled();
  world.ages.length = 0;
  world.pass(HOUR_MS);
  await world.keeper.look();
  expect(world.ages).toEqual([HOUR_MS + 8 * RETIRE_WAIT_MS]);
});

describe('nothing is written', () => {
  test('while it is not known what agents have', async () => {
    const world = new World();
    world.listed = false;
    await world.settle();
    expect(world.api.object).toBeUndefined();
  });

  test('by one that leads no more', async () => {
    const world = new World();
    world.leading = false;
    await world.settle();
    expect(world.api.object).toBeUndefined();
  });
});

describe('a write that fails', () => {
  test.each<{ readonly fate: WriteFate; readonly after: string }>([
    { fate: 'lost', after: '1 2 by 1' },
    { fate: 'dropped', after: '1 by 1' },
    { fate: 'forbidden', after: '1 by 1' },
  ])('by being $fate is looked at again, and the change is made once', async ({ fate, after }) => {
    const world = await settled();
    world.pass(25 * HOUR_MS);
    world.api.fate = fate;
    expect(await world.keeper.look()).toBe(1000);
    expect(world.text).toBe(after);
    await world.settle();
    expect(world.text).toBe('2 by 2');
  });

  test('of two that look at once one writes, and the other goes on from there', async () => {
    const world = await settled();
    const other = world.lead();
    await other.look();
    world.pass(25 * HOUR_MS);
    await Promise.all([world.keeper.look(), other.look()]);
    expect(world.text).toBe('1 2 by 1');
    expect(world.reasons).toEqual(['PeerKeyAdded']);
  });

  test('because somebody changed the Secret meanwhile does not undo that', async () => {
    const world = await settled();
    world.pass(25 * HOUR_MS);
    world.api.meanwhile = () =>
      world.api.edit((data) => {
        data.theirs = 'a2VwdA==';
      });
    await world.keeper.look();
    expect([world.text, world.api.object?.data.theirs]).toEqual(['1 by 1', 'a2VwdA==']);
  });
});

describe('a Secret that somebody', () => {
  test('deleted comes back with the key in use and a new one beside it', async () => {
    const world = await settled();
    const before = world.api.object?.data['key-1'];
    world.api.remove();
    await world.keeper.look();
    expect([world.text, world.api.object?.data['key-1']]).toEqual(['1 2 by 1', before]);
    await world.settle();
    expect([world.text, world.deaf]).toEqual(['2 by 2', []]);
  });

  test('deleted while an agent alone knew its new key gets one of another number', async () => {
    const world = await settled();
    const [agent] = world.agents;
    world.random = drawing();
    world.pass(25 * HOUR_MS);
    world.api.fate = 'lost';
    await world.keeper.look();
    agent.read(world.api);
    world.api.remove();
    await world.keeper.look();
    const known = agent.keys?.accepted.map(({ id }) => id) ?? [];
    const named = parsePeerKeySecret(world.api.object)?.keys.map(({ id }) => id) ?? [];
    expect([known.length, named.length]).toEqual([2, 2]);
    expect(named.filter((id) => known.includes(id))).toEqual([1]);
  });

  test('deleted while nobody led comes back with the key in use by its number alone', async () => {
    const world = await settled();
    world.api.remove();
    world.keeper = world.lead();
    await world.keeper.look();
    expect(world.text).toBe('1? 2 by 1');
    await world.settle();
    expect([world.text, world.deaf]).toEqual(['2 by 2', []]);
  });

  test.each<{ readonly name: string; readonly damage: (data: Record<string, string>) => void }>([
    { name: 'a key of another length', damage: (data) => Object.assign(data, { 'key-1': base64(31) }) },
    { name: 'a key that is no base64', damage: (data) => Object.assign(data, { 'key-1': '%%%' }) },
    { name: 'no key', damage: (data) => Reflect.deleteProperty(data, 'key-1') },
    { name: 'nothing that is signed with', damage: (data) => Reflect.deleteProperty(data, 'signing') },
    { name: 'a word in place of a number', damage: (data) => Object.assign(data, { signing: base64(4) }) },
    { name: 'half of a new key', damage: (data) => Object.assign(data, { 'key-2': base64(5) }) },
    {
      name: 'nothing at all',
      damage: (data) => Object.keys(data).map((it) => Reflect.deleteProperty(data, it)),
    },
  ])('left with $name is repaired, and the key in use is still the same', async ({ damage }) => {
    for (const remembers of [true, false]) {
      const world = await settled();
      const [agent] = world.agents;
      const before = agent.keys?.signing.secret;
      world.api.edit(damage);
      if (!remembers) world.keeper = world.lead();
      for (const it of world.agents) it.read(world.api);
      await world.keeper.look();
      for (const it of world.agents) it.read(world.api);
      expect([agent.keys?.signing.secret, world.deaf]).toEqual([before, []]);
      await world.settle();
      expect(world.text).toMatch(/^(\d+) by \1$/);
    }
  });
});

/** What may happen between two looks at the world. */
type Happening =
  | { readonly kind: 'read' | 'report' | 'restart'; readonly agent: number }
  | { readonly kind: 'look' | 'pass' | 'ask' | 'delete' | 'new-leader' }
  | { readonly kind: 'damage'; readonly field: 'key' | 'signing' }
  | { readonly kind: 'fate'; readonly fate: WriteFate }
  | { readonly kind: 'clock'; readonly wallMs: number };

function damage(world: World, field: 'key' | 'signing'): void {
  world.api.edit((data) => {
    const name = field === 'key' ? Object.keys(data).findLast((it) => it.startsWith('key-')) : 'signing';
    if (name !== undefined) data[name] = base64(9);
  });
}

async function happen(world: World, it: Happening): Promise<void> {
  switch (it.kind) {
    case 'read':
      return world.agents[it.agent % 3]?.read(world.api);
    case 'report':
      return world.agents[it.agent % 3]?.report();
    case 'restart': {
      const agent = world.agents[it.agent % 3];
      if (agent === undefined) return;
      // It has no keys until it has read; what it said in its last life stands until it reports.
      agent.keys = undefined;
      return agent.read(world.api);
    }
    case 'look':
      await world.keeper.look();
      return;
    case 'pass':
      return world.pass(RETIRE_WAIT_MS);
    case 'ask':
      return world.api.edit((_data, annotations) => {
        annotations[ROTATE_ANNOTATION] = 'now';
      });
    case 'delete':
      return world.api.remove();
    case 'new-leader':
      world.keeper = world.lead();
      return;
    case 'damage':
      return damage(world, it.field);
    case 'fate':
      world.api.fate = it.fate;
      return;
    case 'clock':
      world.wallMs = it.wallMs;
      return;
    default:
      it satisfies never;
  }
}

const often: fc.Arbitrary<Happening> = fc.oneof(
  fc.record({ kind: fc.constantFrom('read', 'report'), agent: fc.nat(2) }),
  fc.record({ kind: fc.constantFrom('look', 'pass') }),
);
const calm: fc.Arbitrary<Happening> = fc.oneof(
  fc.record({ kind: fc.constantFrom('ask', 'new-leader') }),
  fc.record({ kind: fc.constant('restart'), agent: fc.nat(2) }),
  fc.record({ kind: fc.constant('fate'), fate: fc.constantFrom('lost', 'dropped', 'forbidden') }),
  fc.record({ kind: fc.constant('clock'), wallMs: fc.integer({ min: 0, max: 1e14 }) }),
);
/** Without restarts: an agent that starts while the key in use is with the other agents alone has no way to it. */
const rough: fc.Arbitrary<Happening> = fc.oneof(
  fc.record({ kind: fc.constantFrom('ask', 'delete', 'new-leader') }),
  fc.record({ kind: fc.constant('damage'), field: fc.constantFrom('key', 'signing') }),
  fc.record({ kind: fc.constant('fate'), fate: fc.constantFrom('lost', 'dropped', 'forbidden') }),
);

/** The same for every run: a linear congruential generator with the numbers of Numerical Recipes, third edition. */
function drawing(): () => number {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('in any order in which looks, readings and reports can come, every agent hears every other', () => {
  test.each([
    { name: 'while keys are changed, leaders too, agents restart and the clock jumps', seldom: calm },
    { name: 'while the Secret is deleted and damaged and leaders change', seldom: rough },
  ])(
    '$name',
    async ({ seldom }) => {
      const happenings = fc.array(
        fc.oneof({ weight: 6, arbitrary: often }, { weight: 1, arbitrary: seldom }),
        {
          maxLength: 120,
          size: 'max',
        },
      );
      await fc.assert(
        fc.asyncProperty(happenings, async (history) => {
          const world = await settled();
          world.random = drawing();
          for (const it of history) {
            await happen(world, it);
            expect(world.deaf).toEqual([]);
          }
          world.api.fate = 'done';
          await world.settle();
          await world.settle();
          expect(world.deaf).toEqual([]);
          expect(world.text).toMatch(/^(\d+) by \1$/);
        }),
        { numRuns: 150 },
      );
    },
    HISTORIES_TIMEOUT_MS,
  );
});
