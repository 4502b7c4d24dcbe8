/** The gateway's fast path on the real kernel: what takes it, what must not, and what it costs nobody. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  createDataPlaneFixture,
  type DataPlaneFixture,
  pings,
  SERVER,
  STACKS,
  seen,
} from '../../test/lab/dataPlaneFixture.ts';
import { OUTSIDE, OUTSIDE6 } from '../../test/lab/dataPlaneLab.ts';
import {
  AGAIN,
  echoes,
  type Fast,
  fastDuring,
  hearForwarded,
  NOTHING_FAST,
} from '../../test/lab/fastTraffic.ts';
import { watchRoutes } from './watchRoutes.ts';

let fixture: DataPlaneFixture;
const run = (place: string, ...command: readonly string[]): string => fixture.lab.run(place, ...command);

beforeAll(async () => {
  fixture = createDataPlaneFixture('fast', { fastPath: true });
  await fixture.lab.program('ext', SERVER).line(/ready/);
});
afterAll(async () => {
  await fixture.end();
});
beforeEach(async () => {
  await fixture.reset();
  // What one test has taught a host of the path's MTU.
  for (const place of ['ext', 'p1'])
    for (const family of ['-4', '-6']) run(place, 'ip', family, 'route', 'flush', 'cache');
});

/** The first packet that the filter lets through, as tcpdump describes it; resolves once it listens. */
async function capture(
  [namespace, device]: readonly [namespace: string, device: string],
  filter: string,
): Promise<{ line(match: RegExp): Promise<string> }> {
  const source = `
const t = require('child_process').spawn('tcpdump', ['-c1', '-nlvi', '${device}', '${filter}'], { stdio: ['ignore', 'inherit', 'pipe'] });
t.stderr.on('data', (d) => { if (String(d).includes('listening')) console.log('listening'); });`;
  const program = fixture.lab.program(namespace, source);
  await program.line(/listening/);
  return program;
}

/** Of no machine, so that the switch shows it to all. */
const ELSEWHERE = '02:00:00:00:00:99';
const duringIt = (work: () => void | Promise<void>): Promise<Fast> => fastDuring(fixture, work);

describe.each(STACKS)('$name', (stack) => {
  const { family, egress, outside } = stack;
  const of =
    family === 4
      ? {
          router: '203.0.113.1',
          secondRouter: '203.0.113.2',
          link: '/24',
          behindRouter: '198.51.100.0/24',
          segmentBytes: 1410,
          synAck: 'tcp[tcpflags] & (tcp-syn|tcp-ack) == (tcp-syn|tcp-ack)',
          timeExceeded: 'icmp[icmptype] == icmp-timxceed',
          life: /ttl \d+/,
          nextHops: 'next_hops',
          ruleSource: '192.0.2.1',
        }
      : {
          router: '2001:db8::1',
          secondRouter: '2001:db8::2',
          link: '/64',
          behindRouter: '2001:db8:51::/64',
          segmentBytes: 1390,
          synAck: 'ip6 proto 6 and ip6[53] & 0x12 == 0x12',
          timeExceeded: 'ip6 proto 58 and ip6[40] == 3',
          life: /hlim \d+/,
          nextHops: 'next_hops6',
          ruleSource: '2001:db8:2::1',
        };
  const { router, nextHops: map } = of;
  const ip = (...command: readonly string[]): string => run('gw1', 'ip', `-${family}`, ...command);
  const nextHops = (): string => run('gw1', 'nft', 'list', 'map', 'netdev', 'sallyport', map);
  const echoesOut = (sizes: readonly number[], options = ''): string =>
    echoes(fixture.lab, { from: 'p1', to: outside, sizes, options });

  /** By a look that is asked for and waited for. */
  async function followRoutes(): Promise<void> {
    fixture.plane('gw1').routesChanged();
    await fixture.applyAll({ holder: 'gw1' }, ['gw1']);
  }

  test('datagrams pass the fast way, there and back, each counted once', async () => {
    const forwarded = hearForwarded(fixture.lab);
    const fast = await duringIt(() => expect(echoesOut(Array(20).fill(100))).toBe('20 of 20'));
    expect(fast).toEqual({ out: 20, back: 20 });
    expect(forwarded()).toBe(0);
  });

  test('a connection passes the fast way from its first packet to its last', async () => {
    const forwarded = hearForwarded(fixture.lab);
    const fast = await duringIt(() => expect(seen(fixture.lab, 'p1', outside)).toContain(`from ${egress} `));
    expect(forwarded()).toBe(0);
    // SYN, ACK and FIN at the least there; SYN-ACK and data back.
    expect(fast.out).toBeGreaterThanOrEqual(3);
    expect(fast.back).toBeGreaterThanOrEqual(2);
  });

  test('the answer to a SYN promises no larger segments than fit the tunnel, before it is in it', async () => {
    const answer = await capture(['w1', 'egress0'], of.synAck);
    expect(seen(fixture.lab, 'p1', outside)).toContain(egress);
    expect(await answer.line(/\[S\.\].*mss \d+/)).toContain(`mss ${of.segmentBytes},`);
  });

  test('a pod of the gateway itself is translated and answered there, not the fast way', async () => {
    const fast = await duringIt(() =>
      expect(echoes(fixture.lab, { from: 'pg', to: outside, sizes: [100, 100, 100] })).toBe('3 of 3'),
    );
    expect(fast).toEqual(NOTHING_FAST);
  });

  test.each([
    { name: 'datagrams in fragments', work: () => expect(echoesOut([4000, 30_000], AGAIN)).toBe('2 of 2') },
    {
      name: 'datagrams that fit outside and not in the tunnel',
      work: () => expect(echoesOut([1440], AGAIN)).toBe('1 of 1'),
    },
    { name: 'pings', work: () => expect(pings(fixture.lab, 'p1', outside)).toBe(true) },
    {
      name: 'what goes to a host on the gateway’s link',
      work: () => expect(seen(fixture.lab, 'p1', router)).toMatch(/^from |ECONNREFUSED/),
    },
  ])('$name take the stack, and arrive', async ({ work }) => {
    expect(await duringIt(work)).toEqual(NOTHING_FAST);
  });

  test('a packet whose life ends at the gateway takes the stack, which says so', async () => {
    const told = await capture(['gw1', 'egress0'], of.timeExceeded);
    const fast = await duringIt(() => expect(echoesOut([100], 'u.setTTL(2)')).toBe('0 of 1'));
    expect(fast).toEqual(NOTHING_FAST);
    expect(await told.line(/time exceeded/)).toContain('time exceeded');
  });

  test('a packet loses one of its lifetime at the gateway, as in the stack', async () => {
    const arrived = await capture(['ext', 'eth0'], 'udp and dst port 8081');
    expect(echoesOut([100], 'u.setTTL(40)')).toBe('1 of 1');
    // The worker, the gateway and the router.
    expect(await arrived.line(of.life)).toMatch(/(?:ttl|hlim) 37\b/);
  });

  test('a source port of another node is dropped by the gateway and counted', async () => {
    const others = [{ first: 2048, last: 3071 }];
    await fixture.applyAll({ holder: 'gw1', usable: others }, ['w1']);
    const before = await fixture.counted('gw1', 'spoofed');
    const fast = await duringIt(() => expect(echoesOut([100])).toBe('0 of 1'));
    expect(fast).toEqual(NOTHING_FAST);
    expect(await fixture.counted('gw1', 'spoofed')).toBeGreaterThan(before);
  });

  test('what a promiscuous uplink shows of others’ frames is not forwarded', async () => {
    run('rtr', 'ip', 'neigh', 'replace', egress, 'lladdr', ELSEWHERE, 'dev', 'eth0', 'nud', 'permanent');
    run('gw1', 'ip', 'link', 'set', 'eth0', 'promisc', 'on');
    const fast = await duringIt(() => expect(echoesOut([100])).toBe('0 of 1'));
    expect(fast).toEqual({ out: 1, back: 0 });
    run('gw1', 'ip', 'link', 'set', 'eth0', 'promisc', 'off');
    run('rtr', 'ip', 'neigh', 'del', egress, 'dev', 'eth0');
  });

  test('with a rule that chooses routes by more than the destination nothing goes the fast way, and after it all does', async () => {
    const { lab } = fixture;
    const rule = ['pref', '100', 'from', of.ruleSource, 'lookup', 'main'];
    const change = (): void => {
      lab.attempt('gw1', 'ip', `-${family}`, 'rule', 'del', 'pref', '100');
      ip('rule', 'add', ...rule);
    };
    const watch = watchRoutes(
      lab.prefix('gw1'),
      () => fixture.plane('gw1').routesChanged(),
      () => undefined,
    );
    try {
      expect(nextHops()).toContain(`: ${router} `);
      // The watch says nothing of when it began: what changes until it has is changed again.
      await expect.poll(() => [change(), nextHops()][1], { timeout: 10_000 }).not.toContain(`: ${router} `);
      const fast = await duringIt(() => expect(echoesOut([100, 100])).toBe('2 of 2'));
      expect(fast).toEqual(NOTHING_FAST);
      ip('rule', 'del', 'pref', '100');
      await expect.poll(nextHops, { timeout: 10_000 }).toContain(`: ${router} `);
      const again = await duringIt(() => expect(echoesOut([100, 100])).toBe('2 of 2'));
      expect(again).toEqual({ out: 2, back: 2 });
    } finally {
      watch.stop();
      lab.attempt('gw1', 'ip', `-${family}`, 'rule', 'del', 'pref', '100');
    }
  });

  test('a new default route is followed, and its next hop’s neighbour is found by the kernel', async () => {
    const second = `${of.secondRouter}${of.link}`;
    run('rtr', 'ip', 'address', 'add', second, 'dev', 'eth0', ...(family === 6 ? ['nodad'] : []));
    ip('route', 'replace', 'default', 'via', of.secondRouter);
    await followRoutes();
    expect(nextHops()).toContain(of.secondRouter);
    const fast = await duringIt(() => expect(echoesOut([100, 100])).toBe('2 of 2'));
    expect(fast).toEqual({ out: 2, back: 2 });
    expect(ip('neigh', 'show', of.secondRouter)).toContain('lladdr');
    ip('route', 'replace', 'default', 'via', router);
    run('rtr', 'ip', 'address', 'del', second, 'dev', 'eth0');
    await followRoutes();
  });

  test('without a default route of its family it takes the stack, and the other family stays fast', async () => {
    ip('route', 'del', 'default');
    ip('route', 'add', of.behindRouter, 'via', router);
    await followRoutes();
    expect(await duringIt(() => expect(echoesOut([100, 100])).toBe('2 of 2'))).toEqual(NOTHING_FAST);
    const other = outside === OUTSIDE ? OUTSIDE6 : OUTSIDE;
    const fast = await duringIt(() =>
      expect(echoes(fixture.lab, { from: 'p1', to: other, sizes: [100, 100] })).toBe('2 of 2'),
    );
    expect(fast).toEqual({ out: 2, back: 2 });
    ip('route', 'del', of.behindRouter, 'via', router);
    ip('route', 'add', 'default', 'via', router);
    await followRoutes();
    expect(await duringIt(() => void echoesOut([100]))).toEqual({ out: 1, back: 1 });
  });

  test('the gateways hold no conntrack entry of what went the fast way', () => {
    const conntrack = (node: string, ...words: readonly string[]): string =>
      run(node, 'conntrack', ...words, '-f', `ipv${family}`);
    // Of the gateway's own pod it holds some.
    for (const node of ['gw1', 'gw2'] as const) run(node, 'conntrack', '-F');
    expect(echoesOut([100, 100])).toBe('2 of 2');
    for (const node of ['gw1', 'gw2'] as const)
      expect(conntrack(node, '-L', '-p', 'udp')).not.toContain(outside);
  });
});

test('with an extension header before its ports a datagram takes the stack, and arrives', async () => {
  // Destination options that are padding alone.
  const source = `use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6 AF_INET6); socket(my $s, AF_INET6, SOCK_DGRAM, 0) or die;
setsockopt($s, 41, 59, pack('H*', '0000010400000000')) or die "$!";
connect($s, pack_sockaddr_in6(8081, inet_pton(AF_INET6, '${OUTSIDE6}'))) or die; send($s, 'padded', 0) or die "$!";
alarm 2; recv($s, my $r, 100, 0); print $r`;
  const padded = await capture(['w1', 'egress0'], 'ip6[6] == 60');
  const fast = await duringIt(() => expect(run('p1', 'perl', '-e', source)).toBe('padded'));
  expect(await padded.line(/DSTOPT/)).toContain('DSTOPT');
  // Its echo has none.
  expect(fast).toEqual({ out: 0, back: 1 });
});

test('where the uplink carries less of IPv6 than of IPv4 it takes the stack', async () => {
  const setMtu = (mtu: number): string => run('gw1', 'sysctl', '-qw', `net.ipv6.conf.eth0.mtu=${mtu}`);
  setMtu(1400);
  fixture.plane('gw1').routesChanged();
  const slow = await duringIt(() =>
    expect(echoes(fixture.lab, { from: 'p1', to: OUTSIDE6, sizes: [100] })).toBe('1 of 1'),
  );
  expect(slow).toEqual(NOTHING_FAST);
  const fast = await duringIt(() =>
    expect(echoes(fixture.lab, { from: 'p1', to: OUTSIDE, sizes: [100] })).toBe('1 of 1'),
  );
  expect(fast).toEqual({ out: 1, back: 1 });
  setMtu(1500);
  fixture.plane('gw1').routesChanged();
  await fixture.applyAll({ holder: 'gw1' }, ['gw1']);
});

test('what a peer sends with a forged outer address never reaches it', async () => {
  const before = await fixture.counted('gw1', 'unknown_peer');
  const source = `const u = require('dgram').createSocket('udp4'); u.send(Buffer.alloc(80), 4790, '203.0.113.11', () => process.exit(0));`;
  const fast = await duringIt(() => void run('w1', process.execPath, '-e', source));
  expect(fast).toEqual(NOTHING_FAST);
  expect(await fixture.counted('gw1', 'unknown_peer')).toBeGreaterThan(before);
});
