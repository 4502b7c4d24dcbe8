import { expect, test } from 'vitest';
import { type PeerKeys, resolvePeerKeys } from './peerKeys.ts';

const bytes = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
const key = (id: number, fill = id) => ({ id, secret: bytes(fill) });
const lost = (id: number) => ({ id, secret: undefined });
const held: PeerKeys = { accepted: [key(1), key(2)], signing: key(1) };

interface Case {
  readonly name: string;
  readonly named: Parameters<typeof resolvePeerKeys>[0];
  readonly held?: PeerKeys;
  /** Ids, and the one signed with; undefined: nothing is left. */
  readonly expected: readonly [readonly number[], number] | undefined;
}

const CASES: readonly Case[] = [
  { name: 'what can be read is taken', named: { keys: [key(1), key(2)], signing: 2 }, expected: [[1, 2], 2] },
  {
    name: 'what is named no more is dropped',
    named: { keys: [key(2)], signing: 2 },
    held,
    expected: [[2], 2],
  },
  {
    name: 'a key without a secret is kept by who has it',
    named: { keys: [lost(1), key(3)], signing: 1 },
    held,
    expected: [[1, 3], 1],
  },
  {
    name: 'who has not got the one in use signs with the newest',
    named: { keys: [lost(1), key(3), key(4)], signing: 1 },
    expected: [[3, 4], 4],
  },
  {
    name: 'who has not got the one in use goes on with its own, if that is named',
    named: { keys: [lost(1), lost(5), key(6)], signing: 5 },
    held,
    expected: [[1, 6], 1],
  },
  {
    name: 'where none can be had nothing is taken',
    named: { keys: [lost(5)], signing: 5 },
    held,
    expected: undefined,
  },
];

test.each(CASES)('$name', ({ named, held, expected }) => {
  const keys = resolvePeerKeys(named, held);
  const ids = keys === undefined ? undefined : [keys.accepted.map(({ id }) => id), keys.signing.id];
  expect(ids).toEqual(expected);
  if (keys !== undefined) expect(keys.accepted).toContain(keys.signing);
});

test('a secret that can be read wins over one of the same number that is held', () => {
  const keys = resolvePeerKeys({ keys: [key(1, 9)], signing: 1 }, held);
  expect(keys?.signing.secret).toEqual(bytes(9));
});
