/** The gateway's fast path on the real kernel: what takes it, what must not, and what it costs nobody. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  createDataPlaneFixture,
  type DataPlaneFixture,
  EGRESS,
  pings,
  SERVER,
  seen,
} from '../../test/lab/dataPlaneFixture.ts';
import { OUTSIDE } from '../../test/lab/dataPlaneLab.ts';
import { watchRoutes } from './watchRoutes.ts';

let fixture: DataPlaneFixture;

beforeAll(async () => {
  fixture = createDataPlaneFixture('fast', { fastPath: true });
  await fixture.lab.program('ext', SERVER).line(/ready/);
});
afterAll(async () => {
  await fixture.end();
});
beforeEach(async () => {
  await fixture.reset();
});

interface Fast {
  readonly out: number;
  readonly back: number;
}

async function fastAt(node: 'gw1' | 'gw2'): Promise<Fast> {
  const [out, back] = [await fixture.counted(node, 'fast_out'), await fixture.counted(node, 'fast_back')];
  return { out, back };
}

/** What went the fast way through gw1 meanwhile. */
async function fastDuring(work: () => void | Promise<void>): Promise<Fast> {
  const before = await fastAt('gw1');
  await work();
  const after = await fastAt('gw1');
  return { out: after.out - before.out, back: after.back - before.back };
}

/** The first packet that the filter lets through, as tcpdump describes it; resolves once it listens. */
async function capture(namespace: string, filter: string): Promise<{ line(match: RegExp): Promise<string> }> {
  const source = `
const t = require('child_process').spawn('tcpdump', ['-c1', '-nlvi', 'eth0', '${filter}'], { stdio: ['ignore', 'inherit', 'pipe'] });
t.stderr.on('data', (d) => { if (String(d).includes('listening')) console.log('listening'); });`;
  const program = fixture.lab.program(namespace, source);
  await program.line(/listening/);
  return program;
}

/** Sends datagrams of these sizes, one after another, each when the one before came back; says how many did. */
function echoes(from: string, sizes: readonly number[], options = ''): string {
  const source = `
const u = require('dgram').createSocket('udp4').on('error', () => {}), sizes = [${sizes}]; let back = 0;
const end = () => { console.log(back + ' of ' + sizes.length); process.exit(0); };
u.on('message', (m) => { if (m.length === sizes[back]) back++; if (back === sizes.length) end(); else send(); });
const send = () => u.send(Buffer.alloc(sizes[back]));
u.connect(8081, '${OUTSIDE}', () => { ${options}; send(); }); setTimeout(end, 2000);`;
  return fixture.lab.run(from, process.execPath, '-e', source).trim();
}

test('datagrams pass the fast way, there and back, each counted once', async () => {
  const fast = await fastDuring(() => expect(echoes('p1', Array(20).fill(100))).toBe('20 of 20'));
  expect(fast).toEqual({ out: 20, back: 20 });
});

test('a connection passes the fast way from its first packet to its last', async () => {
  const fast = await fastDuring(() => expect(seen(fixture.lab, 'p1')).toContain(`from ${EGRESS} `));
  // SYN, ACK and FIN at the least there; SYN-ACK and data back.
  expect(fast.out).toBeGreaterThanOrEqual(3);
  expect(fast.back).toBeGreaterThanOrEqual(2);
});

test('the answer to a SYN promises no larger segments than fit the tunnel', async () => {
  const answer = await capture('p1', 'tcp[tcpflags] & (tcp-syn|tcp-ack) == (tcp-syn|tcp-ack)');
  expect(seen(fixture.lab, 'p1')).toContain(EGRESS);
  expect(await answer.line(/\[S\.\].*mss \d+/)).toMatch(/mss 1410\b/);
});

test('a pod of the gateway itself is translated and answered there, not the fast way', async () => {
  const fast = await fastDuring(() => expect(echoes('pg', [100, 100, 100])).toBe('3 of 3'));
  expect(fast).toEqual({ out: 0, back: 0 });
});

test.each([
  { name: 'datagrams in fragments', work: () => expect(echoes('p1', [4000, 30_000])).toBe('2 of 2') },
  { name: 'pings', work: () => expect(pings(fixture.lab, 'p1', OUTSIDE)).toBe(true) },
  {
    name: 'packets whose life ends here',
    work: () => expect(echoes('p1', [100], 'u.setTTL(2)')).toBe('0 of 1'),
  },
  {
    name: 'what goes to a host on the gateway’s link',
    work: () => expect(seen(fixture.lab, 'p1', '203.0.113.1')).toMatch(/^from |ECONNREFUSED/),
  },
])('$name take the stack', async ({ work }) => {
  expect(await fastDuring(work)).toEqual({ out: 0, back: 0 });
});

test('a datagram that fits outside but not in the tunnel is told so by the stack, and comes in fragments', async () => {
  const again = 'setInterval(send, 300)';
  const fast = await fastDuring(() => expect(echoes('p1', [1440], again)).toBe('1 of 1'));
  expect(fast).toEqual({ out: 0, back: 0 });
});

test('a packet loses one of its lifetime at the gateway, as in the stack', async () => {
  const arrived = await capture('ext', 'udp and dst port 8081');
  expect(echoes('p1', [100], 'u.setTTL(40)')).toBe('1 of 1');
  // The worker, the gateway and the router.
  expect(await arrived.line(/ttl \d+/)).toMatch(/ttl 37\b/);
});

test('a source port of another node is dropped by the gateway and counted', async () => {
  const others = [{ first: 2048, last: 3071 }];
  await fixture.applyAll({ holder: 'gw1', usable: others }, ['w1']);
  const before = await fixture.counted('gw1', 'spoofed');
  const fast = await fastDuring(() => expect(echoes('p1', [100])).toBe('0 of 1'));
  expect(fast).toEqual({ out: 0, back: 0 });
  expect(await fixture.counted('gw1', 'spoofed')).toBeGreaterThan(before);
});

test('with a rule that chooses routes by more than the destination nothing goes the fast way, and after it all does', async () => {
  const { lab } = fixture;
  const plane = fixture.plane('gw1');
  const watch = watchRoutes(
    lab.prefix('gw1'),
    () => plane.routesChanged(),
    () => undefined,
  );
  const nextHops = (): string => lab.run('gw1', 'nft', 'list', 'map', 'netdev', 'sallyport', 'next_hops');
  try {
    expect(nextHops()).toContain('203.0.113.1');
    // The watch says nothing of when it began: what changes until it has is changed again.
    await expect
      .poll(
        () => {
          lab.attempt('gw1', 'ip', 'rule', 'del', 'pref', '100');
          lab.run('gw1', 'ip', 'rule', 'add', 'pref', '100', 'from', '192.0.2.1', 'lookup', 'main');
          return nextHops();
        },
        { timeout: 10_000 },
      )
      .not.toContain('203.0.113.1');
    const fast = await fastDuring(() => expect(echoes('p1', [100, 100])).toBe('2 of 2'));
    expect(fast).toEqual({ out: 0, back: 0 });
    lab.run('gw1', 'ip', 'rule', 'del', 'pref', '100');
    await expect.poll(nextHops, { timeout: 10_000 }).toContain('203.0.113.1');
    const again = await fastDuring(() => expect(echoes('p1', [100, 100])).toBe('2 of 2'));
    expect(again).toEqual({ out: 2, back: 2 });
  } finally {
    watch.stop();
    lab.attempt('gw1', 'ip', 'rule', 'del', 'pref', '100');
  }
});

test('a new default route is followed, and its next hop’s neighbour is found by the kernel', async () => {
  const { lab } = fixture;
  lab.run('rtr', 'ip', 'address', 'add', '203.0.113.2/24', 'dev', 'eth0');
  lab.run('gw1', 'ip', 'route', 'replace', 'default', 'via', '203.0.113.2');
  fixture.plane('gw1').routesChanged();
  const fast = await fastDuring(async () => {
    await fixture.applyAll({ holder: 'gw1' }, ['gw1']);
    expect(lab.run('gw1', 'nft', 'list', 'map', 'netdev', 'sallyport', 'next_hops')).toContain('203.0.113.2');
    expect(echoes('p1', [100, 100])).toBe('2 of 2');
  });
  expect(fast).toEqual({ out: 2, back: 2 });
  expect(lab.run('gw1', 'ip', 'neigh', 'show', '203.0.113.2')).toContain('lladdr');
  lab.run('gw1', 'ip', 'route', 'replace', 'default', 'via', '203.0.113.1');
  lab.run('rtr', 'ip', 'address', 'del', '203.0.113.2/24', 'dev', 'eth0');
  fixture.plane('gw1').routesChanged();
  await fixture.applyAll({ holder: 'gw1' }, ['gw1']);
});

test('the gateways hold no conntrack entry of what went the fast way', () => {
  // Of the gateway's own pod it holds some.
  for (const node of ['gw1', 'gw2'] as const) fixture.lab.run(node, 'conntrack', '-F');
  expect(echoes('p1', [100, 100])).toBe('2 of 2');
  for (const node of ['gw1', 'gw2'] as const)
    expect(fixture.lab.run(node, 'conntrack', '-L', '-p', 'udp')).not.toContain(OUTSIDE);
});

test('what a peer sends with a forged outer address never reaches it', async () => {
  const before = await fixture.counted('gw1', 'unknown_peer');
  const source = `const u = require('dgram').createSocket('udp4'); u.send(Buffer.alloc(80), 4790, '203.0.113.11', () => process.exit(0));`;
  const fast = await fastDuring(() => void fixture.lab.run('w1', process.execPath, '-e', source));
  expect(fast).toEqual({ out: 0, back: 0 });
  expect(await fixture.counted('gw1', 'unknown_peer')).toBeGreaterThan(before);
});
