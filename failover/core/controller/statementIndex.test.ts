import fc from 'fast-check';
import { expect, test } from 'vitest';
import { makeAddress } from '../../../policy/address.ts';
import type { Address } from '../../../policy/model.ts';
import type { AddressStatement, GatewayNode } from '../gatewayNode.ts';
import { statementIndex } from './statementIndex.ts';

/** IPv4 and IPv6 of the same values, and few of them. */
const address = fc
  .tuple(fc.constantFrom(4 as const, 6 as const), fc.bigInt(0n, 3n))
  .map(([family, value]) => makeAddress(family, value));
const report = fc.record({
  addresses: fc.array(
    fc.record({ address, epoch: fc.nat(9) }).map((it) => it as AddressStatement),
    { maxLength: 4 },
  ),
  demand: fc.array(fc.record({ address, ports: fc.nat(3) }), { maxLength: 4 }),
  selected: fc.array(fc.record({ policyUid: fc.constantFrom('p', 'q'), pods: fc.nat(5) }), { maxLength: 3 }),
});
const reports = fc
  .array(report, { maxLength: 5 })
  .map((all) => new Map(all.map((it, at) => [`n${at}`, it as unknown as GatewayNode])));

const same = (a: Address, b: Address): boolean => a.family === b.family && a.value === b.value;

test('finds what looking at every report finds', () => {
  fc.assert(
    fc.property(reports, address, (gatewayNodes, wanted) => {
      const index = statementIndex(gatewayNodes);
      const all = [...gatewayNodes];
      expect(index.on(wanted)).toEqual(
        all.flatMap(([gateway, { addresses }]) => {
          const statement = addresses.find((it) => same(it.address, wanted));
          return statement === undefined ? [] : [{ gateway, statement }];
        }),
      );
      expect(index.demandOn(wanted)).toEqual(
        all.flatMap(([node, report]) => {
          const demand = report.demand.find((it) => same(it.address, wanted));
          return demand === undefined ? [] : [{ node, demand }];
        }),
      );
      const pods = all.flatMap(([, it]) => it.selected).filter(({ policyUid }) => policyUid === 'p');
      expect(index.podsSelected('p')).toBe(pods.reduce((sum, it) => sum + it.pods, 0));
      expect(statementIndex(gatewayNodes)).toBe(index);
    }),
  );
});

test('pods that nobody can have do not add up to a number that the API server refuses', () => {
  const boast = { addresses: [], demand: [], selected: [{ policyUid: 'p', pods: Number.MAX_SAFE_INTEGER }] };
  const index = statementIndex(new Map([1, 2, 3].map((at) => [`n${at}`, boast as unknown as GatewayNode])));
  expect(index.podsSelected('p')).toBe(Number.MAX_SAFE_INTEGER);
});
