import { describe, expect, test } from 'vitest';
import { makeAddress } from '../../../policy/address.ts';
import type { EgressIp, SessionRef } from '../egressIp.ts';
import type { Claim } from './holders.ts';
import { followNewest, lostAssignment } from './lostAssignments.ts';

const IP = '203.0.113.10';
const [A, B, C, D] = ['a', 'b', 'c', 'd'].map((gateway) => ({ gateway, session: 1 })) as [
  SessionRef,
  SessionRef,
  SessionRef,
  SessionRef,
];

function egressIp(epoch: number, order: readonly SessionRef[], fence: readonly SessionRef[] = []): EgressIp {
  const address = makeAddress(4, 0xcb00710an);
  const rest = { uid: 'u', resourceVersion: '1', policies: [], blocksVersion: 0, blocks: [], resting: [] };
  return { name: IP, address, epoch, order, fence, ...rest };
}

const standing = egressIp(4, [A, B]);
const only = (it: EgressIp) => new Map([[IP, it]]);

describe('the newest assignment of an address that the API ever showed', () => {
  test.each([
    { name: 'a later epoch', next: egressIp(5, [C]), kept: false },
    { name: 'more standbys', next: egressIp(4, [A, B, C]), kept: false },
    { name: 'the same, written anew', next: egressIp(4, [A, B]), kept: false },
    { name: 'an older epoch', next: egressIp(3, [A, B]), kept: true },
    { name: 'fewer standbys', next: egressIp(4, [A]), kept: true },
    { name: 'the same epoch for another order', next: egressIp(4, [A, C]), kept: true },
  ])('is kept before $name: $kept', ({ next, kept }) => {
    const newest = followNewest(followNewest(new Map(), only(standing)), only(next));
    expect(newest.get(IP)).toBe(kept ? standing : next);
    expect(lostAssignment(newest.get(IP) ?? next, next, []) !== undefined).toBe(kept);
  });

  test('is found again behind several older ones, and forgotten with the address', () => {
    const versions = [egressIp(3, [A]), egressIp(2, [B])].map(only);
    const newest = versions.reduce(followNewest, only(standing));
    expect(newest.get(IP)).toBe(standing);
    expect(followNewest(newest, new Map()).size).toBe(0);
  });
});

describe('of a lost assignment', () => {
  const claim = ({ gateway, session }: SessionRef, epoch: number): Claim => ({
    node: gateway,
    session,
    right: { epoch, index: 0 },
    blocksVersion: 0,
  });
  const newest = egressIp(6, [B, C], [A]);

  test.each([
    { name: 'order and fence are stated', heard: [], lost: { epoch: 6, sessions: [B, C, A] } },
    {
      name: 'whoever answers by the highest right comes first',
      heard: [claim(A, 5), claim(D, 7)],
      lost: { epoch: 7, sessions: [D, B, C, A] },
    },
    {
      name: 'whoever answers by what stands is not spoken of',
      heard: [claim(D, 4)],
      lost: { epoch: 6, sessions: [B, C, A] },
    },
  ])('$name', ({ heard, lost }) => {
    expect(lostAssignment(newest, standing, heard)).toEqual(lost);
  });

  test('of the same epoch the order alone is stated: its fence is known to all', () => {
    const longer = egressIp(4, [A, B, C], [D]);
    expect(lostAssignment(longer, standing, [claim(C, 4)])).toEqual({ epoch: 4, sessions: [A, B, C] });
  });
});
