import fc from 'fast-check';
import { expect, test } from 'vitest';
import { makeAddress } from '../../../policy/address.ts';
import { type Allocation, allocatePorts } from '../controller/portBlocks.ts';
import type { EgressIp } from '../egressIp.ts';
import { forgetTaken, IDLE_BEFORE_RETURN_MS, NO_RETURNS, ownBlocks, returnIdle } from './portReturns.ts';

const IP = '203.0.113.10';

function egressIp(allocation: Allocation): EgressIp {
  return {
    name: IP,
    uid: 'uid',
    resourceVersion: '1',
    address: makeAddress(4, 0xcb00710an),
    policies: [],
    epoch: 1,
    order: [],
    fence: [],
    ...allocation,
  };
}

const HELD = egressIp({
  blocksVersion: 3,
  blocks: [
    { node: 'a', first: 1024, last: 1535, version: 2 },
    { node: 'b', first: 1536, last: 2047, version: 3 },
  ],
  resting: [],
});

function look(
  known = NO_RETURNS,
  change: { use?: number; wanted?: boolean; nowMs?: number; ip?: EgressIp } = {},
) {
  const { use, wanted = false, nowMs = 0, ip = HELD } = change;
  return returnIdle(known, {
    node: 'a',
    egressIps: [[IP, ip]],
    use: use === undefined ? new Map() : new Map([[IP, use]]),
    isWanted: () => wanted,
    nowMs,
  });
}

test('ports that nobody wanted and no connection had for five minutes are given back, up to the version of then', () => {
  const first = look(NO_RETURNS, { use: 0, nowMs: 1000 });
  expect(first).toEqual({ idleSince: new Map([[IP, 1000]]), given: new Map() });
  const before = look(first, { use: 0, nowMs: 1000 + IDLE_BEFORE_RETURN_MS - 1 });
  expect(before.given.size).toBe(0);
  const after = look(before, { use: 0, nowMs: 1000 + IDLE_BEFORE_RETURN_MS });
  expect(after).toEqual({ idleSince: new Map(), given: new Map([[IP, 3]]) });
  expect(look(after, { use: 0, nowMs: 10 * IDLE_BEFORE_RETURN_MS }).given).toEqual(after.given);
});

test.each([
  { name: 'a connection', change: { use: 1 } },
  { name: 'a pod that wants it', change: { use: 0, wanted: true } },
  { name: 'a look that told nothing of it', change: {} },
])('$name between the looks begins the time anew', ({ change }) => {
  const idle = look(NO_RETURNS, { use: 0, nowMs: 0 });
  const broken = look(idle, { ...change, nowMs: 1000 });
  expect(broken.idleSince.size).toBe(0);
  expect(look(broken, { use: 0, nowMs: IDLE_BEFORE_RETURN_MS }).given.size).toBe(0);
});

test('an address without ports of this node is left alone', () => {
  const ip = { ...HELD, blocks: HELD.blocks.slice(1) };
  expect(look(NO_RETURNS, { use: 0, ip })).toEqual(NO_RETURNS);
});

test("it is forgotten when the controller has taken them back, and new ones are this node's to use", () => {
  const given = { ...NO_RETURNS, given: new Map([[IP, 3]]) };
  expect(forgetTaken(given, new Map([[IP, HELD]]), 'a')).toBe(given);
  const regranted = { ...HELD, blocks: [{ node: 'a', first: 4096, last: 4607, version: 4 }] };
  expect(forgetTaken(given, new Map([[IP, regranted]]), 'a').given.size).toBe(0);
  expect(forgetTaken(given, new Map(), 'a').given.size).toBe(0);
});

test('over random histories of two nodes no port is used by one that another has, nor before it has rested', () => {
  const QUARANTINE_MS = 240_000;
  const happening = fc.record({
    node: fc.constantFrom('a', 'b'),
    /** What happens at that node: its pods come or go, it looks at the API, at its connections, or it reports. */
    kind: fc.constantFrom('pods', 'watch', 'look', 'look', 'report', 'controller'),
    laterMs: fc.constantFrom(0, 0, 100_000, 310_000),
  });
  fc.assert(
    fc.property(fc.array(happening, { maxLength: 150, size: 'max' }), (history) => {
      let nowMs = 0;
      let truth: Allocation = { blocksVersion: 0, blocks: [], resting: [] };
      const usedUntil = new Map<number, { readonly node: string; readonly atMs: number }>();
      const start = () => ({
        pods: false,
        seen: egressIp(truth),
        returns: NO_RETURNS,
        said: { ports: 0, returned: 0 },
      });
      const nodes = { a: start(), b: start() };
      for (const { node: name, kind, laterMs } of history) {
        nowMs += laterMs;
        const node = nodes[name as 'a' | 'b'];
        if (kind === 'pods') node.pods = !node.pods;
        if (kind === 'watch') {
          node.seen = egressIp(truth);
          node.returns = forgetTaken(node.returns, new Map([[IP, node.seen]]), name);
        }
        const use = new Map([[IP, node.pods ? 1 : 0]]);
        if (kind === 'look')
          node.returns = returnIdle(node.returns, {
            node: name,
            egressIps: [[IP, node.seen]],
            use,
            isWanted: () => node.pods,
            nowMs,
          });
        if (kind === 'report')
          node.said = { ports: node.pods ? 64 : 0, returned: node.returns.given.get(IP) ?? 0 };
        if (kind === 'controller')
          truth = allocatePorts({
            current: truth,
            demand: new Map(Object.entries(nodes).map(([it, { said }]) => [it, said.ports])),
            nodes: new Set(['a', 'b']),
            returned: new Map(Object.entries(nodes).map(([it, { said }]) => [it, said.returned])),
            initialPorts: 65_536,
            quarantineMs: QUARANTINE_MS,
            nowMs,
          }).allocation;
        for (const [it, { pods, seen, returns }] of Object.entries(nodes)) {
          if (!pods) continue;
          for (const block of ownBlocks(seen, it)) {
            if (block.version <= (returns.given.get(IP) ?? 0)) continue;
            const last = usedUntil.get(block.first);
            if (last !== undefined && last.node !== it)
              expect(nowMs - last.atMs).toBeGreaterThanOrEqual(QUARANTINE_MS);
            usedUntil.set(block.first, { node: it, atMs: nowMs });
          }
        }
      }
    }),
    { numRuns: 500 },
  );
});
