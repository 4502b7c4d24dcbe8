import { describe, expect, test } from 'vitest';
import { makeAddress } from '../../../policy/address.ts';
import type { NodeFacts } from '../../../policy/model.ts';
import { emptyGatewayNode } from '../../../test/simulation/controllerGateways.ts';
import type { EgressIp } from '../egressIp.ts';
import type { AddressStatement, GatewayNode } from '../gatewayNode.ts';
import type { ControllerView } from './controllerView.ts';
import { answererOf, isAnnounced, isDead, liveSession, proofsFor, wasCalledDead } from './proofs.ts';
import { type GatewayLease, observeLease, type SessionsState } from './sessions.ts';

const ADDRESS = makeAddress(4, 0xcb00710an);
const SESSION = { gateway: 'gw-1', session: 4 };
const EPOCH = 7;
/** Of this name there is no node. */
const GHOST = 'ghost';

const gateway = (change: Partial<GatewayNode> = {}, name = 'gw-1'): GatewayNode => ({
  ...emptyGatewayNode(name),
  session: 4,
  ...change,
});
const stated = (change: Partial<AddressStatement> = {}): Partial<GatewayNode> => ({
  addresses: [
    { address: ADDRESS, state: 'Released', epoch: EPOCH, index: 0, session: 4, blocksVersion: 0, ...change },
  ],
});
const lease = (change: Partial<GatewayLease> = {}): GatewayLease => ({
  gateway: 'gw-1',
  session: 4,
  holding: true,
  durationMs: 3000,
  version: '1',
  ...change,
});

function viewOf(
  gateways: readonly GatewayNode[],
  leases: readonly GatewayLease[] = [lease()],
  silent: readonly string[] = [],
): ControllerView {
  const none: SessionsState = new Map();
  return {
    policies: [],
    nodes: new Map(
      gateways.filter(({ name }) => name !== GHOST).map(({ name }) => [name, {} as unknown as NodeFacts]),
    ),
    gatewayNodes: new Map(gateways.map((it) => [it.name, it])),
    egressIps: new Map(),
    sessions: leases.reduce((state, it) => observeLease(state, it, 0), none),
    silent: new Set(silent),
    voters: undefined,
    asked: new Map(),
  };
}

describe('a fenced session has released', () => {
  test.each([
    { name: 'it states so at this epoch', node: gateway(stated()), released: true },
    { name: 'it states so at a later epoch', node: gateway(stated({ epoch: EPOCH + 1 })), released: true },
    { name: 'it is a standby', node: gateway(stated({ state: 'Standby' })), released: true },
    {
      name: 'it stated so at an earlier epoch',
      node: gateway(stated({ epoch: EPOCH - 1 })),
      released: false,
    },
    { name: 'it answers', node: gateway(stated({ state: 'Answering' })), released: false },
    { name: 'an earlier session stated it', node: gateway(stated({ session: 3 })), released: false },
    // That one is dead, which is another proof.
    { name: 'a later session stated it', node: gateway(stated({ session: 5 })), released: false },
    { name: 'it says nothing of the address', node: gateway(), released: false },
    { name: 'there is no report of it', node: undefined, released: false },
    {
      name: 'it speaks of another address',
      node: gateway(stated({ address: makeAddress(4, 0xcb00710bn) })),
      released: false,
    },
  ])('$released where $name', ({ node, released }) => {
    const proofs = proofsFor(ADDRESS, viewOf(node === undefined ? [] : [node]));
    expect(proofs.hasReleased(SESSION, EPOCH)).toBe(released);
  });
});

describe('a session is dead and does not live', () => {
  const witness = (session: number) => gateway({ dead: [{ gateway: 'gw-1', session }] }, 'gw-2');

  test.each([
    { name: 'its Lease is held and renewed', view: viewOf([gateway()]), dead: false, live: 4 },
    { name: 'its Lease is not renewed', view: viewOf([gateway()], [lease()], ['gw-1']), dead: false },
    { name: 'its Lease was closed', view: viewOf([gateway()], [lease({ holding: false })]), dead: true },
    {
      name: 'its Lease has a later session that its agent does not state yet',
      view: viewOf([gateway()], [lease({ session: 5 })]),
      dead: true,
    },
    {
      name: 'its agent states a later session',
      view: viewOf([gateway({ session: 5 })], [lease({ session: 5 })]),
      dead: true,
      live: 5,
    },
    {
      name: 'its agent states a later session, which the Lease does not show yet',
      view: viewOf([gateway({ session: 5 })]),
      dead: true,
    },
    { name: 'its agent states no session', view: viewOf([gateway({ session: 0 })]), dead: false },
    { name: 'its agent states an earlier session', view: viewOf([gateway({ session: 3 })]), dead: false },
    { name: 'there is no report of it', view: viewOf([]), dead: false },
    { name: 'there is no Lease of it', view: viewOf([gateway()], []), dead: false },
    {
      name: 'another gateway heard that it was called dead',
      view: viewOf([gateway(), witness(4)]),
      dead: true,
    },
    { name: 'a later session was called dead', view: viewOf([gateway(), witness(5)]), dead: true },
    {
      name: 'only the report of a node that does not exist calls it dead',
      view: viewOf([gateway(), gateway({ dead: [{ gateway: 'gw-1', session: 2 ** 50 }] }, GHOST)]),
      dead: false,
      live: 4,
    },
    {
      name: 'an earlier session was called dead',
      view: viewOf([gateway(), witness(3)]),
      dead: false,
      live: 4,
    },
    {
      name: 'another gateway was called dead',
      view: viewOf([gateway(), gateway({ dead: [{ gateway: 'gw-3', session: 4 }] }, 'gw-2')]),
      dead: false,
      live: 4,
    },
  ])('where $name: dead $dead, lives as $live', ({ view, dead, live }) => {
    expect(isDead(view, SESSION)).toBe(dead);
    expect(proofsFor(ADDRESS, view).isDead(SESSION)).toBe(dead);
    expect(liveSession(view, 'gw-1')).toBe(live);
  });

  test('only a verdict that a gateway heard is a call: not silence, and not a Lease that was closed', () => {
    expect(wasCalledDead(viewOf([gateway(), witness(4)]), SESSION)).toBe(true);
    expect(wasCalledDead(viewOf([gateway()], [lease({ holding: false })], ['gw-1']), SESSION)).toBe(false);
  });
});

describe('who answers', () => {
  const answering = (name: string, epoch: number, index: number) =>
    gateway(stated({ state: 'Answering', epoch, index }), name);
  const egressIp: EgressIp = {
    name: '203.0.113.10',
    uid: 'u',
    resourceVersion: '1',
    address: ADDRESS,
    policies: [],
    epoch: EPOCH,
    order: [SESSION, { gateway: 'gw-2', session: 4 }],
    fence: [],
    blocksVersion: 0,
    blocks: [],
    resting: [],
  };
  const dead = { dead: [{ gateway: 'gw-2', session: 4 }] };

  test.each([
    { name: 'nobody says so', gateways: [gateway(stated())], who: undefined, announced: false },
    { name: 'the first does', gateways: [answering('gw-1', 7, 0)], who: 'gw-1', announced: true },
    {
      name: 'a standby does, whose right is higher',
      gateways: [answering('gw-1', 7, 0), answering('gw-2', 7, 1)],
      who: 'gw-2',
      announced: true,
    },
    {
      name: 'a higher epoch counts more than a higher rank',
      gateways: [answering('gw-1', 7, 0), answering('gw-2', 6, 2)],
      who: 'gw-1',
      announced: true,
    },
    {
      name: 'only somebody of an older assignment does',
      gateways: [answering('gw-2', 6, 1)],
      who: 'gw-2',
      announced: false,
    },
    {
      name: 'another does by a right that nobody can have been given',
      gateways: [answering('gw-1', 7, 0), answering('gw-2', Number.MAX_SAFE_INTEGER, 0)],
      who: 'gw-1',
      announced: true,
    },
    {
      name: 'the one with the higher right is dead',
      gateways: [{ ...answering('gw-1', 7, 0), ...dead }, answering('gw-2', 7, 1)],
      who: 'gw-1',
      announced: true,
    },
  ])('$who where $name', ({ gateways, who, announced }) => {
    const view = viewOf(gateways);
    expect(answererOf(egressIp, view)?.gateway).toBe(who);
    expect(isAnnounced(egressIp, view)).toBe(announced);
  });

  test('the last word of a gateway that is not heard of any more says nothing about now', () => {
    const gateways = [answering('gw-1', 7, 0), answering('gw-2', 7, 1)];
    expect(answererOf(egressIp, viewOf(gateways, [lease()], ['gw-2']))?.gateway).toBe('gw-1');
    expect(isAnnounced(egressIp, viewOf(gateways, [lease()], ['gw-1', 'gw-2']))).toBe(false);
  });
});
