/**
 * A process of its own that runs the product's ownership thread on the uplink of its network namespace and says what it
 * costs. `measuredAgent.ts <role> <seconds>`; the role is `voter`, `gateway` or `bystander`. A line "begin" and one of JSON.
 */
import { setTimeout as passed } from 'node:timers/promises';
import type { Assignment } from '../../failover/core/ownership/assignment.ts';
import { startOwnershipThread } from '../../failover/io/ownershipThread.ts';
import {
  ADDRESSES_HELD,
  addressOf,
  GATEWAYS,
  KEYS,
  MEASURED,
  peersOf,
  settingsOf,
  votersFor,
} from './scene.ts';

const [, , role = 'bystander', seconds = '10'] = process.argv;
const SETTLE_MS = 6000;
const STEP_MS = 100;
const HELD_WITHIN_MS = 20_000;

let session = 1;
let held = 0;
const thread = await startOwnershipThread({
  module: new URL('../../failover/ownership.ts', import.meta.url),
  settings: settingsOf(MEASURED),
  onMessage(message) {
    if (message.kind === 'flushed')
      thread.post({ kind: 'event', event: { kind: 'opened', session, boot: 'measured' } });
    if (message.kind === 'word') held = message.word.holdings.length;
    if (message.kind === 'session-over') openNext();
  },
  onEnd(reason) {
    throw new Error(`the ownership thread ended: ${reason}`);
  },
});
thread.post({ kind: 'keys', keys: KEYS });
thread.post({ kind: 'peers', peers: peersOf() });
thread.post({
  kind: 'event',
  event: { kind: 'configured', config: { version: 1, sets: [votersFor(role)] } },
});
thread.post({ kind: 'event', event: { kind: 'assigned', assignments: assignments() } });
if (role === 'gateway') thread.post({ kind: 'flush' });
await passed(SETTLE_MS);
await untilHeld();
const measured = session;
const sessionsLost = session - 1;
console.log('begin');
const before = process.cpuUsage();
const began = performance.now();
await passed(Number(seconds) * 1000);
const { user, system } = process.cpuUsage(before);
const cpuPercent = (user + system) / 10 / (performance.now() - began);
console.log(JSON.stringify({ cpuPercent, rssMb: process.memoryUsage().rss / 2 ** 20, sessionsLost }));
if (session !== measured) throw new Error('the session ended while it was measured: this says nothing');
await thread.stop();

/** As an agent does whose session ended: another one, which is named in the next assignment. */
function openNext(): void {
  session += 1;
  thread.post({ kind: 'event', event: { kind: 'assigned', assignments: assignments() } });
  thread.post({ kind: 'flush' });
}

/** Telling a thousand agents of everything is to cost no session; the bench says how many it did. */
async function untilHeld(): Promise<void> {
  const wanted = role === 'gateway' ? ADDRESSES_HELD : 0;
  for (let waitedMs = 0; held !== wanted; waitedMs += STEP_MS) {
    if (waitedMs > HELD_WITHIN_MS) throw new Error(`it holds ${held} of ${wanted} addresses`);
    await passed(STEP_MS);
  }
}

/** Each address has one gateway of the scene, or the measured one where it is a gateway. */
function assignments(): ReadonlyMap<string, Assignment> {
  return new Map(
    Array.from({ length: ADDRESSES_HELD }, (_, index) => {
      const address = addressOf(index);
      const holder = role === 'gateway' ? MEASURED : (GATEWAYS[index % GATEWAYS.length] ?? MEASURED);
      const order = [{ gateway: holder, session: holder === MEASURED ? session : 1 }];
      return [address, { address, epoch: session, order, fence: [], blocksVersion: 0 }] as const;
    }),
  );
}
