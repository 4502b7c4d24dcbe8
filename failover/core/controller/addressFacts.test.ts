import { expect, test } from 'vitest';
import { makeAddress } from '../../../policy/address.ts';
import type { EgressIp } from '../egressIp.ts';
import type { AddressStatement, GatewayNode } from '../gatewayNode.ts';
import { addressFacts } from './addressFacts.ts';
import type { ControllerView } from './controllerView.ts';
import { type GatewayLease, observeLease, type SessionsState } from './sessions.ts';

const ADDRESS = makeAddress(4, 0xcb00710an);
const EPOCH = 5;
const current: EgressIp = {
  name: '203.0.113.10',
  uid: 'u',
  resourceVersion: '1',
  address: ADDRESS,
  policies: [],
  epoch: EPOCH,
  order: [
    { gateway: 'gw-1', session: 4 },
    { gateway: 'gw-2', session: 3 },
  ],
  fence: [],
  blocksVersion: 0,
  blocks: [],
  resting: [],
};

/** Of a report only what is asked for here. */
function report(name: string, session: number, said: Partial<AddressStatement>): GatewayNode {
  const statement = { address: ADDRESS, state: 'Standby', epoch: EPOCH, index: 0, session, blocksVersion: 0 };
  return {
    name,
    session,
    addresses: [{ ...statement, ...said }],
    dead: [],
    demand: [],
    selected: [],
  } as Partial<GatewayNode> as GatewayNode;
}

function viewOf(...reports: readonly GatewayNode[]): ControllerView {
  const leases = reports.map(
    ({ name, session }): GatewayLease => ({
      gateway: name,
      session,
      holding: true,
      durationMs: 3000,
      version: '1',
    }),
  );
  return {
    nodes: new Map(),
    gatewayNodes: new Map(reports.map((it) => [it.name, it])),
    sessions: leases.reduce((state, it) => observeLease(state, it, 0), new Map() as SessionsState),
    silent: new Set(),
  } as Partial<ControllerView> as ControllerView;
}

test.each([
  { name: 'the first of the order answers', second: {}, third: undefined, holder: 'gw-1' },
  {
    name: 'a standby answers by the epoch that stands',
    second: { state: 'Answering', index: 1 } as const,
    third: undefined,
    holder: 'gw-2',
  },
  {
    name: 'one of the order answers by an epoch that was lost',
    second: { state: 'Answering', epoch: EPOCH + 2 } as const,
    third: undefined,
    holder: 'gw-2',
  },
  {
    name: 'one that the order does not know answers by an epoch that was lost',
    second: {},
    third: { state: 'Answering', epoch: EPOCH + 2 } as const,
    holder: 'gw-3',
  },
  {
    name: 'one that the order does not know answers by an older epoch',
    second: {},
    third: { state: 'Answering', epoch: EPOCH - 2 } as const,
    holder: 'gw-1',
  },
])('$holder holds the address where $name', ({ second, third, holder }) => {
  const first = holder === 'gw-1' && third === undefined ? ({ state: 'Answering' } as const) : {};
  const reports = [report('gw-1', 4, first), report('gw-2', 3, second)];
  const view = viewOf(...reports, ...(third === undefined ? [] : [report('gw-3', 9, third)]));
  const claim = { name: current.name, address: ADDRESS, owners: [], current };
  const context = { view, routable: [], unreadySince: new Map(), nowMs: 0 };
  expect(addressFacts(claim, context).holder).toBe(holder);
});
