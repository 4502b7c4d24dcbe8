import { expect, test } from 'vitest';
import { formatAddress } from '../policy/address.ts';
import { type EnvReader, readEnv } from '../runtime/readEnv.ts';
import { PROBES_MAX, readHealthSettings } from './readHealthSettings.ts';

const readProbes = (env: EnvReader) => readHealthSettings(env).probes;
const read = (list: unknown) => readEnv({ HEALTH_PROBES: JSON.stringify(list) }, readProbes);
const tcp = { name: 'web', type: 'tcp', target: '198.51.100.10', port: 443 };

test('the next hop is checked and nothing is probed by default', () => {
  expect(readEnv({}, readHealthSettings)).toEqual({ kind: 'ok', value: { probes: [], nextHopCheck: true } });
});

test.each([
  { name: 'off switches it off', value: 'off', outcome: { kind: 'ok', value: { nextHopCheck: false } } },
  { name: 'anything else is refused', value: 'no', outcome: { kind: 'refused' } },
])('the check of the next hop: $name', ({ value, outcome }) => {
  expect(readEnv({ NEXT_HOP_CHECK: value }, readHealthSettings)).toMatchObject(outcome);
});

test('a probe of each type is read, and what is left out has its default', () => {
  const probes = read([
    tcp,
    {
      ...tcp,
      name: 'live',
      type: 'http',
      path: '/live?a=b',
      intervalSeconds: 10,
      timeoutSeconds: 10,
      failures: 1,
      successes: 20,
      nodeSelector: { matchLabels: { class: 'fast' } },
    },
    { name: 'home', type: 'http', target: '198.51.100.10' },
    { name: 'ping', type: 'icmp', target: '2001:db8:51::11' },
  ]);
  expect(probes).toMatchObject({
    kind: 'ok',
    value: [
      {
        method: { kind: 'tcp', port: 443 },
        intervalMs: 5000,
        timeoutMs: 2000,
        failures: 3,
        successes: 2,
        nodes: { requirements: [] },
      },
      {
        method: { kind: 'http', port: 443, path: '/live?a=b' },
        intervalMs: 10_000,
        timeoutMs: 10_000,
        failures: 1,
        successes: 20,
        nodes: { requirements: [{ key: 'class', operator: 'In', values: ['fast'] }] },
      },
      { method: { kind: 'http', port: 80, path: '/' } },
      { name: 'ping', method: { kind: 'icmp' } },
    ],
  });
  expect(probes.kind === 'ok' && probes.value.map(({ target }) => formatAddress(target))).toEqual([
    '198.51.100.10',
    '198.51.100.10',
    '198.51.100.10',
    '2001:db8:51::11',
  ]);
});

test.each([
  { name: 'no name', change: { name: undefined }, said: 'HEALTH_PROBES[0].name: name is missing' },
  {
    name: 'a name with spaces',
    change: { name: 'my web' },
    said: 'HEALTH_PROBES[0].name: "my web" is no name',
  },
  { name: 'no type', change: { type: undefined }, said: 'HEALTH_PROBES[0].type: type is missing' },
  { name: 'an unknown type', change: { type: 'udp' }, said: 'may be tcp or http or icmp' },
  { name: 'no target', change: { target: undefined }, said: 'HEALTH_PROBES[0].target: target is missing' },
  { name: 'a host name', change: { target: 'example.com' }, said: 'names are not resolved' },
  { name: 'a target in another spelling', change: { target: 'FD00::1' }, said: 'write fd00::1' },
  { name: 'a link-local target', change: { target: 'fe80::1' }, said: 'fe80::1 is link-local' },
  { name: 'the last link-local target', change: { target: 'febf::1' }, said: 'febf::1 is link-local' },
  { name: 'a target with a zone', change: { target: 'fe80::1%eth0' }, said: 'has a zone' },
  { name: 'a TCP probe without a port', change: { port: undefined }, said: 'port is missing' },
  { name: 'a port out of range', change: { port: 65_536 }, said: 'use a whole number from 1 to 65535' },
  { name: 'a port in quotes', change: { port: '443' }, said: 'a whole number is expected' },
  { name: 'a path of a TCP probe', change: { path: '/' }, said: 'a probe of type tcp has no path' },
  { name: 'a port of a ping', change: { type: 'icmp' }, said: 'a probe of type icmp has no port' },
  {
    name: 'a path that ends the request line',
    change: { type: 'http', path: '/ HTTP/1.1' },
    said: 'is no path',
  },
  { name: 'a path without its slash', change: { type: 'http', path: 'live' }, said: 'is no path' },
  {
    name: 'a timeout longer than the interval',
    change: { intervalSeconds: 2, timeoutSeconds: 3 },
    said: 'the timeout of 3 s is longer than the interval of 2 s',
  },
  {
    name: 'an interval of nothing',
    change: { intervalSeconds: 0 },
    said: 'use a whole number from 1 to 300',
  },
  { name: 'no failure', change: { failures: 0 }, said: 'use a whole number from 1 to 20' },
  { name: 'half a success', change: { successes: 1.5 }, said: 'a whole number is expected' },
  { name: 'a misspelt field', change: { intervalSecond: 3 }, said: 'did you mean intervalSeconds?' },
  { name: 'a bare selector', change: { nodeSelector: { class: 'fast' } }, said: 'class is not a field here' },
])('$name is refused', ({ change, said }) => {
  expect(read([{ ...tcp, ...change }])).toMatchObject({
    kind: 'refused',
    error: expect.arrayContaining([expect.stringContaining(said)]),
  });
});

test.each([
  { name: 'what is no JSON', text: '[', said: 'HEALTH_PROBES is no JSON' },
  { name: 'what is no list', text: '{}', said: 'a list is expected' },
  {
    name: 'too many',
    text: JSON.stringify(
      Array.from({ length: PROBES_MAX + 1 }, (_, index) => ({ ...tcp, name: `web-${index}` })),
    ),
    said: 'has 9 entries; at most 8 are accepted',
  },
  { name: 'two of one name', text: JSON.stringify([tcp, tcp]), said: 'more than one is named web' },
])('$name is refused', ({ text, said }) => {
  expect(readEnv({ HEALTH_PROBES: text }, readProbes)).toMatchObject({
    kind: 'refused',
    error: [expect.stringContaining(said)],
  });
});

test('everything that is wrong is said at once', () => {
  const probes = read([
    { ...tcp, target: 'a' },
    { ...tcp, name: 'b', failures: 99, colour: 'red' },
  ]);
  expect(probes.kind === 'refused' && probes.error).toHaveLength(3);
});
