import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Allocation,
  allocatePorts,
  FIRST_PORT,
  GRANULE_PORTS,
  LAST_PORT,
  portsTakenRatio,
} from './portBlocks.ts';

const EMPTY: Allocation = { blocksVersion: 0, blocks: [], resting: [] };
const QUARANTINE_MS = 240_000;

function allocate(
  current: Allocation,
  wants: Readonly<Record<string, number>>,
  change: {
    readonly nowMs?: number;
    readonly nodes?: readonly string[];
    readonly returned?: Readonly<Record<string, number>>;
  } = {},
) {
  const demand = new Map(Object.entries(wants));
  const nodes = new Set(change.nodes ?? demand.keys());
  return allocatePorts({
    current,
    demand,
    nodes,
    returned: new Map(Object.entries(change.returned ?? {})),
    initialPorts: 512,
    quarantineMs: QUARANTINE_MS,
    nowMs: change.nowMs ?? 0,
  });
}

describe('port blocks', () => {
  test('what is held and what rests counts as taken', () => {
    const half = { node: 'a', version: 1, first: FIRST_PORT, last: FIRST_PORT + 32_255 };
    const rest = { first: half.last + 1, last: LAST_PORT, untilMs: 1 };
    expect(portsTakenRatio(EMPTY, 0)).toBe(0);
    expect(portsTakenRatio({ blocks: [half], resting: [] }, 0)).toBe(0.5);
    expect(portsTakenRatio({ blocks: [half], resting: [rest] }, 0)).toBe(1);
    expect(portsTakenRatio({ blocks: [half], resting: [rest] }, 1)).toBe(0.5);
  });

  test('a node starts with the initial ports, at the version that brings them', () => {
    const { allocation } = allocate(EMPTY, { a: 64, b: 64 });
    expect(allocation).toEqual({
      blocksVersion: 1,
      blocks: [
        { node: 'a', first: 1024, last: 1535, version: 1 },
        { node: 'b', first: 1536, last: 2047, version: 1 },
      ],
      resting: [],
    });
  });

  test('nothing changes, not even the version, while everyone has enough', () => {
    const { allocation } = allocate(EMPTY, { a: 64 });
    expect(allocate(allocation, { a: 512 }).allocation).toBe(allocation);
  });

  test('a node that wants more gets one more block and keeps the first', () => {
    const { allocation } = allocate(EMPTY, { a: 64 });
    const grown = allocate(allocation, { a: 1024 }).allocation;
    expect(grown.blocks).toEqual([...allocation.blocks, { node: 'a', first: 1536, last: 2047, version: 2 }]);
  });

  test('the last eighth is for nodes that have no ports yet', () => {
    const first = allocate(EMPTY, { a: 64 }).allocation;
    const grown = allocate(first, { a: 65_536 });
    const portsOf = (node: string): number =>
      grown.allocation.blocks.reduce((sum, it) => sum + (it.node === node ? it.last - it.first + 1 : 0), 0);
    expect(portsOf('a')).toBe((LAST_PORT + 1 - FIRST_PORT) * (7 / 8));
    const more = allocate(grown.allocation, { a: 65_536, b: 64 });
    expect(more.exhausted).toEqual(['a']);
    expect(more.allocation.blocks.at(-1)).toMatchObject({ node: 'b' });
  });

  test('many nodes start with less, so that each fits', () => {
    const wants = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`n${index}`, 64]));
    const { allocation, exhausted } = allocate(EMPTY, wants);
    expect(exhausted).toEqual([]);
    expect(allocation.blocks).toHaveLength(500);
  });

  test('the block of a node that is gone rests, and is handed out again only after the quarantine', () => {
    const all = Object.fromEntries(Array.from({ length: 1008 }, (_, index) => [`n${index}`, 64]));
    const full = allocate(EMPTY, all).allocation;
    const { n7: _gone, ...rest } = all;
    const left = allocate(full, { ...rest, x: 64 }, { nowMs: 1000 });
    expect(left.exhausted).toEqual(['x']);
    expect(left.allocation.resting).toMatchObject([{ untilMs: 1000 + QUARANTINE_MS }]);
    const later = allocate(left.allocation, { ...rest, x: 64 }, { nowMs: 1001 + QUARANTINE_MS });
    expect(later.exhausted).toEqual([]);
    expect(later.allocation.resting).toEqual([]);
  });

  test('a returned block rests; a later one of the same node stays', () => {
    const first = allocate(EMPTY, { a: 64, b: 64 }).allocation;
    const grown = allocate(first, { a: 1024, b: 64 }).allocation;
    const back = allocate(grown, { a: 1024, b: 64 }, { returned: { a: 1 }, nowMs: 5 }).allocation;
    expect(back.resting).toEqual([{ first: 1024, last: 1535, untilMs: 5 + QUARANTINE_MS }]);
    expect(back.blocks.filter(({ node }) => node === 'a')).toMatchObject([{ version: 2 }, { version: 3 }]);
    expect(back.blocks.find(({ node }) => node === 'b')).toEqual(first.blocks[1]);
  });

  test('the ports that were given back first are handed out first, however long ago that was', () => {
    const all = Object.fromEntries(Array.from({ length: 1008 }, (_, index) => [`n${index}`, 64]));
    let current = allocate(EMPTY, all).allocation;
    const nodes = new Set(Object.keys(all));
    let nowMs = 0;
    const left: number[] = [];
    const firstOf = (node: string): number => current.blocks.find((it) => it.node === node)?.first ?? 0;
    for (const gone of ['n500', 'n20', 'n900', 'n3']) {
      left.push(firstOf(gone));
      nodes.delete(gone);
      nowMs += 1000;
      const wants = Object.fromEntries([...nodes].map((node) => [node, 64]));
      current = allocate(current, wants, { nowMs }).allocation;
    }
    nowMs += 10 * QUARANTINE_MS;
    const given: number[] = [];
    for (const late of ['x1', 'x2', 'x3', 'x4']) {
      nodes.add(late);
      nowMs += 10 * QUARANTINE_MS;
      const wants = Object.fromEntries([...nodes].map((node) => [node, 64]));
      current = allocate(current, wants, { nowMs }).allocation;
      given.push(firstOf(late));
    }
    expect(given).toEqual(left);
    expect(current.resting).toEqual([]);
  });

  // S9: what a peer may still remember of one node's connections, no other node ever sends from or is sent.
  test('no port has two holders or changes hands before its quarantine, over random histories', () => {
    const names = ['a', 'b', 'c', 'd', 'e'];
    const step = fc.record({
      nodes: fc.subarray(names),
      wants: fc.dictionary(fc.constantFrom(...names), fc.integer({ min: 0, max: 40_000 })),
      laterMs: fc.oneof(
        fc.integer({ min: 0, max: QUARANTINE_MS / 4 }),
        fc.integer({ min: 0, max: 2 * QUARANTINE_MS }),
      ),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 20 }), (steps) => {
        let current = EMPTY;
        let nowMs = 0;
        /** First port of a granule → who had it last, and since when not any more. */
        const world = new Map<number, { readonly node: string; readonly leftMs: number | undefined }>();
        for (const { nodes, wants, laterMs } of steps) {
          nowMs += laterMs;
          const before = current;
          current = allocate(current, wants, { nowMs, nodes }).allocation;
          expect(current.blocksVersion - before.blocksVersion).toBe(current === before ? 0 : 1);
          const now = holdersOf(current);
          for (const [port, node] of now) {
            const last = world.get(port);
            const rested = last?.leftMs !== undefined && nowMs >= last.leftMs + QUARANTINE_MS;
            if (last !== undefined && !(last.leftMs === undefined && last.node === node) && !rested)
              throw new Error(
                `${port} went from ${last.node} to ${node} at ${nowMs}, left at ${last.leftMs}`,
              );
            world.set(port, { node, leftMs: undefined });
          }
          for (const [port, last] of world)
            if (!now.has(port) && last.leftMs === undefined) world.set(port, { ...last, leftMs: nowMs });
          for (const { node } of current.blocks) expect(nodes).toContain(node);
        }
      }),
      { numRuns: 300 },
    );
  });
});

/** First port of a granule → its holder; throws where there are two, or one that also rests. */
function holdersOf({ blocks, resting }: Allocation): ReadonlyMap<number, string> {
  const seen = new Map<number, string>();
  for (const { first, last, ...block } of [...blocks, ...resting]) {
    const node = 'node' in block ? block.node : '';
    if (
      first % GRANULE_PORTS !== 0 ||
      (last + 1) % GRANULE_PORTS !== 0 ||
      first < FIRST_PORT ||
      last > LAST_PORT
    )
      throw new Error(`${first}-${last} is not made of granules`);
    for (let port = first; port <= last; port += GRANULE_PORTS) {
      if (seen.has(port)) throw new Error(`${port} is of '${seen.get(port)}' and of '${node}'`);
      seen.set(port, node);
    }
  }
  return new Map([...seen].filter(([, node]) => node !== ''));
}
