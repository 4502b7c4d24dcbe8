import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { makeAddress } from './address.ts';
import { cidrRange, makeCidr, rangeContains } from './cidr.ts';
import type { Cidr, Policy } from './model.ts';
import { acceptPolicies, comparePolicies, entriesConflict, flattenRoutes } from './precedence.ts';

interface Sketch {
  readonly uid: string;
  readonly createdAtMs: number;
  readonly pools?: readonly { readonly cidr: Cidr; readonly shared: boolean }[];
  readonly destinations?: readonly Cidr[];
  readonly excluded?: readonly Cidr[];
}

function policyOf(sketch: Sketch): Policy {
  return {
    ref: { kind: 'EgressPolicy', name: sketch.uid, uid: sketch.uid, createdAtMs: sketch.createdAtMs },
    generation: 1,
    deleting: false,
    selectors: [],
    destinations: sketch.destinations ?? [],
    excluded: sketch.excluded ?? [],
    pools: (sketch.pools ?? []).map(({ cidr, shared }, index) => ({
      range: cidrRange(cidr),
      shared,
      text: 'pool',
      path: `spec.egressGateway.ippools[${index}].cidr`,
    })),
    strategy: 'Distribute',
    affinity: 'Pod',
    failureMode: 'Closed',
    returnPolicy: 'Stay',
    returnAfterMs: 300_000,
  };
}

/** Prefixes in the last 256 addresses there are, so that drawn ones meet often, and at the edge of the space. */
const BASE = 0xffffff00n;
const cidrs = fc.tuple(fc.nat(255), fc.integer({ min: 24, max: 32 })).map(([low, prefix]) => {
  const shift = BigInt(32 - prefix);
  return makeCidr(4, ((BASE + BigInt(low)) >> shift) << shift, prefix);
});
const sketches = fc.uniqueArray(
  fc.record({
    uid: fc.stringMatching(/^[a-f]{2}$/),
    createdAtMs: fc.nat(3),
    pools: fc.array(fc.record({ cidr: cidrs, shared: fc.boolean() }), { maxLength: 3 }),
    destinations: fc.array(cidrs, { maxLength: 3 }),
    excluded: fc.array(cidrs, { maxLength: 2 }),
  }),
  { maxLength: 6, selector: ({ uid }) => uid },
);

describe('acceptance', () => {
  const network = makeCidr(4, 0xcb007100n, 24);
  test('the older policy wins, the younger is told who did', () => {
    const old = policyOf({ uid: 'b', createdAtMs: 1, pools: [{ cidr: network, shared: false }] });
    const young = policyOf({ uid: 'a', createdAtMs: 2, pools: [{ cidr: network, shared: false }] });
    const { accepted, conflicts } = acceptPolicies([young, old]);
    expect(accepted).toEqual([old]);
    expect(conflicts.get('a')?.message).toContain('EgressPolicy b');
    expect(acceptPolicies([young]).accepted).toEqual([young]);
  });

  test('of the same age the smaller uid wins; the same range may be shared by both', () => {
    const pools = [{ cidr: network, shared: false }];
    const shared = [{ cidr: network, shared: true }];
    expect(
      acceptPolicies([
        policyOf({ uid: 'b', createdAtMs: 1, pools }),
        policyOf({ uid: 'a', createdAtMs: 1, pools }),
      ]).conflicts.has('b'),
    ).toBe(true);
    expect(
      acceptPolicies([
        policyOf({ uid: 'b', createdAtMs: 1, pools: shared }),
        policyOf({ uid: 'a', createdAtMs: 1, pools: shared }),
      ]).conflicts.size,
    ).toBe(0);
  });

  test('thousands share a range without being held against each other', () => {
    let looks = 0;
    const sharing = (count: number): readonly Policy[] =>
      Array.from({ length: count }, (_, at) => {
        const policy = policyOf({ uid: `${at}`, createdAtMs: at, pools: [{ cidr: network, shared: true }] });
        const [pool] = policy.pools;
        const counted = new Proxy(pool as object, {
          get: (target, field, receiver) => {
            looks += 1;
            return Reflect.get(target, field, receiver);
          },
        });
        return { ...policy, pools: [counted as Policy['pools'][number]] };
      });
    const own = policyOf({ uid: 'own', createdAtMs: 9999, pools: [{ cidr: network, shared: false }] });
    expect(acceptPolicies([...sharing(4000), own]).conflicts.get('own')?.winner.uid).toBe('0');
    expect(looks).toBeLessThan(4000 * 20);
  });

  test('never accepts two that conflict, refuses none without cause, and does not depend on the order', () => {
    fc.assert(
      fc.property(sketches, fc.infiniteStream(fc.nat()), (drawn, stream) => {
        const policies = drawn.map(policyOf);
        const { accepted, conflicts } = acceptPolicies(policies);
        const clash = (a: Policy, b: Policy) =>
          a.pools.some((x) => b.pools.some((y) => entriesConflict(x, y)));
        for (const [index, a] of accepted.entries()) {
          for (const b of accepted.slice(index + 1)) expect(clash(a, b)).toBe(false);
        }
        for (const policy of policies.filter(({ ref }) => conflicts.has(ref.uid))) {
          const older = accepted.filter((it) => comparePolicies(it, policy) < 0);
          expect(conflicts.get(policy.ref.uid)?.winner).toBe(older.find((it) => clash(it, policy))?.ref);
        }
        const shuffled = policies
          .map((policy) => ({ policy, key: stream.next().value }))
          .toSorted((a, b) => a.key - b.key);
        expect(acceptPolicies(shuffled.map(({ policy }) => policy)).accepted).toEqual(accepted);
      }),
    );
  });
});

describe('routes of a pod', () => {
  test('are disjoint, sorted, merged, and agree with a rule applied address by address', () => {
    fc.assert(
      fc.property(sketches, (drawn) => {
        const policies = drawn.map(policyOf);
        const routes = flattenRoutes(policies);
        for (const [index, route] of routes.entries()) {
          const next = routes[index + 1];
          if (next === undefined) continue;
          expect(route.range.last).toBeLessThan(next.range.first);
          if (route.policy === next.policy) expect(route.range.last + 1n).toBeLessThan(next.range.first);
        }
        for (let low = 0n; low < 256n; low += 1n) {
          const address = makeAddress(4, BASE + low);
          const found = routes.filter(({ range }) => rangeContains(range, address));
          expect(found.length).toBeLessThanOrEqual(1);
          expect(found[0]?.policy).toBe(dumbRoute(policies, address.value));
        }
      }),
    );
  });
});

test('thousands of prefixes are flattened and accepted in steps that grow with their number, not its square', () => {
  let comparisons = 0;
  const counted = (policy: Policy): Policy =>
    new Proxy(policy, {
      get: (target, field, receiver) => {
        comparisons += 1;
        return Reflect.get(target, field, receiver);
      },
    });
  const many = (count: number): readonly Policy[] =>
    Array.from({ length: count }, (_, index) =>
      counted(
        policyOf({
          uid: `${index}`,
          createdAtMs: index,
          pools: [{ cidr: makeCidr(4, BigInt(index), 32), shared: false }],
          destinations: [makeCidr(4, BigInt(index) << 8n, 24)],
          excluded: [makeCidr(4, BigInt(index) << 8n, 25)],
        }),
      ),
    );
  const steps = (count: number): number => {
    const policies = many(count);
    comparisons = 0;
    expect(flattenRoutes(policies)).toHaveLength(2 * count);
    expect(acceptPolicies(policies).accepted).toHaveLength(count);
    return comparisons;
  };
  expect(steps(2000) / steps(500)).toBeLessThan(8);
});

function dumbRoute(policies: readonly Policy[], value: bigint): Policy | 'direct' | undefined {
  const covers = (cidr: Cidr): boolean =>
    cidr.family === 4 && value >> BigInt(32 - cidr.prefix) === cidr.network >> BigInt(32 - cidr.prefix);
  let best: { readonly policy: Policy; readonly prefix: number } | undefined;
  for (const policy of policies.toSorted(comparePolicies)) {
    for (const cidr of policy.destinations) {
      if (covers(cidr) && (best === undefined || cidr.prefix > best.prefix))
        best = { policy, prefix: cidr.prefix };
    }
  }
  if (best === undefined) return undefined;
  return best.policy.excluded.some(covers) ? 'direct' : best.policy;
}
