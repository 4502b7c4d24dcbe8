import { expect, test } from 'vitest';
import { applyPatch, setDefaults } from './setDefaults.ts';

function policyWith(egressGateway: unknown) {
  return { spec: { selectors: [{}], destinationCIDRs: ['0.0.0.0/0'], egressGateway } };
}

test('absent fields get their default, bare addresses their prefix length', () => {
  expect(setDefaults(policyWith({ ippools: [{ cidr: '203.0.113.10' }, { cidr: '2001:db8::10' }] }))).toEqual([
    { op: 'add', path: '/spec/egressGateway/strategy', value: 'Distribute' },
    { op: 'add', path: '/spec/egressGateway/affinity', value: 'Pod' },
    { op: 'add', path: '/spec/egressGateway/failureMode', value: 'Closed' },
    { op: 'add', path: '/spec/egressGateway/returnPolicy', value: 'Stay' },
    { op: 'replace', path: '/spec/egressGateway/ippools/0/cidr', value: '203.0.113.10/32' },
    { op: 'replace', path: '/spec/egressGateway/ippools/1/cidr', value: '2001:db8::10/128' },
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
    name: 'a pool entry is no address',
    gateway: {
      ippools: [{ cidr: '010.0.0.1' }, { from: 'a' }, 'b', null],
      strategy: '',
      affinity: '',
      failureMode: '',
      returnPolicy: '',
    },
  },
  { name: 'there is no gateway', gateway: undefined },
  { name: 'the gateway is a list', gateway: [] },
])('nothing is touched where $name', ({ gateway }) => {
  expect(setDefaults(policyWith(gateway))).toEqual([]);
});

test('a second run changes nothing', () => {
  const raw = policyWith({ ippools: [{ cidr: '203.0.113.10' }], affinity: 'Connection' });
  const once = applyPatch(raw, setDefaults(raw));
  expect(setDefaults(once)).toEqual([]);
});
