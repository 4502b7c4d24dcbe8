import { expect, test } from 'vitest';
import { makeAddress } from '../../policy/address.ts';
import type { SessionRef } from './egressIp.ts';
import type { AddressStatement } from './gatewayNode.ts';
import type { LostAssignment } from './ownership/assignment.ts';
import { type StatedBy, statedAbove } from './statedAbove.ts';

const EPOCH = 7;
const of = (gateway: string, session = 4): SessionRef => ({ gateway, session });
const ORDER = [of('gw-1'), of('gw-2')];
const STANDING = {
  name: '203.0.113.10',
  uid: 'u',
  resourceVersion: '1',
  address: makeAddress(4, 0xcb00710an),
  policies: [],
  epoch: EPOCH,
  order: ORDER,
  fence: [],
  blocksVersion: 0,
  blocks: [],
  resting: [],
};

function says(gateway: string, change: Partial<AddressStatement>): StatedBy {
  const { address } = STANDING;
  const base = { address, state: 'Standby', epoch: EPOCH, index: 0, session: 4, blocksVersion: 0 } as const;
  return { gateway, statement: { ...base, ...change } };
}

/** By an agent that saw the older object, under no session. */
function remembers(lost: LostAssignment): StatedBy {
  return says('w-1', { epoch: lost.epoch, session: 0, lost });
}

test.each([
  { name: 'nothing where all state what stands', said: [says('gw-1', {})], above: undefined },
  {
    name: 'nothing where an older epoch is stated',
    said: [says('gw-1', { epoch: EPOCH - 1 })],
    above: undefined,
  },
  {
    name: 'an epoch that nobody says whom it names, by a node without a session',
    said: [says('gw-1', {}), says('gw-2', { epoch: EPOCH + 3, session: 0 })],
    above: { epoch: EPOCH + 3, sessions: [], isNamed: false },
  },
  {
    name: 'the highest epoch, and each session that states a later one than stands',
    said: [
      says('gw-1', { epoch: EPOCH + 2, state: 'Answering', session: 7 }),
      says('gw-2', { epoch: EPOCH + 3, session: 5 }),
      says('gw-3', { epoch: EPOCH, session: 6 }),
    ],
    above: { epoch: EPOCH + 3, sessions: [of('gw-1', 7), of('gw-2', 5)], isNamed: false },
  },
  {
    name: 'whom a lost assignment names',
    said: [remembers({ epoch: EPOCH + 1, sessions: [of('gw-3'), of('gw-1')] })],
    above: { epoch: EPOCH + 1, sessions: [of('gw-3'), of('gw-1')], isNamed: true },
  },
  {
    name: 'that of a higher epoch than any lost assignment nobody says whom it names',
    said: [
      remembers({ epoch: EPOCH + 1, sessions: [of('gw-3')] }),
      says('gw-2', { epoch: EPOCH + 2, session: 0 }),
    ],
    above: { epoch: EPOCH + 2, sessions: [of('gw-3')], isNamed: false },
  },
  {
    name: 'what the gateway goes on by that answers by an older right',
    said: [
      says('gw-1', {
        epoch: EPOCH - 1,
        state: 'Answering',
        lost: { epoch: EPOCH + 1, sessions: [of('gw-3')] },
      }),
    ],
    above: { epoch: EPOCH + 1, sessions: [of('gw-3')], isNamed: true },
  },
  {
    name: 'a standby that the order of the same epoch had once',
    said: [remembers({ epoch: EPOCH, sessions: [...ORDER, of('gw-3')] })],
    above: { epoch: EPOCH, sessions: [...ORDER, of('gw-3')], isNamed: true },
  },
  {
    name: 'another one in the place of a standby of the same epoch',
    said: [remembers({ epoch: EPOCH, sessions: [of('gw-1'), of('gw-3')] })],
    above: { epoch: EPOCH, sessions: [of('gw-1'), of('gw-3')], isNamed: true },
  },
  {
    name: 'nothing where the order has grown again to what it was',
    said: [remembers({ epoch: EPOCH, sessions: ORDER }), remembers({ epoch: EPOCH, sessions: [of('gw-1')] })],
    above: undefined,
  },
  {
    name: 'nothing where what was lost is older than what was begun since',
    said: [remembers({ epoch: EPOCH - 1, sessions: [of('gw-3')] })],
    above: undefined,
  },
  {
    name: 'not what nobody can have been given',
    said: [
      says('gw-1', { epoch: EPOCH + 2, state: 'Answering' }),
      says('gw-2', { epoch: Number.MAX_SAFE_INTEGER, state: 'Answering' }),
      remembers({ epoch: Number.MAX_SAFE_INTEGER, sessions: [of('gw-3')] }),
    ],
    above: { epoch: EPOCH + 2, sessions: [of('gw-1')], isNamed: false },
  },
])('agents know of $name', ({ said, above }) => {
  expect(statedAbove(STANDING, said)).toEqual(above);
});
