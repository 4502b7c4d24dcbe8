import fc from 'fast-check';
import { expect, test } from 'vitest';
import { applyPatch } from '../test/lab/applyPatch.ts';
import { setDefaults } from './setDefaults.ts';

function policyWith(egressGateway: unknown) {
  return { spec: { selectors: [{}], destinationCIDRs: ['0.0.0.0/0'], egressGateway } };
}
const GATEWAY = '/spec/egressGateway';

test('absent fields get their default, bare addresses their prefix length', () => {
  const patch = setDefaults(policyWith({ ippools: [{ cidr: '203.0.113.10' }, { cidr: '2001:db8::10' }] }));
  expect(patch).toEqual([
    { op: 'replace', path: `${GATEWAY}/ippools/0/cidr`, value: '203.0.113.10/32' },
    { op: 'replace', path: `${GATEWAY}/ippools/1/cidr`, value: '2001:db8::10/128' },
    { op: 'add', path: `${GATEWAY}/strategy`, value: 'Distribute' },
    { op: 'add', path: `${GATEWAY}/affinity`, value: 'Pod' },
    { op: 'add', path: `${GATEWAY}/failureMode`, value: 'Closed' },
    { op: 'add', path: `${GATEWAY}/returnPolicy`, value: 'Stay' },
  ]);
});

test.each([
  {
    name: 'everything is set',
    gateway: {
      ippools: [{ cidr: '203.0.113.0/28' }],
      strategy: 'Failover',
      affinity: 'Pod',
      failureMode: 'Open',
      returnPolicy: 'Stay',
    },
  },
  {
    name: 'a wrong value is set',
    gateway: { ippools: 7, strategy: 'x', affinity: null, failureMode: '', returnPolicy: 'y' },
  },
  {
    name: 'a pool entry is no address, or one that is not canonical',
    gateway: {
      ippools: [
        { cidr: '010.0.0.1' },
        { cidr: '10.1' },
        { cidr: '::FFFF' },
        { cidr: '::ffff:1.2.3.4' },
        { cidr: ' 10.0.0.1' },
        { cidr: 7 },
        { from: '10.0.0.1' },
        '10.0.0.1',
        null,
      ],
      strategy: '',
      affinity: '',
      failureMode: '',
      returnPolicy: '',
    },
  },
  { name: 'there is no gateway', gateway: undefined },
  { name: 'the gateway is nothing', gateway: null },
  { name: 'the gateway is a list', gateway: [] },
])('nothing is touched where $name', ({ gateway }) => {
  expect(setDefaults(policyWith(gateway))).toEqual([]);
});

test.each([undefined, null, 7, 'text', [], {}, { spec: null }, { spec: [] }])(
  'nothing is made of %j',
  (raw) => {
    expect(setDefaults(raw)).toEqual([]);
  },
);

/** A gateway of which any part may be absent, sound, or something else altogether. */
const text = fc.oneof(
  fc.constantFrom(
    '203.0.113.10',
    '203.0.113.10/32',
    '2001:db8::10',
    '2001:DB8::1',
    '010.0.0.1',
    '10.0.0.0/8',
    'Failover',
  ),
  fc.string(),
);
const entry = fc.oneof(
  fc.record({ cidr: text, shared: fc.boolean(), 'a/b~c': fc.jsonValue() }, { requiredKeys: [] }),
  fc.jsonValue(),
);
const gateway = fc.record(
  {
    ippools: fc.oneof(fc.array(entry), fc.jsonValue()),
    strategy: fc.oneof(text, fc.jsonValue()),
    affinity: text,
    failureMode: text,
    returnPolicy: text,
    'x/y~z': fc.jsonValue(),
  },
  { requiredKeys: [] },
);
const policy = fc.oneof(
  { weight: 8, arbitrary: gateway.map(policyWith) },
  { weight: 1, arbitrary: fc.jsonValue() },
);

test('twice gives what once gives', () => {
  fc.assert(
    fc.property(policy, (raw) => {
      const once = applyPatch(raw, setDefaults(raw));
      expect(setDefaults(once)).toEqual([]);
    }),
  );
});

/** The dumb twin: walks all of both values, and knows the rule for each place. */
function expectOnlyCompleted(before: unknown, after: unknown, path = ''): void {
  if (typeof before !== 'object' || before === null || typeof after !== 'object' || after === null) {
    if (Object.is(before, after)) return;
    expect(path).toMatch(/^\/spec\/egressGateway\/ippools\/\d+\/cidr$/);
    expect([`${before}/32`, `${before}/128`]).toContain(after);
    return;
  }
  for (const key of Object.keys(before)) {
    expect(Object.hasOwn(after, key)).toBe(true);
    const [was, is] = [before, after].map((it) => (it as Readonly<Record<string, unknown>>)[key]);
    expectOnlyCompleted(was, is, `${path}/${key}`);
  }
  for (const key of Object.keys(after).filter((it) => !Object.hasOwn(before, it)))
    expect(`${path}/${key}`).toMatch(/^\/spec\/egressGateway\/(strategy|affinity|failureMode|returnPolicy)$/);
}

test('nothing that was written is rewritten or lost, and only what has a default is added', () => {
  fc.assert(fc.property(policy, (raw) => expectOnlyCompleted(raw, applyPatch(raw, setDefaults(raw)))));
});

test('no operation is to spare: each changes a place of its own', () => {
  fc.assert(
    fc.property(policy, (raw) => {
      const paths = setDefaults(raw).map(({ path }) => path);
      expect(new Set(paths).size).toBe(paths.length);
      for (const { path, op } of setDefaults(raw)) if (op === 'replace') expect(path).toMatch(/\/cidr$/);
    }),
  );
});
