import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatAddress, makeAddress } from '../../../policy/address.ts';
import { makeCidr } from '../../../policy/cidr.ts';
import type { Address, AddressRange, Family } from '../../../policy/model.ts';
import { NftModel } from '../../../test/lab/nftModel.ts';
import type { EgressAddressPlan, NodeDataPlane, PodPlan } from '../dataPlane.ts';
import { soleUplink } from '../uplinks.ts';
import { diffInPieces } from './diffElements.ts';
import { indicesIn, renderElements } from './renderElements.ts';
import { nothingRendered, type RenderedPlan, renderedRanges, renderNext } from './renderedPlan.ts';
import { tunnelMac } from './tunnelMac.ts';

const SIX = 0x20010db8n << 96n;
const EGRESS: readonly Address[] = [1n, 2n, 3n].flatMap((it) => [
  makeAddress(4, 0xcb007100n + it),
  makeAddress(6, SIX + it),
]);
const NODES = ['self', 'n1', 'n2', 'n3', 'n4'];
const endpoint = (node: string) => {
  const address = makeAddress(4, 0x0a000001n + BigInt(NODES.indexOf(node)));
  return { node, address, mac: tunnelMac(address) };
};
const all = (family: Family): AddressRange => ({
  family,
  first: 0n,
  last: family === 4 ? 0xffff_ffffn : (1n << 128n) - 1n,
});
const podAddress = (of: number): Address =>
  of % 3 === 2 ? makeAddress(6, SIX + 0x1000n + BigInt(of)) : makeAddress(4, 0x0af40000n + BigInt(of));

const blocks = fc.array(
  fc.record({ node: fc.constantFrom(...NODES), at: fc.nat(12), size: fc.integer({ min: 1, max: 4 }) }),
  { maxLength: 5 },
);
const step = fc.oneof(
  fc.record({
    kind: fc.constant('address' as const),
    of: fc.nat(5),
    holder: fc.constantFrom(undefined, ...NODES),
    blocks,
    ports: fc.nat(3),
  }),
  fc.record({ kind: fc.constant('no-address' as const), of: fc.nat(5) }),
  fc.record({
    kind: fc.constant('pod' as const),
    of: fc.nat(6),
    egress: fc.uniqueArray(fc.nat(5), { maxLength: 3 }),
    keeps: fc.option(fc.uniqueArray(fc.nat(5), { maxLength: 3 }), { nil: undefined }),
    narrow: fc.boolean(),
    twin: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('no-pod' as const), of: fc.nat(6) }),
  fc.record({
    kind: fc.constant('peers' as const),
    nodes: fc.uniqueArray(fc.constantFrom(...NODES.slice(1))),
  }),
  fc.record({ kind: fc.constant('direct' as const), networks: fc.array(fc.nat(4), { maxLength: 4 }) }),
  fc.record({
    kind: fc.constant('unknown-pods' as const),
    awaited: fc.uniqueArray(fc.nat(2)),
    closed: fc.uniqueArray(fc.nat(2)),
  }),
  fc.record({ kind: fc.constant('restart' as const) }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const first: NodeDataPlane = {
  self: endpoint('self'),
  uplinks: soleUplink('eth0'),
  peers: [],
  direct: [],
  addresses: [],
  pods: [],
};

/** Everything that the step is not about stays the same object. */
function change(plan: NodeDataPlane, action: Step): NodeDataPlane {
  switch (action.kind) {
    case 'address': {
      const address = EGRESS[action.of] ?? podAddress(0);
      const held = action.blocks.map(({ node, at, size }) => ({
        node,
        first: 1024 + at * 64,
        last: 1023 + (at + size) * 64,
      }));
      const usable = Array.from({ length: action.ports }, (_, at) => ({
        first: 1024 + at * 64,
        last: 1087 + at * 64,
      }));
      const { holder } = action;
      const next: EgressAddressPlan = {
        address,
        ...(holder === undefined ? {} : { holder }),
        blocks: held,
        usable,
      };
      return { ...plan, addresses: [...without(plan.addresses, address), next] };
    }
    case 'no-address':
      return { ...plan, addresses: without(plan.addresses, EGRESS[action.of] ?? podAddress(0)) };
    case 'pod': {
      const address = podAddress(action.of);
      const { family } = address;
      const range = action.narrow ? { ...all(family), last: 255n } : all(family);
      const addresses = action.egress.flatMap((at) => EGRESS[at] ?? []);
      const keeps = action.keeps?.flatMap((at) => EGRESS[at] ?? []);
      const next: PodPlan = {
        address,
        routes: [
          {
            range,
            action:
              addresses.length === 0
                ? { kind: 'direct' }
                : {
                    kind: 'egress',
                    addresses,
                    affinity: 'Connection',
                    ...(keeps === undefined ? {} : { keeps }),
                  },
          },
        ],
      };
      return { ...plan, pods: [...(action.twin ? plan.pods : without(plan.pods, address)), next] };
    }
    case 'no-pod': {
      const [last] = plan.pods.filter((it) => it.address.value === podAddress(action.of).value).slice(0, 1);
      return { ...plan, pods: plan.pods.filter((it) => it !== last) };
    }
    case 'peers':
      return { ...plan, peers: action.nodes.map(endpoint) };
    case 'direct':
      return { ...plan, direct: action.networks.map((it) => makeCidr(4, BigInt(it) << 24n, 8)) };
    case 'unknown-pods': {
      const networks = [makeCidr(4, 0x0af40000n, 24), makeCidr(6, SIX, 64)];
      const ranges = (of: readonly number[]): readonly AddressRange[] =>
        of.flatMap((it) =>
          ([4, 6] as const).map((family) => ({
            family,
            first: BigInt(it) * 16n,
            last: BigInt(it) * 16n + 7n,
          })),
        );
      return {
        ...plan,
        unknownPods: { networks, awaited: ranges(action.awaited), closed: ranges(action.closed) },
      };
    }
    case 'restart':
      return plan;
    default:
      return action satisfies never;
  }
}

function without<T extends { readonly address: Address }>(
  from: readonly T[],
  { value }: Address,
): readonly T[] {
  return from.filter((it) => it.address.value !== value);
}

/** What packets are looked up in, from the plan alone. */
function granulesOf(
  plan: NodeDataPlane,
  { indices }: RenderedPlan,
  family: Family,
): ReadonlyMap<string, string> {
  const held = new Map<string, string>();
  for (const { address, blocks: all } of plan.addresses.filter((it) => it.address.family === family))
    for (const { node, first: start, last } of all)
      for (let port = start; port <= last; port += 64) {
        const index = indices.nodes.get(node);
        const key = `${formatAddress(address)} . ${port}`;
        if (index === undefined) held.delete(key);
        else held.set(key, String(0x0090_0000 + index));
      }
  return held;
}

const filled = (elements: ReadonlyMap<string, ReadonlyMap<string, string>>) =>
  new Map([...elements].filter(([, held]) => held.size > 0));

describe('changes of a plan', () => {
  test('bring the kernel to what the whole plan renders to, over random histories and restarts', () => {
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 25 }),
        fc.integer({ min: 8, max: 60 }),
        (steps, elementsMax) => {
          const kernel = new NftModel();
          let plan = first;
          let rendered = nothingRendered(indicesIn(kernel.read(), []));
          for (const action of steps) {
            const before = kernel.read();
            plan = change(plan, action);
            if (action.kind === 'restart') rendered = nothingRendered(indicesIn(before, plan.peers));
            const next = renderNext(rendered, plan);
            const current = action.kind === 'restart' ? before : next.current;
            const transactions = [...diffInPieces(current, next.desired, { elementsMax })];
            if (action.kind === 'restart') expect(transactions.join('')).toBe('');
            for (const transaction of transactions) kernel.run(transaction);
            rendered = next.rendered;
            const whole = renderElements(plan, before);
            const after = kernel.read();
            expect(filled(after.elements)).toEqual(filled(whole.elements));
            for (const [name, ranges] of renderedRanges(rendered))
              expect(ranges).toEqual(whole.elements.get(name));
            expect(kernel.chains).toEqual(new Map(whole.chains));
            for (const [family, suffix] of [
              [4, ''],
              [6, '6'],
            ] as const)
              for (const map of ['blocks', 'block_ids'])
                expect(kernel.elements.get(`inet ${map}${suffix}`) ?? new Map()).toEqual(
                  granulesOf(plan, rendered, family),
                );
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test('of one pod leave everything else alone', () => {
    const egress = change(first, {
      kind: 'address',
      of: 0,
      holder: 'self',
      blocks: [{ node: 'self', at: 0, size: 2 }],
      ports: 1,
    });
    const one = change(egress, {
      kind: 'pod',
      of: 0,
      egress: [0],
      keeps: undefined,
      narrow: false,
      twin: false,
    });
    const two = change(one, {
      kind: 'pod',
      of: 1,
      egress: [0],
      keeps: undefined,
      narrow: false,
      twin: false,
    });
    const { rendered } = renderNext(nothingRendered({ egress: new Map(), nodes: new Map() }), one);
    const { current, desired } = renderNext(rendered, two);
    expect([...diffInPieces(current, desired)].join('')).toMatch(
      /^add element inet sallyport pods \{ 10\.244\.0\.1 : goto routes_\w+ \}\n$/,
    );
  });
});

test('a node that gets the next block as well costs its granules, and one range', () => {
  const grown = (size: number) =>
    change(first, {
      kind: 'address',
      of: 0,
      holder: 'self',
      blocks: [{ node: 'self', at: 0, size }],
      ports: 0,
    });
  const { rendered } = renderNext(nothingRendered({ egress: new Map(), nodes: new Map() }), grown(1));
  const { current, desired } = renderNext(rendered, grown(2));
  expect([...diffInPieces(current, desired)].join('')).toBe(
    [
      'delete element inet sallyport block_ranges { 203.0.113.1 . 1024 . 1087 }',
      'add element inet sallyport own_ports { 203.0.113.1 . 1088 }',
      'add element inet sallyport block_ranges { 203.0.113.1 . 1024 . 1151 : 9437185 }',
      'add element inet sallyport blocks { 203.0.113.1 . 1088 : 9437185 }',
      'add element inet sallyport block_ids { 203.0.113.1 . 1088 : 9437185 }',
      '',
    ].join('\n'),
  );
});

describe('what does not fit one transaction', () => {
  const big = change(first, { kind: 'peers', nodes: ['n1'] });
  const plan = EGRESS.reduce(
    (it, _, of) =>
      change(it, { kind: 'address', of, holder: 'n1', blocks: [{ node: 'n1', at: 0, size: 4 }], ports: 1 }),
    change(big, { kind: 'pod', of: 0, egress: [0], keeps: undefined, narrow: false, twin: false }),
  );
  const { desired } = renderNext(nothingRendered({ egress: new Map(), nodes: new Map() }), plan);
  const nothing = { elements: new Map(), chains: new Map() };
  const pieces = [...diffInPieces(nothing, desired, { elementsMax: 20 })];

  test('begins with all that decides which packets leave, and with no port', () => {
    expect(pieces[0]).toContain('add element inet sallyport pods { 10.244.0.0 : goto');
    expect(pieces[0]).not.toMatch(/sallyport block/);
    expect(pieces.slice(1).join('')).not.toMatch(/pods|translations|egress_/);
  });

  test('goes on with whole addresses, each with its range and all its granules', () => {
    for (const { value, family } of EGRESS) {
      const name = formatAddress(makeAddress(family, value));
      const [piece, ...others] = pieces.slice(1).filter((it) => it.includes(`${name} . `));
      expect(others).toEqual([]);
      expect(piece?.split(`${name} . `)).toHaveLength(1 + 1 + 2 * 4);
    }
  });
});
