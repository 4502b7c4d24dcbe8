import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { parseAddress } from '../../policy/address.ts';
import type { Address } from '../../policy/model.ts';
import { readPortUse, translatedTo } from './watchPortUse.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'sallyport-ports-'));
afterAll(() => rmSync(folder, { recursive: true }));

function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed.kind === 'refused') throw new Error(parsed.error.message);
  return parsed.value;
}

function use(lines: readonly string[], ...addresses: readonly string[]) {
  const file = path.join(folder, 'table');
  writeFileSync(file, lines.map((line) => `${line}\n`).join(''));
  return readPortUse(addresses.map(address), file);
}

const tcp = (
  pod: string,
  to: string,
  ports: readonly [from: number, to: number, as: number],
  egress: string,
) =>
  `ipv4     2 tcp      6 431999 ESTABLISHED src=${pod} dst=${to} sport=${ports[0]} dport=${ports[1]} src=${to} dst=${egress} sport=${ports[1]} dport=${ports[2]} [ASSURED] mark=4194305 zone=0 use=2`;
const UNANSWERED =
  'ipv4     2 udp      17 29 src=10.244.1.5 dst=198.51.100.10 sport=40001 dport=53 [UNREPLIED] src=198.51.100.10 dst=203.0.113.10 sport=53 dport=1029 mark=4194305 use=2';
const COUNTED =
  'ipv4     2 udp      17 29 src=10.244.1.5 dst=198.51.100.10 sport=40001 dport=53 packets=1 bytes=60 src=198.51.100.10 dst=203.0.113.10 sport=53 dport=1030 packets=1 bytes=60 mark=0 use=2';
const PING =
  'ipv4     2 icmp     1 29 src=10.244.1.5 dst=198.51.100.10 type=8 code=0 id=4096 src=198.51.100.10 dst=203.0.113.10 type=0 code=0 id=1031 mark=4194305 use=2';
const SIX =
  'ipv6     10 tcp      6 431999 ESTABLISHED src=fd00:0010:0244:0001:0000:0000:0000:0005 dst=2001:0db8:00c6:0000:0000:0000:0000:0010 sport=40000 dport=443 src=2001:0db8:00c6:0000:0000:0000:0000:0010 dst=2001:0db8:00cb:0000:0000:0000:0000:0060 sport=443 dport=1024 [ASSURED] mark=4194305 zone=0 use=2';

test.each([
  {
    name: 'TCP',
    line: tcp('10.244.1.5', '198.51.100.10', [40000, 443, 1024], '203.0.113.10'),
  },
  { name: 'UDP without an answer', line: UNANSWERED },
  { name: 'with packets counted', line: COUNTED },
  { name: 'an echo request', line: PING },
])('$name: its answers come to the egress IP', ({ line }) => {
  expect(translatedTo(line)).toBe('203.0.113.10');
});

test.each(['', 'nonsense', 'ipv4 2 tcp 6 src=', 'a src=1.2.3.4'])('no such line: %j', (line) => {
  expect(translatedTo(line)).toBeUndefined();
});

test('connections count for the address that their answers come to', async () => {
  const lines = [
    tcp('10.244.1.5', '198.51.100.10', [40000, 443, 1024], '203.0.113.10'),
    tcp('10.244.1.6', '198.51.100.10', [40000, 443, 1025], '203.0.113.10'),
    tcp('10.244.1.6', '198.51.100.10', [40001, 443, 1026], '203.0.113.10'),
    tcp('10.244.1.6', '198.51.100.10', [40002, 444, 1024], '203.0.113.10'),
    tcp('10.244.1.6', '198.51.100.11', [40003, 443, 1024], '203.0.113.10'),
    tcp('10.244.1.7', '198.51.100.10', [40000, 443, 1024], '203.0.113.11'),
    tcp('10.244.1.7', '10.244.2.2', [40000, 443, 40000], '10.244.1.7'),
    UNANSWERED,
    COUNTED,
    PING,
    SIX,
  ];
  expect(await use(lines, '203.0.113.10', '203.0.113.12', '2001:db8:cb::60')).toEqual(
    new Map([
      ['203.0.113.10', 8],
      ['203.0.113.12', 0],
      ['2001:db8:cb::60', 1],
    ]),
  );
});

test('a table that cannot be read is an error, not an empty one', async () => {
  await expect(readPortUse([address('203.0.113.10')], path.join(folder, 'absent'))).rejects.toThrow('ENOENT');
});
