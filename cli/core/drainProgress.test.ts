import { expect, test } from 'vitest';
import type { EgressIpLine } from './clusterStatus.ts';
import { describeHandedOver, describeRemaining, followDrain } from './drainProgress.ts';

const line = (change: Partial<EgressIpLine>): EgressIpLine => ({
  address: '203.0.113.10',
  gateway: 'gw-2',
  holder: 'gw-2',
  healthy: 'yes',
  standbys: [],
  phase: 'Announced',
  since: '',
  message: 'why',
  policies: [],
  fence: [],
  ...change,
});

test.each([
  { name: 'somebody else has it', change: {}, kept: false },
  { name: 'it is the holder', change: { holder: 'gw-1', gateway: 'gw-1' }, kept: true },
  { name: 'it is to answer and does not yet', change: { holder: 'gw-1', gateway: '' }, kept: true },
  {
    name: 'another is assigned and it still answers',
    change: { gateway: 'gw-1', phase: 'Moving' },
    kept: true,
  },
  { name: 'another waits for it', change: { gateway: '', phase: 'Moving', fence: ['gw-1'] }, kept: true },
  { name: 'another answers while the fence still names it', change: { fence: ['gw-1'] }, kept: false },
  { name: 'it is a standby', change: { standbys: ['gw-1'] }, kept: false },
  { name: 'nobody has it', change: { holder: '', gateway: '', phase: 'Unplaced' }, kept: false },
])('where $name, the address remains at the gateway: $kept', ({ change, kept }) => {
  expect(followDrain('gw-1', [line(change)]).remaining.length === 1).toBe(kept);
});

test('what left since the last look is told once, with where it is now', () => {
  const here = [
    line({ holder: 'gw-1' }),
    line({ address: '203.0.113.11', holder: 'gw-1' }),
    line({ address: '203.0.113.12', holder: 'gw-1', gateway: 'gw-1' }),
  ];
  const before = followDrain('gw-1', here);
  const later = [line({}), line({ address: '203.0.113.12', holder: 'gw-1', gateway: 'gw-1' })];
  const now = followDrain('gw-1', later);
  expect(describeHandedOver(before, now, later)).toEqual([
    '203.0.113.10 is at gw-2',
    '203.0.113.11 is gone: no policy lists it any more',
  ]);
  expect(describeHandedOver(now, now, later)).toEqual([]);
  expect(describeRemaining(now)).toEqual(['203.0.113.12 (Announced): why']);
});
