/** The traffic probes against each other on loopback: what they report is what scenarios are judged by. */
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, test, vi } from 'vitest';
import { Arrivals } from '../probe/arrivals.ts';
import { parseDown, parseUp, renderDown, renderUp } from '../probe/datagram.ts';
import { lostOnTheWay } from '../probe/lostOnTheWay.ts';
import { startPacer } from '../probe/pacer.ts';
import { type ProbeClientOptions, startProbeClient } from '../probe/probeClient.ts';
import { LOCAL_CLIENT, LOCAL_SERVER, startClient, startServer } from '../probe/probeProcess.ts';
import { type ProbeServer, startProbeServer } from '../probe/probeServer.ts';
import type { ProbePorts, ServedFlow, UdpReport } from '../probe/report.ts';
import { SequenceRecord } from '../probe/sequenceRecord.ts';
import { readSocketDrops } from '../probe/socketDrops.ts';

const ANY_PORTS: ProbePorts = { echo: 0, push: 0, udp: 0, http: 0 };
const UDP: UdpReport = {
  sent: 1000,
  lostUp: 0,
  lostDown: 0,
  droppedDown: 0,
  duplicatesDown: 0,
  receivedDown: 1000,
  longestGapUpMs: 0,
  longestGapDownMs: 0,
  sources: {},
};
const SERVED: ServedFlow = {
  run: 'r',
  received: 1000,
  missing: 0,
  dropped: 0,
  duplicates: 0,
  sent: 1000,
  longestGapMs: 0,
  sources: {},
};
const WAIT = { timeout: 10_000, interval: 10 };
const cleanUps: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function server(): Promise<ProbeServer> {
  const started = await startProbeServer({ host: '127.0.0.1', ports: ANY_PORTS, intervalMs: 5 });
  cleanUps.push(() => started.close());
  return started;
}

async function client(ports: ProbePorts, options: Partial<ProbeClientOptions>) {
  const nothing = { podPush: 0, serverPush: 0, idle: 0, udpRate: 0, intervalMs: 5 };
  const started = await startProbeClient({ server: '127.0.0.1', ports, ...nothing, ...options });
  let stopped: ReturnType<typeof started.stop> | undefined;
  const stop = () => (stopped ??= started.stop());
  cleanUps.push(stop);
  return { ...started, stop };
}

/** Both ends live in this thread: neither sends or hears anything meanwhile. */
function blockThisThread(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/** A TCP forwarder that can go silent, or reset what it carries. */
async function forwarder(target: number) {
  const sockets: Socket[] = [];
  const relay: Server = createServer((near) => {
    const far = connect(target, '127.0.0.1');
    sockets.push(near, far);
    near.pipe(far).pipe(near);
    for (const socket of [near, far]) socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
  cleanUps.push(() => {
    for (const socket of sockets) socket.destroy();
    relay.close();
  });
  return { port: portOf(relay), sockets };
}

function portOf(listening: Server): number {
  const address = listening.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

test('connections that carry data in their direction are alive, and the server tells their source', async () => {
  const { ports } = await server();
  const probe = await client(ports, { podPush: 3, serverPush: 4, idle: 2 });
  expect(probe.ready.opened).toEqual({ podPush: 3, serverPush: 4, idle: 2 });
  await vi.waitUntil(
    () => probe.snapshot().podPush.alive === 3 && probe.snapshot().serverPush.alive === 4,
    WAIT,
  );
  const report = await probe.stop();
  expect(report.podPush).toMatchObject({
    asked: 3,
    opened: 3,
    alive: 3,
    reset: 0,
    sources: { '127.0.0.1': 3 },
  });
  expect(report.serverPush).toMatchObject({ opened: 4, alive: 4, reset: 0, sources: { '127.0.0.1': 4 } });
  expect(report.idle).toMatchObject({ opened: 2, alive: 2, longestGapMs: 0 });
});

test('a refused port is counted with its reason, and nothing else waits for it', async () => {
  const { ports } = await server();
  const gone = await startProbeServer({ host: '127.0.0.1', ports: ANY_PORTS, intervalMs: 5 });
  await gone.close();
  const probe = await client({ ...ports, push: gone.ports.push }, { podPush: 1, serverPush: 2 });
  const report = await probe.stop();
  expect(report.serverPush).toMatchObject({ asked: 2, opened: 0, alive: 0, failures: { ECONNREFUSED: 2 } });
  expect(report.podPush.opened).toBe(1);
});

test('a connection through which nothing comes any more is not alive, and its silence is the longest gap', async () => {
  const { ports } = await server();
  const { port, sockets } = await forwarder(ports.push);
  const probe = await client({ ...ports, push: port }, { serverPush: 1 });
  await vi.waitUntil(() => probe.snapshot().serverPush.alive === 1, WAIT);
  for (const socket of sockets) socket.pause();
  await vi.waitUntil(() => probe.snapshot().serverPush.alive === 0, WAIT);
  const { serverPush } = await probe.stop();
  expect(serverPush).toMatchObject({ alive: 0, reset: 0, closed: 0 });
  expect(serverPush.longestGapMs).toBeGreaterThan(1_000);
});

test('a reset and an orderly end are told apart', async () => {
  const { ports } = await server();
  const resetting = await forwarder(ports.push);
  const ending = await forwarder(ports.echo);
  const probe = await client(
    { ...ports, push: resetting.port, echo: ending.port },
    { serverPush: 1, podPush: 1 },
  );
  await vi.waitUntil(() => probe.snapshot().serverPush.alive + probe.snapshot().podPush.alive === 2, WAIT);
  resetting.sockets[0]?.resetAndDestroy();
  ending.sockets[0]?.end();
  await vi.waitUntil(() => probe.snapshot().serverPush.reset + probe.snapshot().podPush.closed === 2, WAIT);
  const report = await probe.stop();
  expect(report.serverPush).toMatchObject({ alive: 0, reset: 1, closed: 0 });
  expect(report.podPush).toMatchObject({ alive: 0, reset: 0, closed: 1 });
});

test('idle connections answer when they are resumed, and one that was cut meanwhile does not', async () => {
  const { ports } = await server();
  const { port, sockets } = await forwarder(ports.echo);
  const probe = await client({ ...ports, echo: port }, { idle: 3 });
  await vi.waitUntil(() => Object.values(probe.snapshot().idle.sources)[0] === 3, WAIT);
  expect(await probe.resume()).toMatchObject({ opened: 3, answered: 3, reset: 0 });
  sockets[0]?.resetAndDestroy();
  await vi.waitUntil(() => probe.snapshot().idle.reset === 1, WAIT);
  expect(await probe.resume()).toEqual({ event: 'resumed', opened: 3, answered: 2, reset: 1 });
});

test('the greeting alone does not count as an answer', async () => {
  const { ports } = await server();
  const rude = createServer((socket) => socket.once('data', () => socket.end('source 127.0.0.1\n')));
  await new Promise<void>((resolve) => rude.listen(0, '127.0.0.1', resolve));
  cleanUps.push(() => rude.close());
  const probe = await client({ ...ports, echo: portOf(rude) }, { idle: 1 });
  expect(await probe.resume()).toMatchObject({ opened: 1, answered: 0 });
});

test('every datagram is accounted for each way', async () => {
  const { ports, report: served } = await server();
  const probe = await client(ports, { udpRate: 1_000 });
  await vi.waitUntil(() => probe.snapshot().udp.receivedDown > 200, WAIT);
  const { udp } = await probe.stop();
  expect(udp).toMatchObject({ lostUp: 0, lostDown: 0, duplicatesDown: 0 });
  expect(udp.sent).toBeGreaterThan(200);
  expect(Object.keys(udp.sources)).toEqual(['127.0.0.1']);
  const [flow] = served().flows;
  expect(flow).toMatchObject({ received: udp.sent, missing: 0, duplicates: 0 });
  expect(Object.keys(flow?.sources ?? {})).toHaveLength(1);
});

test('a server that is gone shows as a gap down and as losses up', async () => {
  const gone = await startProbeServer({ host: '127.0.0.1', ports: ANY_PORTS, intervalMs: 5 });
  const probe = await client(gone.ports, { udpRate: 500 });
  await vi.waitUntil(() => probe.snapshot().udp.receivedDown > 20, WAIT);
  await gone.close();
  await vi.waitUntil(() => probe.snapshot().udp.longestGapDownMs > 300, WAIT);
  const { udp } = await probe.stop();
  expect(udp.longestGapDownMs).toBeGreaterThan(300);
  expect(udp.lostUp).toBeGreaterThan(50);
});

test('a mark forgets the gaps so far at both ends', async () => {
  const { ports } = await server();
  const probe = await client(ports, { udpRate: 1_000 });
  await vi.waitUntil(() => probe.snapshot().udp.receivedDown > 20, WAIT);
  blockThisThread(200);
  await vi.waitUntil(() => probe.snapshot().udp.longestGapUpMs >= 190, WAIT);
  probe.mark();
  await vi.waitUntil(() => probe.snapshot().udp.longestGapUpMs > 0, WAIT);
  const { udp } = probe.snapshot();
  expect([udp.longestGapUpMs, udp.longestGapDownMs].filter((gapMs) => gapMs >= 190)).toEqual([]);
});

test('the programs speak lines: ready, mark, snapshot, resume, report', async () => {
  const outside = await startServer([...LOCAL_SERVER, '--host', '127.0.0.1', '--ports', '0,0,0,0']);
  cleanUps.push(() => outside.stop());
  const ports = Object.values(outside.ports).join(',');
  const pod = await startClient([
    ...LOCAL_CLIENT,
    ...['--server', '127.0.0.1', '--ports', ports, '--pod-push', '2', '--server-push', '2'],
    ...['--idle', '2', '--udp-rate', '100', '--interval-ms', '10'],
  ]);
  cleanUps.push(() => pod.kill());
  expect(pod.ready.opened).toEqual({ podPush: 2, serverPush: 2, idle: 2 });
  pod.mark();
  expect((await pod.snapshot()).event).toBe('snapshot');
  expect(await pod.resume()).toMatchObject({ answered: 2 });
  expect((await outside.report()).push).toMatchObject({ accepted: 2, open: 2, reset: 0 });
  const source = await fetch(`http://127.0.0.1:${outside.ports.http}/source`);
  expect(await source.text()).toBe('127.0.0.1\n');
  expect((await pod.stop()).podPush.opened).toBe(2);
});

test('a program that cannot start says why', async () => {
  await expect(startClient([...LOCAL_CLIENT])).rejects.toThrow('--server ADDRESS is missing');
  await expect(startClient([...LOCAL_CLIENT, '--server', '127.0.0.1', '--udp-rate', '9999'])).rejects.toThrow(
    'udpRate',
  );
});

test('the pacer keeps its rate, and does not make up for a long stop', () => {
  vi.useFakeTimers();
  cleanUps.push(() => vi.useRealTimers());
  let sent = 0;
  cleanUps.push(
    startPacer(1_000, () => {
      sent += 1;
    }),
  );
  vi.advanceTimersByTime(500);
  expect(Math.abs(sent - 500)).toBeLessThanOrEqual(2);
  const before = sent;
  const stoppedUntil = performance.now() + 60_000;
  vi.spyOn(performance, 'now').mockReturnValue(stoppedUntil);
  cleanUps.push(() => vi.restoreAllMocks());
  vi.advanceTimersByTime(1);
  expect(sent - before).toBeLessThanOrEqual(22);
});

test('a silence that still lasts counts, a mark forgets only what is over', () => {
  const heard = new Arrivals(0);
  expect(heard.heardWithin(1_000, 10)).toBe(false);
  heard.note(300);
  heard.note(350);
  expect(heard.longestGapMs(360)).toBe(300);
  heard.mark();
  expect(heard.longestGapMs(360)).toBe(10);
  expect(heard.longestGapMs(900)).toBe(550);
  expect(heard.heardWithin(549, 900)).toBe(false);
  expect(heard.heardWithin(550, 900)).toBe(true);
});

test('sequences count once in any order; what is missing lies between first and last', () => {
  const record = new SequenceRecord();
  for (const sequence of [5, 9, 7, 7, 6, -1, 1.5, Number.NaN]) record.note(sequence);
  expect([record.received, record.missing, record.duplicates]).toEqual([4, 1, 1]);
});

test('datagrams come back as they were, and strangers are ignored', () => {
  const up = { run: 'deadbeef', sequence: 7, rate: 1_000, mark: 2 };
  expect(parseUp(renderUp(up))).toEqual(up);
  const down = {
    run: 'deadbeef',
    sequence: 3,
    received: 8,
    mark: 2,
    longestGapMs: 12,
    source: '203.0.113.10',
  };
  expect(parseDown(renderDown(down))).toEqual(down);
  for (const text of ['', 'up', 'up deadbeef 1 99999 0', 'up DEADBEEF 1 1 0', 'down deadbeef 1 1 1 1']) {
    expect(parseUp(text)).toBeUndefined();
    expect(parseDown(text)).toBeUndefined();
  }
});

test('what reaches a socket that has no room for it is counted apart from what the network lost', async () => {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const { port } = socket.address();
  expect(readSocketDrops(port)).toBe(0);
  // In this process nothing is read until the child has ended.
  const flood = `const s = require('dgram').createSocket('udp4');
    let sent = 0;
    for (let n = 0; n < 2000; n += 1)
      s.send(Buffer.alloc(1000), ${port}, '127.0.0.1', () => { sent += 1; if (sent === 2000) s.close(); });`;
  execFileSync(process.execPath, ['-e', flood]);
  const dropped = readSocketDrops(port);
  expect(dropped).toBeGreaterThan(500);
  expect(dropped).toBeLessThan(2000);
  await new Promise<void>((resolve) => socket.close(resolve));
});

test.each([
  { name: 'all that is missing had no room', missing: 30, dropped: 30, lost: 0 },
  { name: 'some of it had none', missing: 45, dropped: 40, lost: 5 },
  { name: 'more had none than is missing', missing: 5, dropped: 40, lost: 0 },
])(
  'up and down, the network lost what is missing less what had no room: $name',
  ({ missing, dropped, lost }) => {
    const udp = { ...UDP, lostDown: missing, droppedDown: dropped };
    const served = { ...SERVED, missing, dropped };
    expect(lostOnTheWay(udp, served)).toBe(2 * lost);
  },
);
