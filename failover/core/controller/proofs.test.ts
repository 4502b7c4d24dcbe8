import { expect, test } from 'vitest';
import { makeAddress } from '../../../policy/address.ts';
import type { AddressStatement, GatewayNode } from '../gatewayNode.ts';
import type { ControllerView } from './controllerView.ts';
import { proofsFor } from './proofs.ts';

const ADDRESS = makeAddress(4, 0xcb00710an);
const FENCED = { gateway: 'gw-1', session: 4 };
const EPOCH = 7;

function viewWith(gateway: Partial<GatewayNode> | undefined): ControllerView {
  const node: GatewayNode = {
    name: 'gw-1',
    uid: 'u',
    resourceVersion: '1',
    session: 4,
    interfaces: [],
    onLink: [],
    nextHops: [],
    capacity: 8,
    dataPlaneReady: true,
    dataPlaneMessage: '',
    addresses: [],
    demand: [],
    selected: [],
    versions: { agent: '', kernel: '', nftables: '' },
  };
  const gatewayNodes = new Map(gateway === undefined ? [] : [['gw-1', { ...node, ...gateway }]]);
  return {
    policies: [],
    nodes: new Map(),
    gatewayNodes,
    egressIps: new Map(),
    sessions: new Map(),
    asked: new Map(),
  };
}

const stated = (change: Partial<AddressStatement>): Partial<GatewayNode> => ({
  addresses: [{ address: ADDRESS, state: 'Released', epoch: EPOCH, session: 4, blocksVersion: 0, ...change }],
});

test.each([
  { name: 'it states so at this epoch', gateway: stated({}), released: true },
  { name: 'it states so at a later epoch', gateway: stated({ epoch: EPOCH + 1 }), released: true },
  { name: 'it is a standby', gateway: stated({ state: 'Standby' }), released: true },
  { name: 'its agent runs under a later session', gateway: { session: 5 }, released: true },
  { name: 'it stated so at an earlier epoch', gateway: stated({ epoch: EPOCH - 1 }), released: false },
  { name: 'it answers', gateway: stated({ state: 'Answering' }), released: false },
  { name: 'an earlier session stated it', gateway: stated({ session: 3 }), released: false },
  { name: 'it says nothing of the address', gateway: {}, released: false },
  { name: 'there is no report of it', gateway: undefined, released: false },
  {
    name: 'it speaks of another address',
    gateway: stated({ address: makeAddress(4, 0xcb00710bn) }),
    released: false,
  },
])('released or not: $name', ({ gateway, released }) => {
  expect(proofsFor(ADDRESS, viewWith(gateway)).hasReleased(FENCED, EPOCH)).toBe(released);
});
