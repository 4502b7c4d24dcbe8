import { expect, test } from 'vitest';
import { OwnershipNetwork } from '../../../test/lab/ownershipNetwork.ts';
import type { SessionRef } from '../egressIp.ts';
import { REFRESH_MS } from './announceArmed.ts';
import type { Assignment } from './assignment.ts';
import { ownershipWakeMs } from './ownershipCore.ts';
import type { OwnershipEffect } from './ownershipState.ts';
import { changingAddresses, wordOfOwnership } from './ownershipWord.ts';
import type { VoterConfig } from './voterConfig.ts';

const IP = '203.0.113.10';
const OTHER = '203.0.113.11';
const NODES = ['gw-1', 'gw-2', 'gw-3'];
const CONFIG: VoterConfig = { version: 1, sets: [NODES] };

const of = (gateway: string, session = 1): SessionRef => ({ gateway, session });

function assignment(
  epoch: number,
  order: readonly SessionRef[],
  fence: readonly SessionRef[] = [],
): Assignment {
  return { address: IP, epoch, order, fence, blocksVersion: 1 };
}

/** Three gateways, each with its first session, valid; they are the voters where no others are named. */
function threeGateways(names: readonly string[] = NODES, config: VoterConfig = CONFIG): OwnershipNetwork {
  const network = new OwnershipNetwork(names);
  network.tell({ kind: 'configured', config });
  network.tell({ kind: 'peers', peers: names });
  network.run(Math.ceil(network.durations.startSilenceMs));
  for (const gateway of NODES) network.open(of(gateway));
  network.runUntil(() => NODES.every((name) => wordOfOwnership(network.state(name)).session === 1), 100);
  return network;
}

/** gw-1 answers for IP, gw-2 and gw-3 stand by. */
function served(): OwnershipNetwork {
  const network = threeGateways();
  network.assign([
    assignment(
      1,
      NODES.map((name) => of(name)),
    ),
  ]);
  network.runUntil(() => network.answering(IP).length === 1, 50);
  network.run(100);
  return network;
}

function said(
  network: OwnershipNetwork,
  name: string,
  kind: OwnershipEffect['kind'],
): readonly OwnershipEffect[] {
  return network.node(name).said.filter((effect) => effect.kind === kind);
}

test('the first of the order answers, announces itself and tells everybody', () => {
  const network = served();
  expect(network.answering(IP)).toEqual(['gw-1']);
  expect(said(network, 'gw-1', 'announce')).toEqual([{ kind: 'announce', address: IP }]);
  for (const name of ['gw-2', 'gw-3'])
    expect(said(network, name, 'heard-holdings')).toEqual([
      {
        kind: 'heard-holdings',
        session: of('gw-1'),
        holdings: [{ address: IP, right: { epoch: 1, index: 0 }, blocksVersion: 1 }],
      },
    ]);
  // Each acknowledged it, so it is not said again.
  expect(network.sent('moved')).toEqual(['gw-1→gw-2', 'gw-1→gw-3']);
});

test('an agent that starts anew is told by the holder at once what it answers for', () => {
  const network = served();
  const before = network.packets.length;
  network.start('gw-3');
  network.tell({ kind: 'peers', peers: NODES }, ['gw-3']);
  network.assign([assignment(1, [of('gw-1')])], ['gw-3']);
  network.run(5);
  expect(said(network, 'gw-3', 'heard-holdings')).toHaveLength(1);
  network.run(3000);
  const asked = network.packets.slice(before).filter(({ message }) => message.kind === 'hello');
  expect(asked.filter(({ to }) => to === 'gw-1')).toHaveLength(1);
});

test('while all is well, time passes and nothing moves', () => {
  const network = served();
  const before = network.packets.filter(({ message }) => message.kind === 'ask').length;
  network.run(3000);
  expect(network.answering(IP)).toEqual(['gw-1']);
  expect(network.packets.filter(({ message }) => message.kind === 'ask')).toHaveLength(before);
});

test('when the holder loses power, the first standby answers a promise later and the third leaves it to it', () => {
  const network = served();
  network.kill('gw-1');
  const { heartbeatMs, promiseMs } = network.durations;
  const darkMs = network.runUntil(() => network.answering(IP).length > 0, 400);
  expect(network.answering(IP)).toEqual(['gw-2']);
  expect(darkMs).toBeGreaterThan(promiseMs - heartbeatMs - 5);
  expect(darkMs).toBeLessThan(promiseMs + 10);
  network.run(1000);
  expect(network.answering(IP)).toEqual(['gw-2']);
  expect(wordOfOwnership(network.state('gw-2'))).toMatchObject({
    holdings: [{ address: IP, right: { epoch: 1, index: 1 }, blocksVersion: 1 }],
    dead: [of('gw-1')],
  });
});

test('a holder that dies when nobody wants its address any more is called dead all the same', () => {
  const network = served();
  network.kill('gw-1');
  network.assign([assignment(2, [], [of('gw-1')])]);
  network.run(1000);
  expect(network.answering(IP)).toEqual([]);
  expect(wordOfOwnership(network.state('gw-2')).dead).toEqual([of('gw-1')]);
});

test('a holder that is frozen is silent before anybody takes over, and after it thaws its session is over', () => {
  const network = served();
  network.freeze('gw-1');
  network.runUntil(() => network.answering(IP).includes('gw-2'), 400);
  network.node('gw-1').running = true;
  network.run(1000);
  expect(network.answering(IP)).toEqual(['gw-2']);
  expect(said(network, 'gw-1', 'session-over')).toMatchObject([{ session: 1, floor: 1 }]);
});

test('a holder that is cut off falls silent, its standby takes over, and the new session does not reclaim the rank', () => {
  const network = served();
  network.cut('gw-1');
  network.runUntil(() => network.answering(IP).includes('gw-2'), 400);
  network.cut();
  network.run(1000);
  network.open(of('gw-1', 2));
  network.run(1000);
  expect(wordOfOwnership(network.state('gw-1')).session).toBe(2);
  expect(network.answering(IP)).toEqual(['gw-2']);
});

test('a gateway that is cut off and comes back within its promise goes on with its session', () => {
  const network = served();
  network.cut('gw-1');
  network.run(170);
  network.cut();
  network.run(1000);
  expect(network.answering(IP)).toEqual(['gw-1']);
  expect(said(network, 'gw-1', 'session-over')).toEqual([]);
});

test('a standby that is not heard for long is not called dead, and when the holder dies later it takes over', () => {
  const network = served();
  network.cut('gw-2');
  network.run(2000);
  network.cut();
  network.run(600);
  expect(said(network, 'gw-2', 'session-over')).toEqual([]);
  network.kill('gw-1');
  network.runUntil(() => network.answering(IP).length > 0, 400);
  expect(network.answering(IP)).toEqual(['gw-2']);
});

test('when the holder dies long after its first standby, the second one does not wait much longer', () => {
  const voters = ['w-1', 'w-2', 'w-3'];
  const network = threeGateways([...NODES, ...voters], { version: 1, sets: [voters] });
  network.assign([
    assignment(
      1,
      NODES.map((name) => of(name)),
    ),
  ]);
  network.run(100);
  network.kill('gw-2');
  network.run(1000);
  network.kill('gw-1');
  const { promiseMs } = network.durations;
  const darkMs = network.runUntil(() => network.answering(IP).length > 0, 400);
  expect(network.answering(IP)).toEqual(['gw-3']);
  expect(darkMs).toBeLessThan(promiseMs + 15);
});

test('a gateway that comes back for one heartbeat and then dies is called dead all the same', () => {
  const network = threeGateways();
  network.tell({ kind: 'lease-lost', session: 1 }, ['gw-2']);
  network.assign([assignment(1, [of('gw-1')])]);
  network.run(50);
  network.cut('gw-1');
  network.run(Math.ceil(network.durations.promiseMs) + 20);
  network.cut();
  network.run(network.durations.heartbeatMs + 1);
  network.kill('gw-1');
  network.open(of('gw-2', 2));
  network.assign([assignment(1, [of('gw-1'), of('gw-2', 2)])]);
  network.runUntil(() => network.answering(IP).includes('gw-2'), 1000);
});

// A planned hand-over.

function handingOver(network: OwnershipNetwork): void {
  network.assign([
    assignment(
      2,
      [of('gw-2'), of('gw-1'), of('gw-3')],
      NODES.map((name) => of(name)),
    ),
  ]);
}

test('a hand-over asks, waits for the old holder to let go, and leaves the address unanswered for a few milliseconds', () => {
  const network = served();
  handingOver(network);
  expect(network.answering(IP)).toEqual(['gw-1']);
  const quietMs = network.runUntil(() => network.answering(IP).length === 0, 50);
  expect(quietMs).toBeLessThan(10);
  const darkMs = network.runUntil(() => network.answering(IP).length === 1, 50);
  expect(network.answering(IP)).toEqual(['gw-2']);
  expect(darkMs).toBeLessThan(5);
});

test('an old holder that does not know of the move yet lets go when it is asked, and does not come back', () => {
  const network = served();
  network.assign(
    [
      assignment(
        2,
        [of('gw-2'), of('gw-1')],
        NODES.map((name) => of(name)),
      ),
    ],
    ['gw-2'],
  );
  network.runUntil(() => network.answering(IP).includes('gw-2'), 50);
  network.run(500);
  expect(network.answering(IP)).toEqual(['gw-2']);
});

test('while one of the others cannot be asked, the old holder goes on', () => {
  const network = served();
  network.loses = (_, to, { kind }) => to === 'gw-3' && kind === 'ask';
  handingOver(network);
  network.run(500);
  expect(network.answering(IP)).toEqual(['gw-1']);
  network.cut();
  network.runUntil(() => network.answering(IP).includes('gw-2'), 50);
});

test('when the candidate and the holder do not reach each other, both ways go by the voters from the fourth ask on', () => {
  const network = served();
  const pair = ['gw-1', 'gw-2'];
  network.loses = (from, to) => from !== to && pair.includes(from) && pair.includes(to);
  const before = network.packets.length;
  handingOver(network);
  network.runUntil(() => network.answering(IP).includes('gw-2'), 500);
  const asks = network.packets
    .slice(before)
    .filter(
      ({ from, message }) => from === 'gw-2' && message.kind === 'ask' && message.target.gateway === 'gw-1',
    )
    .map(({ to }) => to);
  expect(asks.slice(0, 5)).toEqual(['gw-1', 'gw-1', 'gw-1', 'gw-1', 'gw-3']);
});

test('a lost answer is asked for again', () => {
  const network = served();
  let lost = 0;
  network.loses = (_, __, { kind }) => {
    if (kind !== 'told' || lost >= 3) return false;
    lost += 1;
    return true;
  };
  handingOver(network);
  network.runUntil(() => network.answering(IP).includes('gw-2'), 100);
  expect(lost).toBe(3);
});

// The end of a session.

test('on its closing a gateway lets go of everything, tells the voters, and its standby does not wait for the promise', () => {
  const network = served();
  network.tell({ kind: 'close' }, ['gw-1']);
  expect(wordOfOwnership(network.state('gw-1')).session).toBe(0);
  const darkMs = network.runUntil(() => network.answering(IP).includes('gw-2'), 100);
  expect(darkMs).toBeLessThan(60);
  network.runUntil(() => said(network, 'gw-1', 'session-closed').length > 0, 100);
  expect(said(network, 'gw-1', 'session-closed')).toEqual([{ kind: 'session-closed', session: 1 }]);
  expect(network.state('gw-1').peer).toBeUndefined();
});

test('a closing waits for a kernel that refuses to disarm', () => {
  const network = served();
  let refused = 0;
  network.fate = (_, { kind }) => {
    if (kind !== 'disarm' || refused >= 3) return 'ok';
    refused += 1;
    return 'refused';
  };
  network.tell({ kind: 'close' }, ['gw-1']);
  network.run(2);
  expect(network.answering(IP)).toEqual(['gw-1']);
  expect(network.sent('heartbeat').length).toBeGreaterThan(0);
  network.runUntil(() => said(network, 'gw-1', 'session-closed').length > 0, 200);
  expect(refused).toBe(3);
});

test('a session that is opened while everything is being closed is closed too', () => {
  const network = threeGateways();
  network.tell({ kind: 'close' }, ['gw-1']);
  network.runUntil(() => said(network, 'gw-1', 'session-closed').length === 1, 100);
  network.open(of('gw-1', 2));
  network.runUntil(() => said(network, 'gw-1', 'session-closed').length === 2, 100);
  expect(said(network, 'gw-1', 'session-closed')[1]).toEqual({ kind: 'session-closed', session: 2 });
});

test('a Lease that is lost ends its session and no other', () => {
  const network = threeGateways();
  network.tell({ kind: 'lease-lost', session: 7 }, ['gw-1']);
  expect(said(network, 'gw-1', 'session-over')).toEqual([]);
  network.tell({ kind: 'lease-lost', session: 1 }, ['gw-1']);
  expect(said(network, 'gw-1', 'session-over')).toMatchObject([{ reason: 'lease-lost', session: 1 }]);
});

test('who asks is woken for the next round of it', () => {
  const network = served();
  network.loses = (_, __, { kind }) => kind === 'told';
  handingOver(network);
  network.runUntil(() => network.state('gw-2').addresses.get(IP)?.asking !== undefined, 50);
  const state = network.state('gw-2');
  expect(ownershipWakeMs({ ...state, voter: { ...state.voter, config: undefined } })).toBe(
    state.addresses.get(IP)?.asking?.nextMs,
  );
});

test('a session that ends while somebody is asked wakes nobody for nothing', () => {
  const network = served();
  network.loses = (_, __, { kind }) => kind === 'told';
  handingOver(network);
  network.run(50);
  network.tell({ kind: 'lease-lost', session: 1 }, ['gw-2']);
  network.run(100);
  const wakeMs = ownershipWakeMs(network.state('gw-2'));
  expect(wakeMs === undefined || wakeMs > network.nowMs).toBe(true);
});

test('what a former session asked of the kernel is not taken for the doing of the new one', () => {
  const network = threeGateways();
  network.tell({ kind: 'lease-lost', session: 1 }, ['gw-1']);
  network.open(of('gw-1', 2));
  network.assign([assignment(1, [of('gw-1', 2), of('gw-2')])]);
  const stage = () => network.state('gw-1').addresses.get(IP)?.kernel.kind;
  network.runUntil(() => stage() === 'arming', 100);
  network.tell({ kind: 'armed', address: IP, session: 1, ok: true }, ['gw-1']);
  expect(stage()).toBe('arming');
  network.run(2);
  expect(stage()).toBe('armed');
});

// What is known, and what is said of it.

test('an epoch never goes back: an older object of a watch that starts anew changes nothing', () => {
  const network = served();
  handingOver(network);
  network.runUntil(() => network.answering(IP).includes('gw-2'), 50);
  network.assign([
    assignment(
      1,
      NODES.map((name) => of(name)),
    ),
  ]);
  network.run(300);
  expect(network.answering(IP)).toEqual(['gw-2']);
  expect(network.state('gw-1').assignments.get(IP)?.epoch).toBe(2);
  expect(wordOfOwnership(network.state('gw-1')).released.get(IP)).toBe(2);
});

test('nor when the address was gone meanwhile: an older object that shows it again gives nobody a right', () => {
  const network = served();
  handingOver(network);
  network.runUntil(() => network.answering(IP).includes('gw-2'), 50);
  network.assign([]);
  network.run(50);
  expect(network.answering(IP)).toEqual([]);
  network.assign([
    assignment(
      1,
      NODES.map((name) => of(name)),
    ),
  ]);
  network.run(300);
  expect(network.answering(IP)).toEqual([]);
});

test('of an address whose command is under way nothing is said, neither that it is held nor that it is not', () => {
  const network = threeGateways();
  network.assign([
    assignment(1, [of('gw-1'), of('gw-2')]),
    { ...assignment(1, [of('gw-2')]), address: OTHER },
  ]);
  const word = wordOfOwnership(network.state('gw-1'));
  expect(changingAddresses(network.state('gw-1'))).toEqual(new Set([IP]));
  expect(word.holdings).toEqual([]);
  expect(word.released).toEqual(new Map([[OTHER, 1]]));
  network.run(5);
  expect(wordOfOwnership(network.state('gw-1'))).toMatchObject({ holdings: [{ address: IP }] });
  network.assign([{ ...assignment(1, [of('gw-2')]), address: OTHER }]);
  expect(changingAddresses(network.state('gw-1'))).toEqual(new Set([IP]));
  expect(wordOfOwnership(network.state('gw-1')).holdings).toEqual([]);
});

test('a session is spoken of once a majority has granted it, and not before', () => {
  const network = new OwnershipNetwork(NODES);
  network.tell({ kind: 'configured', config: CONFIG });
  network.run(300);
  network.cut('gw-1');
  network.open(of('gw-1'));
  network.run(100);
  expect(wordOfOwnership(network.state('gw-1')).session).toBe(0);
  network.cut();
  network.run(50);
  expect(wordOfOwnership(network.state('gw-1'))).toMatchObject({ session: 1, config: { version: 1 } });
});

test('what the API says of the dead and of who let go is as good as hearing it', () => {
  const network = served();
  network.loses = (from, to, { kind }) => kind === 'told' || (from !== to && from === 'gw-1');
  network.assign([assignment(2, [of('gw-3')], [of('gw-1'), of('gw-2')])], ['gw-3']);
  network.kill('gw-1');
  const released = [{ session: of('gw-2'), address: IP, epoch: 2 }];
  network.tell({ kind: 'stated', dead: [of('gw-1')], released }, ['gw-3']);
  network.runUntil(() => network.answering(IP).includes('gw-3'), 20);
});

test('an address that is in no assignment any more is disarmed at once, also when the others do not know', () => {
  const network = served();
  network.assign([], ['gw-1']);
  network.run(5);
  expect(network.answering(IP)).toEqual([]);
});

test('neighbours are told whenever an address is answered that was not, sources also when its right or ports change', () => {
  const network = served();
  network.assign([
    {
      ...assignment(
        1,
        NODES.map((name) => of(name)),
      ),
      blocksVersion: 2,
    },
  ]);
  network.run(10);
  expect(said(network, 'gw-1', 'announce')).toHaveLength(1);
  expect(said(network, 'gw-2', 'heard-holdings').at(-1)).toMatchObject({ holdings: [{ blocksVersion: 2 }] });
});

test('after a lapse it announces what it answers for again: the kernel kept in what was said meanwhile', () => {
  const network = served();
  const { loses } = network;
  network.run(300);
  // It is heard, so nobody calls it dead, and hears nothing.
  network.loses = (from, to) => to === 'gw-1' && from !== to;
  const lapsed = (): boolean => network.nowMs > (network.state('gw-1').peer?.validUntilMs ?? 0);
  network.runUntil(lapsed, 300);
  expect(network.answering(IP)).toEqual([]);
  network.loses = loses;
  network.runUntil(() => !lapsed(), 100);
  network.run(5);
  expect(network.answering(IP)).toEqual(['gw-1']);
  expect(network.state('gw-1').peer?.session).toBe(1);
  expect(said(network, 'gw-1', 'announce')).toHaveLength(2);
});

test('neighbours are told again while an address is answered, each time once, and not of one that is not', () => {
  const network = served();
  network.run(REFRESH_MS + 50);
  expect(said(network, 'gw-1', 'announce')).toHaveLength(1);
  expect(said(network, 'gw-1', 'refresh')).toEqual([{ kind: 'refresh', address: IP }]);
  network.run(REFRESH_MS);
  expect(said(network, 'gw-1', 'refresh')).toHaveLength(2);
  expect(said(network, 'gw-2', 'refresh')).toEqual([]);
});

// Who votes.

test('a newer configuration reaches a gateway by the answer to its heartbeat', () => {
  const network = served();
  const next: VoterConfig = { version: 2, sets: [NODES, ['gw-2', 'gw-3']] };
  network.tell({ kind: 'configured', config: next }, ['gw-2', 'gw-3']);
  network.run(100);
  expect(network.state('gw-1').voter.config).toEqual(next);
  network.run(1000);
  expect(network.answering(IP)).toEqual(['gw-1']);
});

test('voters are replaced one at a time by way of a joint configuration, and nobody notices', () => {
  const network = threeGateways([...NODES, 'w-1']);
  network.assign([assignment(1, [of('gw-1'), of('gw-2')])]);
  network.run(100);
  const after = ['gw-2', 'gw-3', 'w-1'];
  network.tell({ kind: 'configured', config: { version: 2, sets: [NODES, after] } });
  network.run(500);
  network.tell({ kind: 'configured', config: { version: 3, sets: [after] } });
  network.run(500);
  expect(network.answering(IP)).toEqual(['gw-1']);
  for (const name of NODES) expect(said(network, name, 'session-over')).toEqual([]);
  network.kill('gw-1');
  network.runUntil(() => network.answering(IP).includes('gw-2'), 400);
});

test('without any voter that answers, no session becomes valid and each ends', () => {
  const network = new OwnershipNetwork(NODES);
  network.tell({ kind: 'configured', config: { version: 1, sets: [['x', 'y', 'z']] } });
  network.open(of('gw-1'));
  network.assign([assignment(1, [of('gw-1')])]);
  network.run(300);
  expect(network.answering(IP)).toEqual([]);
  expect(said(network, 'gw-1', 'session-over')).toMatchObject([{ reason: 'no-majority' }]);
});

test.each([
  { name: 'an older epoch', restored: assignment(3, [of('gw-2'), of('gw-3')], [of('gw-1')]) },
  { name: 'the same epoch for another order', restored: assignment(4, [of('gw-2'), of('gw-3')]) },
  { name: 'the same epoch with fewer standbys', restored: assignment(4, [of('gw-1')]) },
])(
  '$name, as an API shows it that was restored from a snapshot, moves nothing; a higher one does',
  ({ restored }) => {
    const network = served();
    const current = assignment(4, [of('gw-1'), of('gw-3')], [of('gw-2')]);
    network.assign([current]);
    network.run(500);
    network.assign([restored]);
    network.run(2000);
    expect(network.answering(IP)).toEqual(['gw-1']);
    // What is said of the address by all others is the word that the controller needs.
    for (const name of ['gw-2', 'gw-3'])
      expect(wordOfOwnership(network.state(name)).released.get(IP)).toBe(4);
    for (const name of NODES) expect(network.state(name).assignments.get(IP)?.order).toEqual(current.order);
    network.assign([assignment(5, [of('gw-2')], [of('gw-1'), of('gw-3')])]);
    network.runUntil(() => network.answering(IP).join() === 'gw-2', 500);
    expect(network.answering(IP)).toEqual(['gw-2']);
  },
);

test('an assignment of the same epoch that has more standbys is taken', () => {
  const network = served();
  network.assign([assignment(4, [of('gw-1')], [of('gw-2')])]);
  network.run(200);
  network.assign([assignment(4, [of('gw-1'), of('gw-3')])]);
  network.run(200);
  expect(network.state('gw-3').assignments.get(IP)?.order).toEqual([of('gw-1'), of('gw-3')]);
});
