/** What connections and packets notice when an egress IP moves, an agent restarts or its heartbeat ends. */

import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  address,
  createDataPlaneFixture,
  type DataPlaneFixture,
  EGRESS,
  EGRESS6,
  planFor,
  SERVER,
  SESSION,
  STACKS,
  seen,
} from '../../test/lab/dataPlaneFixture.ts';
import { NODE_NAMES, NODES } from '../../test/lab/dataPlaneLab.ts';
import { parseSocketDrops } from '../../test/probe/socketDrops.ts';
import { tunnelMac } from '../core/dataplane/tunnelMac.ts';
import type { KernelGate } from './answerGate.ts';

/** Where SERVER echoes. */
const SERVER_UDP_PORT = 8081;
/** Long enough for a machine with two busy cores to see the answer, short enough to wait for its end. */
const LIFETIMES = { windows: [{ withinMs: 700, answerMs: 1_500 }] };
let fixture: DataPlaneFixture;

beforeAll(async () => {
  fixture = createDataPlaneFixture('moves');
  await fixture.lab.program('ext', SERVER).line(/ready/);
});
afterAll(async () => {
  await fixture.end();
});
beforeEach(async () => {
  await fixture.reset();
});

/** A thousand datagrams a second through the echo; on "end" it waits for the last and says how many came back. */
const flooding = (outside: string): string => `
const u = require('dgram').createSocket('${outside.includes(':') ? 'udp6' : 'udp4'}'); let sent = 0, ended = false; const back = new Set(); const t0 = performance.now();
u.on('message', (m) => { back.add(String(m)); if (back.size === 200) console.log('flowing'); });
u.connect(8081, '${outside}', () => { const t = setInterval(() => { if (ended) return;
  const due = Math.floor(performance.now() - t0); while (sent < due) u.send(String(sent++)); }, 1);
  process.stdin.on('data', () => { ended = true; setTimeout(() => { console.log(JSON.stringify({ sent, lost: sent - back.size, port: u.address().port,
    tables: ['udp', 'udp6'].map((name) => require('fs').readFileSync('/proc/self/net/' + name, 'latin1')) })); process.exit(0); }, 500); }); });`;

/** What full sockets of the two programs lost is no loss of the network: a busy machine lets them wait. */
function droppedByServer(outside: string): number {
  const table = outside.includes(':') ? '/proc/net/udp6' : '/proc/net/udp';
  return parseSocketDrops(fixture.lab.run('ext', 'cat', table), SERVER_UDP_PORT);
}

async function startFlood(outside: string): Promise<{ lostOnTheWay(): Promise<number> }> {
  const before = droppedByServer(outside);
  const program = fixture.lab.program('p1', flooding(outside));
  await program.line(/flowing/);
  return {
    async lostOnTheWay() {
      program.write('end\n');
      const { sent, lost, port, tables } = JSON.parse(await program.line(/^\{/)) as {
        readonly sent: number;
        readonly lost: number;
        readonly port: number;
        readonly tables: readonly string[];
      };
      expect(sent).toBeGreaterThan(100);
      const here = tables.reduce((sum, table) => sum + parseSocketDrops(table, port), 0);
      return lost - here - (droppedByServer(outside) - before);
    },
  };
}

/** Two connections, one pushed by the server and one by the pod; says how far each came each time it is asked. */
const streaming = (outside: string): string => `
const net = require('net'); const count = { server: 0, pod: 0 }; const errors = [];
const a = net.connect(8080, '${outside}', () => a.write('push')); a.on('data', () => count.server++);
const b = net.connect(8080, '${outside}', () => setInterval(() => b.write('x'), 20)); b.on('data', () => count.pod++);
for (const s of [a, b]) { s.on('error', (e) => errors.push(e.code)); s.on('close', () => errors.push('closed')); }
const t = setInterval(() => { if (count.server > 5 && count.pod > 5) { clearInterval(t); console.log('flowing'); } }, 10);
process.stdin.on('data', () => { const s = count.server, p = count.pod; const w = setInterval(() => {
  if (errors.length > 0) { clearInterval(w); console.log('dead ' + errors.join(',')); }
  if (count.server > s + 5 && count.pod > p + 5) { clearInterval(w); console.log('alive'); } }, 10); });`;

test.each(STACKS)(
  'a planned move at a thousand packets of $name a second each way loses none',
  async ({ outside }) => {
    const flood = await startFlood(outside);
    await fixture.moveTo('gw1', 'gw2');
    expect(await flood.lostOnTheWay()).toBe(0);
  },
);

// On busy processors, so that a tool is stopped between two of its commands now and then.
test.each(STACKS)(
  'moves of $name to and fro, while the router still sends to a former holder, lose none',
  async ({ outside }) => {
    const spinners = Array.from({ length: 2 * availableParallelism() }, () =>
      spawn('sh', ['-c', 'while :; do :; done'], { stdio: 'ignore' }),
    );
    try {
      const flood = await startFlood(outside);
      for (let round = 0; round < 10; round += 1) {
        await fixture.moveTo('gw1', 'gw2');
        await fixture.moveTo('gw2', 'gw1');
      }
      expect(await flood.lostOnTheWay()).toBe(0);
    } finally {
      for (const spinner of spinners) spinner.kill('SIGKILL');
    }
  },
);

test.each(STACKS.flatMap((stack) => ['p1', 'p3'].map((pod) => ({ ...stack, pod }))))(
  '$name connections of $pod in both push directions survive the death of their gateway',
  async ({ pod, outside }) => {
    const streams = fixture.lab.program(pod, streaming(outside));
    await streams.line(/flowing/);
    fixture.lab.run('sw', 'ip', 'link', 'set', 'gw1', 'down');
    await fixture.answerAt('gw2');
    await fixture.applyAll(
      { holder: 'gw2' },
      NODE_NAMES.filter((node) => node !== 'gw1'),
    );
    streams.write('?\n');
    expect(await streams.line(/^(alive|dead)/)).toBe('alive');
    fixture.lab.run('sw', 'ip', 'link', 'set', 'gw1', 'up');
    streams.stop();
  },
);

test('an agent that starts again changes nothing in the kernel and loses no packet', async () => {
  const floods = [];
  for (const { outside } of STACKS) floods.push(await startFlood(outside));
  for (const node of NODE_NAMES) {
    const ruleset = (): string => fixture.lab.run(node, 'nft', '--stateless', '--handle', 'list', 'ruleset');
    const links = (): string => fixture.lab.run(node, 'ip', 'address', 'show', 'dev', 'egress0');
    const before = [ruleset(), links()];
    const restarted = await fixture.restart(node);
    const sentTo = (await restarted.readHolders()).get(EGRESS);
    expect(sentTo).toBe(node === 'gw1' ? undefined : tunnelMac(address(NODES.gw1)));
    expect(await restarted.apply(planFor(node, { holder: 'gw1' }))).toEqual({ kind: 'ok' });
    expect([ruleset(), links()]).toEqual(before);
  }
  const lost = [];
  for (const flood of floods) lost.push(await flood.lostOnTheWay());
  expect(lost).toEqual([0, 0]);
});

test('moving an address changes one map element on a node that neither had nor gets it', async () => {
  const elements = (): readonly string[] =>
    fixture.lab
      .run('w1', 'nft', '--stateless', 'list', 'ruleset')
      .split('\n')
      .map((line) => line.trim());
  const before = elements();
  await fixture.moveTo('gw1', 'gw2');
  const changed = elements().filter((line, index) => line !== before[index]);
  expect(changed).toHaveLength(2);
  for (const egress of [EGRESS, EGRESS6])
    expect(changed.some((line) => line.includes(`${egress} : 0xcb00710c`))).toBe(true);
});

test('a source that is steered ahead of its next plan sends to the new gateway, and the plan finds it so', async () => {
  const sentTo = async (node: 'w1'): Promise<readonly (string | undefined)[]> => {
    const holders = await fixture.plane(node).readHolders();
    return [holders.get(EGRESS), holders.get(EGRESS6)];
  };
  const moved = [1, 2].map(() => tunnelMac(address(NODES.gw2)));
  const { gate } = fixture.plane('w1');
  expect(await gate.flush()).toEqual({ kind: 'ok' });
  for (const egress of [EGRESS, EGRESS6]) gate.steer(address(egress), address(NODES.gw2));
  // Commands take effect in the order they are sent.
  expect(await gate.beat(SESSION, 3000)).toEqual({ kind: 'ok' });
  expect(await sentTo('w1')).toEqual(moved);
  expect(await fixture.plane('w1').apply(planFor('w1', { holder: 'gw2' }))).toEqual({ kind: 'ok' });
  expect(await sentTo('w1')).toEqual(moved);
});

const answersArp = (): boolean =>
  fixture.lab.attempt('rtr', 'arping', '-q', '-c1', '-w1', '-I', 'eth0', EGRESS).code === 0;

/** Commands take effect in the order they are sent. */
async function granted(gate: KernelGate, seq: number): Promise<void> {
  gate.grant(SESSION, seq);
  expect(await gate.beat(SESSION, seq + 100_000)).toEqual({ kind: 'ok' });
}

test('without heartbeats the kernel falls silent by itself, counts it, and goes on forwarding', async () => {
  await fixture.restart('gw1', LIFETIMES);
  await fixture.answerAt('gw1');
  expect(answersArp()).toBe(true);
  const before = await fixture.counted('gw1', 'fenced');
  await expect.poll(answersArp, { timeout: 10_000 }).toBe(false);
  expect(await fixture.counted('gw1', 'fenced')).toBeGreaterThan(before);
  expect(seen(fixture.lab, 'p1')).toContain(EGRESS); // The router still knows where the address was.
  await fixture.restart('gw1');
});

test('disarming and flushing silence the address at once, whatever lives on', async () => {
  expect(answersArp()).toBe(true);
  expect(await fixture.plane('gw1').gate.flush()).toEqual({ kind: 'ok' });
  expect(answersArp()).toBe(false);
  await fixture.answerAt('gw1');
  expect(answersArp()).toBe(true);
  expect(await fixture.plane('gw1').gate.disarm(address(EGRESS))).toEqual({ kind: 'ok' });
  expect(answersArp()).toBe(false);
});

test('what is disarmed or armed while the guard is written anew stays so', async () => {
  const { gate } = fixture.plane('gw1');
  await fixture.answerAt('gw1');
  const sessions = (): string =>
    fixture.lab.run('gw1', 'nft', 'list', 'map', 'netdev', 'sallyport_guard', 'address_session');
  expect(sessions()).toContain(EGRESS);
  const disarmed = await Promise.all([gate.reassert(), gate.disarm(address(EGRESS))]);
  expect(disarmed).toEqual([{ kind: 'ok' }, { kind: 'ok' }]);
  expect(sessions()).not.toContain(EGRESS);
  const armed = await Promise.all([gate.reassert(), gate.arm(address(EGRESS), SESSION)]);
  expect(armed).toEqual([{ kind: 'ok' }, { kind: 'ok' }]);
  expect(sessions()).toContain(EGRESS);
  await fixture.answerAt('gw1');
});

test('a guard that somebody took away is back with the second heartbeat, with all that is on the device in it', async () => {
  const { gate } = fixture.plane('gw1');
  expect(answersArp()).toBe(true);
  fixture.lab.run('gw1', 'nft', 'delete', 'table', 'netdev', 'sallyport_guard');
  expect((await gate.beat(SESSION, 1001)).kind).toBe('unknown');
  expect(await gate.beat(SESSION, 1002)).toEqual({ kind: 'ok' });
  // Nothing was granted yet: the address is guarded and silent.
  expect(answersArp()).toBe(false);
  await granted(gate, 1002);
  expect(answersArp()).toBe(true);
});

test('a grant that comes late, or for a heartbeat that never was, lets nobody answer', async () => {
  const { gate } = await fixture.restart('gw1', { windows: [{ withinMs: 200, answerMs: 60_000 }] });
  expect(await gate.flush()).toEqual({ kind: 'ok' });
  expect(await gate.arm(address(EGRESS), SESSION)).toEqual({ kind: 'ok' });
  await granted(gate, 2000);
  expect(answersArp()).toBe(false);
  expect(await gate.beat(SESSION, 2001)).toEqual({ kind: 'ok' });
  await setTimeout(400);
  await granted(gate, 2001);
  expect(answersArp()).toBe(false);
  expect(await gate.beat(SESSION, 2002)).toEqual({ kind: 'ok' });
  await granted(gate, 2002);
  expect(answersArp()).toBe(true);
  await fixture.restart('gw1');
});

test('a new process guards what the one before it left on the device, before it knows of any assignment', async () => {
  fixture.lab.run('gw1', 'nft', 'delete', 'table', 'netdev', 'sallyport_guard');
  const { gate } = await fixture.restart('gw1');
  expect(await gate.flush()).toEqual({ kind: 'ok' });
  expect(answersArp()).toBe(false);
});

test('an announcement moves the router to the new gateway', async () => {
  const learned = (): string => fixture.lab.run('rtr', 'ip', 'neigh', 'show', EGRESS);
  const macOf = (node: string): string =>
    (JSON.parse(fixture.lab.run(node, 'ip', '-j', 'link', 'show', 'eth0')) as [{ address: string }])[0]
      .address;
  expect(seen(fixture.lab, 'p1')).toContain(EGRESS);
  expect(learned()).toContain(macOf('gw1'));
  await fixture.moveTo('gw1', 'gw2');
  await expect.poll(learned, { timeout: 5_000 }).toContain(macOf('gw2'));
});

test('the guard follows addresses that go one right after the other', async () => {
  const { gate } = fixture.plane('gw1');
  const all = Array.from({ length: 20 }, (_, at) => address(`203.0.113.${120 + at}`));
  const guarded = (): string => fixture.lab.run('gw1', 'nft', 'list set netdev sallyport_guard guarded');
  expect(await gate.guard(all)).toEqual({ kind: 'ok' });
  expect(guarded()).toContain('203.0.113.139');
  const outcomes = await Promise.all(all.map((_, at) => gate.guard(all.slice(at + 1))));
  expect(outcomes.filter(({ kind }) => kind !== 'ok')).toEqual([]);
  expect(guarded()).not.toMatch(/203\.0\.113\.1[23]/);
});
