import { describe, expect, test } from 'vitest';
import { makeAddress } from '../../../policy/address.ts';
import { VOTERS_CONFIG_MAP } from '../../../policy/names.ts';
import type { EgressIp } from '../egressIp.ts';
import { absorb } from './absorb.ts';
import type { ControllerEvent } from './controllerEvents.ts';
import { type ControllerState, initialController } from './controllerState.ts';
import type { EgressIpObject, VotersObject } from './controllerView.ts';
import type { GatewayLease } from './sessions.ts';
import { becomeReading, becomeWriting, mayWrite, REST_MS } from './writeLedger.ts';

const NOW = { monotonicMs: 1000, wallMs: 5000 };
const KEY = '203.0.113.10';
const OBJECT = `egressIps/${KEY}`;

function egressIp(resourceVersion: string): EgressIpObject {
  const value: EgressIp = {
    name: KEY,
    uid: 'u',
    resourceVersion,
    address: makeAddress(4, 0xcb00710an),
    policies: [],
    epoch: 1,
    order: [],
    fence: [],
    blocksVersion: 0,
    blocks: [],
    resting: [],
  };
  return { egressIp: value, status: undefined };
}

const lease: GatewayLease = { gateway: 'gw-1', session: 4, holding: true, durationMs: 3000, version: '7' };
const present = (version: string): ControllerEvent => ({
  kind: 'answered',
  collection: 'egressIps',
  key: KEY,
  answer: { kind: 'present', value: egressIp(version) },
});
const versionOf = ({ caches }: ControllerState) => caches.egressIps?.get(KEY)?.egressIp.resourceVersion;

function stateWith(change: Partial<ControllerState> = {}): ControllerState {
  const initial = initialController();
  const egressIps = new Map([[KEY, egressIp('10')]]);
  return {
    ...initial,
    caches: { ...initial.caches, egressIps, leases: new Map([['gw-1', lease]]) },
    ...change,
  };
}

function play(state: ControllerState, ...events: readonly ControllerEvent[]): ControllerState {
  return events.reduce((before, event) => absorb(before, event, NOW).state, state);
}

describe('an answer', () => {
  const writing = stateWith({ ledger: becomeWriting(new Map(), OBJECT) });

  test('is an observation, unless the watch was faster', () => {
    expect(versionOf(play(writing, present('11')))).toBe('11');
    const upserted: ControllerEvent = {
      kind: 'upserted',
      collection: 'egressIps',
      key: KEY,
      value: egressIp('100'),
    };
    expect(versionOf(play(writing, upserted, present('11')))).toBe('100');
  });

  test('about an object that vanished meanwhile does not bring it back: it is read', () => {
    const removed: ControllerEvent = { kind: 'removed', collection: 'egressIps', key: KEY };
    const { state, effects } = absorb(play(writing, removed), present('11'), NOW);
    expect(versionOf(state)).toBeUndefined();
    expect(effects).toEqual([{ kind: 'read-object', collection: 'egressIps', key: KEY }]);
  });

  test('that was lost is followed by a read, and one that read nothing by a rest and another read', () => {
    const stale: ControllerEvent = {
      kind: 'answered',
      collection: 'egressIps',
      key: KEY,
      answer: { kind: 'stale' },
    };
    const failed: ControllerEvent = { ...stale, answer: { kind: 'failed' } };
    expect(absorb(writing, stale, NOW).effects).toMatchObject([{ kind: 'read-object' }]);
    const resting = play(writing, stale, failed);
    const later = { ...NOW, monotonicMs: NOW.monotonicMs + REST_MS };
    expect(absorb(resting, { kind: 'tick' }, NOW).effects).toEqual([]);
    expect(absorb(resting, { kind: 'tick' }, later).effects).toEqual([
      { kind: 'read-object', collection: 'egressIps', key: KEY },
    ]);
  });

  test('that nobody can read is as if nothing stood there, but nothing is written for a while', () => {
    const unreadable: ControllerEvent = {
      kind: 'answered',
      collection: 'egressIps',
      key: KEY,
      answer: { kind: 'unreadable' },
    };
    const asked = new Map([[KEY, egressIp('10').egressIp]]);
    const { state, effects } = absorb({ ...writing, asked }, unreadable, NOW);
    expect([versionOf(state), state.asked.size, effects]).toEqual([undefined, 0, []]);
    expect(mayWrite(state.ledger, OBJECT)).toBe(false);
    const later = { ...NOW, monotonicMs: NOW.monotonicMs + REST_MS };
    const rested = absorb(state, { kind: 'tick' }, later);
    expect(rested.effects).toEqual([]);
    expect(mayWrite(rested.state.ledger, OBJECT)).toBe(true);
  });

  test('to a spec: it may stand until that is known not to be so', () => {
    const asked = new Map([[KEY, egressIp('10').egressIp]]);
    const failed: ControllerEvent = {
      kind: 'answered',
      collection: 'egressIps',
      key: KEY,
      answer: { kind: 'failed' },
    };
    expect(play({ ...writing, asked }, failed).asked.size).toBe(0);
    const reading = stateWith({ asked, ledger: becomeReading(new Map(), OBJECT) });
    expect(play(reading, failed).asked.size).toBe(1);
    expect(play(reading, present('11')).asked.size).toBe(0);
  });

  test('that somebody else changed the voters first is followed by a read before they are written again', () => {
    const object = `voters/${VOTERS_CONFIG_MAP}`;
    const state = stateWith({ ledger: becomeWriting(new Map(), object) });
    const stale: ControllerEvent = {
      kind: 'answered',
      collection: 'voters',
      key: VOTERS_CONFIG_MAP,
      answer: { kind: 'stale' },
    };
    expect(absorb(state, stale, NOW).effects).toEqual([
      { kind: 'read-object', collection: 'voters', key: VOTERS_CONFIG_MAP },
    ]);
    expect(mayWrite(play(state, stale).ledger, object)).toBe(false);
    const value: VotersObject = { config: { version: 4, sets: [['a']] }, resourceVersion: '9' };
    const present: ControllerEvent = { ...stale, answer: { kind: 'present', value } };
    const read = play({ ...state, caches: { ...state.caches, voters: new Map() } }, stale, present);
    expect(read.caches.voters?.get(VOTERS_CONFIG_MAP)).toEqual(value);
    expect(mayWrite(read.ledger, object)).toBe(true);
  });
});

test.each([
  { name: 'a heartbeat', value: { ...lease, version: '8' }, quiet: true },
  { name: 'another session', value: { ...lease, version: '8', session: 5 }, quiet: false },
  { name: 'a closed Lease', value: { ...lease, version: '8', holding: false }, quiet: false },
  { name: 'a gateway not seen before', value: { ...lease, gateway: 'gw-2' }, quiet: false },
])('whether a decision follows: $name', ({ value, quiet }) => {
  const event: ControllerEvent = { kind: 'upserted', collection: 'leases', key: value.gateway, value };
  expect(absorb(stateWith(), event, NOW).quiet).toBe(quiet);
});

test('a renewal that came too late is news: its gateway was silent until then', () => {
  const synced: ControllerEvent = {
    kind: 'synced',
    collection: 'leases',
    items: new Map([['gw-1', lease]]),
  };
  const state = absorb(initialController(), synced, NOW).state;
  const renewed: ControllerEvent = {
    kind: 'upserted',
    collection: 'leases',
    key: 'gw-1',
    value: { ...lease, version: '8' },
  };
  const after = (ms: number) => absorb(state, renewed, { ...NOW, monotonicMs: NOW.monotonicMs + ms }).quiet;
  expect([after(2999), after(3000)]).toEqual([true, false]);
});

test('a part of a collection is no view of it: before its first list nothing is taken up', () => {
  const event: ControllerEvent = { kind: 'upserted', collection: 'leases', key: 'gw-1', value: lease };
  expect(play(initialController(), event).caches.leases).toBeUndefined();
});
