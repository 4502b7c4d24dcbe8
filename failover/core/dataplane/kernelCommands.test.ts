import { expect, test } from 'vitest';
import { makeAddress } from '../../../policy/address.ts';
import {
  commandChains,
  commandNumber,
  encodeCommand,
  GUARD_COMMANDS_ADDRESS,
  KEY,
  type KeyKind,
  OPERATIONS,
  type Operation,
  SENDER_ADDRESS,
  TOKEN_BYTES,
  tokenElement,
  VALUE,
} from './kernelCommands.ts';

const token = Uint8Array.from({ length: TOKEN_BYTES }, (_, index) => 0xa0 + index);
const envelope = { token, number: 0x01020304, littleEndian: true };

/** What nft reads at a place such as `@th,224,32`, counted from the UDP header of 8 bytes. */
function at(place: string, bytes: Uint8Array): readonly number[] {
  const [, from = 0, bits = 0] = /^@th,(\d+),(\d+)$/.exec(place)?.map(Number) ?? [];
  return [...bytes.subarray(from / 8 - 8, (from + bits) / 8 - 8)];
}

test('marks stand in the byte order of the node, addresses in that of the network', () => {
  const arm = encodeCommand(
    { operation: 'arm', key: makeAddress(4, 0xcb00710an), value: 0x80000005 },
    envelope,
  );
  expect(at(KEY[4], arm)).toEqual([203, 0, 113, 10]);
  expect(at(VALUE, arm)).toEqual([5, 0, 0, 0x80]);
  const beat = encodeCommand({ operation: 'beat', key: 0x40000007 }, { ...envelope, littleEndian: false });
  expect(at(KEY[0], beat)).toEqual([0x40, 0, 0, 7]);
});

test('an IPv6 address takes the whole of the key', () => {
  const bytes = encodeCommand({ operation: 'arm', key: makeAddress(6, (0x20010db8n << 96n) | 1n) }, envelope);
  expect(at(KEY[6], bytes)).toEqual([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
});

test('the operation and the kind of its key stand side by side: a rule for one family is blind to the other', () => {
  const keys = [makeAddress(4, 1n), makeAddress(6, 1n), 1] as const;
  const heads = keys.map((key) => at('@th,192,16', encodeCommand({ operation: 'arm', key }, envelope)));
  expect(heads).toEqual([4, 6, 0].map((kind) => [OPERATIONS.arm, kind]));
});

test('a command that comes back is known by its number, and nothing else is a command', () => {
  const bytes = encodeCommand({ operation: 'steer', key: 1 }, envelope);
  expect(commandNumber(bytes)).toBe(0x01020304);
  expect(commandNumber(bytes.subarray(1))).toBeUndefined();
});

test('every operation has a number of its own, of one digit that is not 0', () => {
  const numbers = Object.values(OPERATIONS);
  expect(new Set(numbers).size).toBe(numbers.length);
  expect(Math.min(...numbers)).toBeGreaterThan(0);
  expect(Math.max(...numbers)).toBeLessThan(10);
});

test('a chain refuses whoever does not know the token, and turns around what it did', () => {
  const rules: readonly (readonly [Operation, KeyKind, string])[] = [
    ['beat', 0, 'DO'],
    ['disarm', 6, 'UNDO'],
  ];
  const chains = commandChains(GUARD_COMMANDS_ADDRESS, 'tokens', rules);
  const lines = chains.split('\n').map((line) => line.trim());
  const first = lines.indexOf('chain command {') + 1;
  expect(lines.slice(first, first + 4)).toEqual([
    '@th,64,128 != @tokens drop',
    `@th,192,16 0x0${OPERATIONS.beat}00 DO ip daddr set ${SENDER_ADDRESS} accept`,
    `@th,192,16 0x0${OPERATIONS.disarm}06 UNDO ip daddr set ${SENDER_ADDRESS} accept`,
    'drop',
  ]);
});

test('a token is spelled as nft lists it: without zeros at its front', () => {
  expect(tokenElement(Uint8Array.of(0, 1, 0xab))).toBe('0x1ab');
  expect(tokenElement(Uint8Array.of(0, 0))).toBe('0x0');
});
