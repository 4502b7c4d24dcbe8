import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatAddress, makeAddress } from '../../../policy/address.ts';
import { emptyGatewayNode } from '../../../test/simulation/controllerGateways.ts';
import type { EgressIp, SessionRef } from '../egressIp.ts';
import type { AddressState, GatewayNode } from '../gatewayNode.ts';
import { type Claim, decideHolder } from './holders.ts';

const ADDRESS = makeAddress(4, 0xcb00710an);
const A: SessionRef = { gateway: 'a', session: 3 };
const B: SessionRef = { gateway: 'b', session: 5 };

function egressIp(change: Partial<EgressIp> = {}): EgressIp {
  return {
    name: formatAddress(ADDRESS),
    uid: 'u',
    resourceVersion: '1',
    address: ADDRESS,
    policies: [],
    epoch: 7,
    order: [A, B],
    fence: [],
    blocksVersion: 2,
    blocks: [],
    resting: [],
    ...change,
  };
}

/** What a gateway heard by datagram. */
function said(ref: SessionRef, epoch: number, index: number, blocksVersion = 1): Claim {
  return { node: ref.gateway, session: ref.session, right: { epoch, index }, blocksVersion };
}

/** The same through the API. */
function stated(
  { node, session, right, blocksVersion }: Claim,
  state: AddressState = 'Answering',
): GatewayNode {
  const statement = { address: ADDRESS, state, ...right, session, blocksVersion };
  return { ...emptyGatewayNode(node), session, addresses: [statement] };
}

describe('sources send to', () => {
  test.each([
    { name: 'nobody, while nobody says that it answers', claims: [], node: undefined },
    { name: 'whoever says so', claims: [said(A, 7, 0)], node: 'a' },
    {
      name: 'the standby that took over, although the dead holder said so of the same assignment',
      claims: [said(A, 7, 0), said(B, 7, 1)],
      node: 'b',
    },
    {
      name: 'the holder of the newer assignment, although its rank is lower',
      claims: [said(A, 7, 0), said(B, 6, 1)],
      node: 'a',
    },
    {
      name: 'the old holder, which is fenced and goes on, until the new one has said so',
      change: { order: [A], fence: [B] },
      claims: [said(B, 6, 0)],
      node: 'b',
    },
    {
      name: 'the new holder once it has said so',
      change: { order: [A], fence: [B] },
      claims: [said(B, 6, 0), said(A, 7, 0)],
      node: 'a',
    },
    {
      name: 'nobody by a word of a session that the assignment does not name any more',
      claims: [said({ ...A, session: 2 }, 7, 0)],
      node: undefined,
    },
    {
      name: 'nobody by a word of a gateway that the assignment does not name',
      claims: [said({ gateway: 'c', session: 1 }, 7, 2)],
      node: undefined,
    },
    {
      name: 'a gateway of an assignment that is newer than the one we know',
      claims: [said(A, 7, 0), said({ gateway: 'c', session: 1 }, 8, 0)],
      node: 'c',
    },
    {
      name: 'nobody by a right that nobody can have been given',
      claims: [said(A, 7, 0), said({ gateway: 'c', session: 1 }, Number.MAX_SAFE_INTEGER, 0)],
      node: 'a',
    },
    {
      name: 'whoever is named in an assignment that stands beyond that',
      change: { epoch: Number.MAX_SAFE_INTEGER - 1 },
      claims: [said(A, Number.MAX_SAFE_INTEGER - 1, 0)],
      node: 'a',
    },
    {
      name: 'nobody when the assignment is empty',
      change: { order: [], fence: [A, B] },
      claims: [said(A, 7, 0)],
      node: undefined,
    },
  ])('$name, whichever way it was heard', ({ change = {}, claims, node }) => {
    const ip = egressIp(change);
    expect(decideHolder(ip, [], claims)?.node).toBe(node);
    expect(
      decideHolder(
        ip,
        claims.map((it) => stated(it)),
        [],
      )?.node,
    ).toBe(node);
  });

  test('whoever has the higher right, whether the API or the datagram brought it', () => {
    const [old, now] = [said(A, 7, 0), said(B, 7, 1)];
    expect(decideHolder(egressIp(), [stated(old)], [now])?.node).toBe('b');
    expect(decideHolder(egressIp(), [stated(now)], [old])?.node).toBe('b');
  });

  test.each(['Released', 'Standby'] as const)('nobody by the word %s', (state) => {
    expect(decideHolder(egressIp(), [stated(said(A, 7, 0), state)], [])).toBeUndefined();
  });

  test('a gateway that speaks of another address says nothing of this one', () => {
    const other = egressIp({ address: makeAddress(4, 0xcb00710bn) });
    expect(decideHolder(other, [stated(said(A, 7, 0))], [])).toBeUndefined();
  });

  test('the ports of the newest word count, wherever it came from', () => {
    const [old, now] = [said(A, 7, 0, 1), said(A, 7, 0, 2)];
    expect(decideHolder(egressIp(), [stated(old)], [now])?.blocksVersion).toBe(2);
    expect(decideHolder(egressIp(), [stated(now)], [old])?.blocksVersion).toBe(2);
    // A later right may come with fewer ports: they are those that the holder forwards.
    expect(decideHolder(egressIp(), [stated(now)], [said(B, 7, 1, 1)])).toMatchObject({
      node: 'b',
      blocksVersion: 1,
    });
  });

  test('the same one, in whatever order the words came', () => {
    const word = fc.record({
      ref: fc.constantFrom(A, B, { gateway: 'c', session: 1 }, { gateway: 'a', session: 2 }),
      epoch: fc.integer({ min: 5, max: 9 }),
      index: fc.nat(2),
    });
    fc.assert(
      fc.property(fc.uniqueArray(word, { selector: (it) => `${it.epoch} ${it.index}` }), (words) => {
        const claims = words.map(({ ref, epoch, index }) => said(ref, epoch, index));
        const decided = decideHolder(egressIp(), [], claims);
        expect(decideHolder(egressIp(), [], claims.toReversed())).toEqual(decided);
        // The dumb twin: every word that counts, sorted.
        const counting = claims.filter(
          ({ node, session, right }) =>
            right.epoch > 7 || [A, B].some((it) => it.gateway === node && it.session === session),
        );
        const best = counting.toSorted(
          (a, b) => b.right.epoch - a.right.epoch || b.right.index - a.right.index,
        )[0];
        expect(decided).toEqual(best);
      }),
    );
  });
});
