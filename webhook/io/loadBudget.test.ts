import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createLoadBudget } from './loadBudget.ts';

const LIMITS = { requestsMax: 3, ownBytes: 10, commonBytesMax: 100 };

test('a request within its own share is never refused, however much others hold', () => {
  const budget = createLoadBudget(LIMITS);
  expect(budget.begin()?.take(110)).toBe(true);
  const small = budget.begin();
  expect(small?.take(10)).toBe(true);
  expect(small?.take(1)).toBe(false);
});

test('released twice, a request gives back once', () => {
  const budget = createLoadBudget(LIMITS);
  const [first] = [budget.begin(), budget.begin()];
  first?.take(50);
  first?.release();
  first?.release();
  expect(budget).toMatchObject({ requests: 1, commonBytes: 0 });
});

test('whatever comes and goes, the bounds hold and nothing stays behind', () => {
  const action = fc.record({ lease: fc.nat(2), bytes: fc.nat(60), ends: fc.boolean() });
  fc.assert(
    fc.property(fc.array(action), (actions) => {
      const budget = createLoadBudget(LIMITS);
      // The twin holds the bytes of each request by itself.
      const held = [0, 0, 0];
      const leases = held.map(() => budget.begin());
      const common = (): number => held.reduce((sum, bytes) => sum + Math.max(0, bytes - LIMITS.ownBytes), 0);
      expect(budget.begin()).toBeUndefined();
      for (const { lease, bytes, ends } of actions) {
        if (ends) {
          leases[lease]?.release();
          held[lease] = 0;
          leases[lease] = budget.begin();
        } else {
          const before = held[lease] ?? 0;
          held[lease] = before + bytes;
          const fits = common() <= LIMITS.commonBytesMax;
          if (!fits) held[lease] = before;
          expect(leases[lease]?.take(bytes)).toBe(fits);
        }
        expect(budget.commonBytes).toBe(common());
      }
      for (const lease of leases) lease?.release();
      expect(budget).toMatchObject({ requests: 0, commonBytes: 0 });
    }),
  );
});
