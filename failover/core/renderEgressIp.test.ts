import fc from 'fast-check';
import { expect, test } from 'vitest';
import { egressIpName, makeAddress } from '../../policy/address.ts';
import type { EgressIp } from './egressIp.ts';
import { parseEgressIp } from './parseEgressIp.ts';
import { renderEgressIp } from './renderEgressIp.ts';

const session = fc.record({ gateway: fc.constantFrom('gw-1', 'gw-2'), session: fc.nat() });
const ports = fc
  .record({ granule: fc.nat(1000), length: fc.integer({ min: 1, max: 8 }) })
  .map(({ granule, length }) => ({ first: 1024 + granule * 64, last: 1023 + (granule + length) * 64 }));
const egressIp: fc.Arbitrary<EgressIp> = fc
  .record({
    host: fc.nat(255),
    epoch: fc.nat(),
    order: fc.array(session),
    fence: fc.array(session),
    home: fc.constantFrom(undefined, 'gw-1'),
    blocksVersion: fc.nat(),
    blocks: fc.array(fc.record({ ports, version: fc.nat() })),
    resting: fc.array(fc.record({ ports, untilMs: fc.nat(4_000_000_000) })),
  })
  .map(({ host, home, blocks, resting, ...rest }) => {
    const address = makeAddress(4, 0xcb007100n + BigInt(host));
    return {
      ...rest,
      ...(home === undefined ? {} : { home }),
      name: egressIpName(address),
      uid: 'uid',
      resourceVersion: '7',
      address,
      policies: [{ kind: 'EgressPolicy', name: 'p', uid: 'uid-p' }],
      blocks: blocks.map((block) => ({ node: 'w-1', ...block.ports, version: block.version })),
      resting: resting.map((block) => ({ ...block.ports, untilMs: block.untilMs })),
    };
  });

test('what is written is read back, and no block rests for less', () => {
  fc.assert(
    fc.property(egressIp, (value) => {
      const wire: unknown = JSON.parse(JSON.stringify(renderEgressIp(value)));
      const resting = value.resting.map((it) => ({ ...it, untilMs: Math.ceil(it.untilMs / 1000) * 1000 }));
      expect(parseEgressIp(wire)).toEqual({ ...value, resting });
    }),
  );
});

test('a new object has neither uid nor version', () => {
  const value = { ...(fc.sample(egressIp, 1)[0] as EgressIp), uid: '', resourceVersion: '' };
  expect(renderEgressIp(value)).toMatchObject({ metadata: { name: value.name } });
  expect(Object.keys((renderEgressIp(value) as { metadata: object }).metadata)).toEqual(['name']);
});
