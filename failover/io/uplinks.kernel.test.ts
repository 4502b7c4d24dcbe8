/** Gateways with two cards, of which the second has the egress IPs: who answers there, and which way packets go. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { formatCidr } from '../../policy/cidr.ts';
import {
  address,
  createDataPlaneFixture,
  type DataPlaneFixture,
  pings,
  planFor,
  SERVER,
  STACKS,
  seen,
} from '../../test/lab/dataPlaneFixture.ts';
import { type LabProgram, NODE_NAMES, NODES, type NodeName } from '../../test/lab/dataPlaneLab.ts';
import { startHealthGateway } from '../../test/lab/healthGateway.ts';
import { answersSolicitation, SOLICITATION } from '../../test/lab/neighbourDiscovery.ts';
import {
  addSecondUplink,
  SECOND_EGRESS,
  SECOND_EGRESS6,
  SECOND_HOP,
  SECOND_ROUTER,
  type SecondUplink,
  secondUplinkLines,
  TWO_CARDS,
  TWO_UPLINKS,
  type TwoCards,
} from '../../test/lab/secondUplink.ts';
import type { NodeDataPlane } from '../core/dataPlane.ts';
import { soleUplink, type Uplinks } from '../core/uplinks.ts';
import { observeForwarding } from './observeForwarding.ts';
import { observeNode } from './observeNode.ts';

const OK = { kind: 'ok' } as const;
const PATIENCE_MS = 500;
const LIFETIMES = { windows: [{ withinMs: 700, answerMs: 1_500 }] };
const SECOND = { 4: address(SECOND_EGRESS), 6: address(SECOND_EGRESS6) } as const;
const BOTH = [SECOND[4], SECOND[6]];
/** Both families, with the second card's addresses. */
const WAYS = STACKS.map((stack) => ({
  ...stack,
  egress: stack.family === 4 ? SECOND_EGRESS : SECOND_EGRESS6,
}));

let fixture: DataPlaneFixture;
let second: SecondUplink;

beforeAll(async () => {
  fixture = createDataPlaneFixture('uplinks');
  second = addSecondUplink(fixture.lab);
  await fixture.lab.program('ext', SERVER).line(/ready/);
});
afterAll(async () => {
  await fixture.end();
  second.down();
});
beforeEach(async () => {
  for (const node of TWO_CARDS) {
    expect(await fixture.plane(node).setUplinks(TWO_UPLINKS)).toEqual(OK);
    for (const egress of BOTH) expect(await fixture.plane(node).gate.disarm(egress)).toEqual(OK);
    expect(await fixture.plane(node).gate.flush()).toEqual(OK);
  }
  await applyAll('gw1');
  await answerAt('gw1');
});

/** Pods of w1 and of gw1 itself leave with the second card's addresses. */
function plan(node: NodeName, holder: NodeName, uplinks: Uplinks = TWO_UPLINKS): NodeDataPlane {
  const base = planFor(node, { holder });
  const isGateway = TWO_CARDS.some((it) => it === node);
  const [addresses] = [base.addresses.map((it) => ({ ...it, address: SECOND[it.address.family] }))];
  return {
    ...base,
    uplinks: isGateway ? uplinks : soleUplink('eth0'),
    addresses,
    pods: base.pods.map((pod) => ({
      ...pod,
      routes: pod.routes.map(({ range }) => ({
        range,
        action: { kind: 'egress', addresses: [SECOND[range.family]], affinity: 'Pod' },
      })),
    })),
  };
}

async function applyAll(holder: NodeName): Promise<void> {
  for (const node of NODE_NAMES) expect(await fixture.plane(node).apply(plan(node, holder))).toEqual(OK);
}

async function answerAt(node: TwoCards): Promise<void> {
  for (const egress of BOTH) await fixture.answerAt(node, egress);
}

const run = (node: string, ...command: readonly string[]): string => fixture.lab.run(node, ...command);

/** Whether anybody on the link of that router answers for the second card's address of the family. */
function answers(family: 4 | 6, router = SECOND_ROUTER): boolean {
  if (family === 6)
    return answersSolicitation(fixture.lab, {
      from: router,
      address: SECOND_EGRESS6,
      patienceMs: PATIENCE_MS,
    });
  return fixture.lab.attempt(router, 'arping', '-q', '-c1', '-w1', '-I', 'eth0', SECOND_EGRESS).code === 0;
}

const proxiesOf = (node: TwoCards): string => run(node, 'ip', 'neigh', 'show', 'proxy');

/** What came to the first router from the second link's addresses. */
const heardAtFirst = (): number =>
  Number(/packets (\d+)/.exec(run('rtr', 'nft', 'list', 'counter', 'inet', 'strangers', 'strayed'))?.[1]);

const ECHO = (outside: string): string => `
const u = require('dgram').createSocket('${outside.includes(':') ? 'udp6' : 'udp4'}');
u.on('message', (m) => { console.log(String(m)); process.exit(); }); u.send('there and back', 8081, '${outside}');
setTimeout(() => process.exit(), 3000);`;
const echoed = (from: string, outside: string): string =>
  run(from, process.execPath, '-e', ECHO(outside)).trim();

/** As the agent does when it hears of routes that changed. */
async function followRoutes(node: TwoCards): Promise<void> {
  const plane = fixture.plane(node);
  plane.routesChanged();
  expect(await plane.apply(plan(node, 'gw1'))).toEqual(OK);
}

describe.each(WAYS)('$name', ({ family, egress, outside }) => {
  test('who asks on the second link is answered, and nobody on the first', () => {
    expect(answers(family)).toBe(true);
    expect(answers(family, 'rtr')).toBe(false);
  });

  test('without heartbeats the second link is told nothing any more either', async () => {
    await fixture.restart('gw1', LIFETIMES);
    expect(await fixture.plane('gw1').setUplinks(TWO_UPLINKS)).toEqual(OK);
    await fixture.answerAt('gw1', SECOND[family]);
    expect(answers(family)).toBe(true);
    const before = await fixture.counted('gw1', 'fenced');
    await expect.poll(() => answers(family), { timeout: 10_000 }).toBe(false);
    expect(await fixture.counted('gw1', 'fenced')).toBeGreaterThan(before);
    await fixture.restart('gw1');
  });

  test.each(['p1', 'pg'])('what %s sends leaves by the second next hop and comes back', (pod) => {
    const before = heardAtFirst();
    expect(seen(fixture.lab, pod, outside)).toContain(`from ${egress} `);
    expect(echoed(pod, outside)).toBe('there and back');
    expect(heardAtFirst()).toBe(before);
  });

  test('a ping from afar is answered by the second next hop', () => {
    expect(pings(fixture.lab, 'ext', egress)).toBe(true);
  });

  test('another such gateway takes over, and connections go on by its second card', async () => {
    expect(await fixture.plane('gw1').gate.disarm(SECOND[family])).toEqual(OK);
    expect(answers(family)).toBe(false);
    const cached = ['dev', 'eth0', 'lladdr', '02:00:00:00:00:99', 'nud', 'reachable'];
    run(SECOND_ROUTER, 'ip', 'neigh', 'replace', egress, ...cached);
    await fixture.answerAt('gw2', SECOND[family]);
    const mac = run('gw2', 'cat', '/sys/class/net/eth1/address').trim();
    const learned = (): string => run(SECOND_ROUTER, 'ip', 'neigh', 'show', egress);
    await expect.poll(learned, { timeout: 5_000 }).toContain(mac);
    await applyAll('gw2');
    expect(answers(family)).toBe(true);
    expect(answers(family, 'rtr')).toBe(false);
    expect(seen(fixture.lab, 'p1', outside)).toContain(`from ${egress} `);
  });

  test('after a flap of the second card all is as before, and meanwhile nothing leaves by the first', async () => {
    const before = heardAtFirst();
    run('gw1', 'ip', 'link', 'set', 'eth1', 'down');
    expect(seen(fixture.lab, 'p1', outside)).toBe('error timeout');
    run('gw1', 'ip', 'link', 'set', 'eth1', 'up');
    for (const line of secondUplinkLines('gw1')) run('gw1', 'ip', ...line.split(' '));
    await followRoutes('gw1');
    await expect.poll(() => answers(family), { timeout: 10_000 }).toBe(true);
    // The kernel has made the shown address local again, which every device of it answers for until that is undone.
    await expect.poll(() => answers(family, 'rtr'), { timeout: 10_000 }).toBe(false);
    expect(answers(family)).toBe(true);
    expect(seen(fixture.lab, 'p1', outside)).toContain(`from ${egress} `);
    expect(heardAtFirst()).toBe(before);
  });
});

/** Asks for both addresses a thousand times a second, and counts what tells of them on the second link. */
const ASKING = `use strict; ${SOLICITATION} use Time::HiRes qw(usleep);
my ($arp, $to_arp) = on_device(0x0806); my ($nd, $to_nd) = on_device(0x86dd); my $mac = "\\x02\\xaa\\0\\0\\0\\xfa";
my $frame = "\\xff" x 6 . $mac . pack('n n n C C n', 0x0806, 1, 0x0800, 6, 4, 1) . $mac . inet_aton('192.0.2.9') . "\\0" x 6 . inet_aton('${SECOND_EGRESS}');
my ($asks, $to) = solicitation(inet_pton(AF_INET6, '${SECOND_EGRESS6}'), 'all', inet_pton(AF_INET6, '2001:db8:2::fa'), $mac);
my $parent = getppid(); $| = 1; print "asking\\n"; while (1) { send($arp, $frame, 0, $to_arp->("\\xff" x 6)); send($nd, $asks, 0, $to_nd->($to)); usleep(1000); exit if getppid() != $parent }`;
const EAR = `table netdev ear { counter told { }
  chain in { type filter hook ingress device "eth0" priority 0; arp saddr ip ${SECOND_EGRESS} counter name told
    icmpv6 type nd-neighbor-advert @th,64,128 ${SECOND[6].value} counter name told
  }
}
`;

describe('nobody answers without a grant', () => {
  const told = (): number =>
    Number(/packets (\d+)/.exec(run(SECOND_ROUTER, 'nft', 'list', 'counter', 'netdev', 'ear', 'told'))?.[1]);
  let asking: LabProgram;
  beforeAll(async () => {
    run(SECOND_ROUTER, 'nft', EAR);
    asking = fixture.lab.program(
      SECOND_ROUTER,
      `require('child_process').spawn('perl', ['-e', ${JSON.stringify(ASKING)}], { stdio: 'inherit' });`,
    );
    await asking.line(/asking/);
  });
  beforeEach(async () => {
    for (const node of TWO_CARDS) {
      expect(await fixture.plane(node).gate.flush()).toEqual(OK);
      expect(await fixture.plane(node).gate.guard(BOTH)).toEqual(OK);
      expect(await fixture.plane(node).gate.standBy(BOTH)).toEqual(OK);
    }
  });
  afterAll(() => {
    asking.stop();
    run(SECOND_ROUTER, 'nft', 'delete table netdev ear');
  });
  const chains = (node: TwoCards): string => run(node, 'nft', 'list chains netdev');
  const LIFTED = { timeout: 10_000, interval: 300 };
  const reasserted = async (node: TwoCards): Promise<string> => {
    expect(await fixture.plane(node).gate.reassert()).toEqual(OK);
    return chains(node);
  };
  const proxies = (node: TwoCards): string => run(node, 'ip', 'neigh', 'show', 'proxy', 'dev', 'eth1');

  test('where a second card comes and goes while the agent runs', async () => {
    const before = told();
    for (let turn = 0; turn < 5; turn += 1) {
      expect(await fixture.plane('gw1').setUplinks(soleUplink('eth0'))).toEqual(OK);
      expect(proxies('gw1')).not.toContain(SECOND_EGRESS);
      expect(await fixture.plane('gw1').setUplinks(TWO_UPLINKS)).toEqual(OK);
      expect(proxies('gw1')).toContain(SECOND_EGRESS);
      expect(chains('gw1')).toContain('eth1');
    }
    expect(await fixture.plane('gw1').setUplinks(soleUplink('eth0'))).toEqual(OK);
    await expect.poll(() => reasserted('gw1'), LIFTED).not.toContain('eth1');
    expect(await fixture.plane('gw1').setUplinks(TWO_UPLINKS)).toEqual(OK);
    expect(chains('gw1')).toContain('eth1');
    expect(told()).toBe(before);
  });

  test('where an agent starts that does not know of the second card, or has another guard', async () => {
    const before = told();
    expect(await (await fixture.restart('gw1')).gate.guard(BOTH)).toEqual(OK);
    expect(proxies('gw1')).toContain(SECOND_EGRESS);
    expect(chains('gw1')).toContain('eth1');
    expect(await (await fixture.restart('gw1', LIFETIMES)).gate.guard(BOTH)).toEqual(OK);
    expect(chains('gw1')).toContain('eth1');
    expect(await fixture.plane('gw1').gate.reassert()).toEqual(OK);
    expect(proxies('gw1')).not.toContain(SECOND_EGRESS);
    await expect.poll(() => reasserted('gw1'), LIFTED).not.toContain('eth1');
    expect(told()).toBe(before);
    await fixture.restart('gw1');
  });

  test('where the device itself goes, and comes back by the same name', async () => {
    const before = told();
    run('gw1', 'ip', 'link', 'del', 'eth1');
    second.plugIn('gw1');
    fixture.plane('gw1').forget();
    expect(await fixture.plane('gw1').apply(plan('gw1', 'gw1'))).toEqual(OK);
    expect(await fixture.plane('gw1').gate.reassert()).toEqual(OK);
    expect(proxies('gw1')).toContain(SECOND_EGRESS);
    expect(told()).toBe(before);
    // And that the question is heard at all.
    await answerAt('gw1');
    await expect.poll(told, { timeout: 5_000 }).toBeGreaterThan(before);
  });
});

describe('what a gateway says of its second card', () => {
  const observed = async () => {
    const seenNow = await observeNode({ self: address(NODES.gw1), execPrefix: fixture.lab.prefix('gw1') });
    if (seenNow.kind !== 'ok') throw new Error(seenNow.error);
    return seenNow.value;
  };

  test('its subnets are places for egress IPs, of the families that have a next hop there', async () => {
    expect((await observed()).uplinks).toEqual(TWO_UPLINKS);
    run('gw1', 'ip', '-6', 'route', 'del', 'default', 'dev', 'eth1');
    expect((await observed()).onLink.map(({ cidr }) => formatCidr(cidr))).toEqual([
      '203.0.113.0/24',
      '2001:db8::/64',
      '192.0.2.0/24',
    ]);
    for (const line of secondUplinkLines('gw1')) run('gw1', 'ip', ...line.split(' '));
  });

  test('strict reverse-path filtering there is said, with what helps', async () => {
    const runner = { execPrefix: fixture.lab.prefix('gw1'), deadlineMs: 5000 };
    const place = { uplinks: TWO_UPLINKS, sysctlDir: '/proc/sys/net' };
    expect(await observeForwarding(runner, place)).toBe('');
    run('gw1', 'sysctl', '-qw', 'net.ipv4.conf.eth1.rp_filter=1');
    const advice = await observeForwarding(runner, place);
    expect(seen(fixture.lab, 'p1', STACKS[0].outside)).toBe('error timeout');
    run('gw1', ...advice.slice(advice.indexOf('sysctl')).split(' '));
    expect(await observeForwarding(runner, place)).toBe('');
    expect(seen(fixture.lab, 'p1', STACKS[0].outside)).toContain(`from ${SECOND_EGRESS} `);
  });

  test('it is unhealthy where the second next hop is silent, while an egress IP lies there', async () => {
    const gateway = startHealthGateway(fixture.lab, { self: NODES.gw1, probes: [] });
    gateway.view([SECOND_EGRESS]);
    await gateway.until();
    run(SECOND_ROUTER, 'ip', 'link', 'set', 'eth0', 'arp', 'off');
    const { message } = await gateway.until('NextHopSilent');
    expect(message).toContain('the next hop 192.0.2.1 on eth1: no answer to ARP');
    run(SECOND_ROUTER, 'ip', 'link', 'set', 'eth0', 'arp', 'on');
    await gateway.until();
    gateway.stop();
  });
});

test('a node that has one uplink again has no rule and no table of the other, and cleaning leaves nothing', async () => {
  const rules = (node: TwoCards): string => run(node, 'ip', 'rule') + run(node, 'ip', '-6', 'rule');
  const tables = (node: TwoCards): string =>
    run(node, 'ip', 'route', 'show', 'table', '7779') +
    run(node, 'ip', '-6', 'route', 'show', 'table', '7779');
  expect(rules('gw1')).toContain('7779');
  expect(tables('gw1')).toContain(`via ${SECOND_HOP} dev eth1`);
  expect(await fixture.plane('gw1').apply(plan('gw1', 'gw1', soleUplink('eth0')))).toEqual(OK);
  expect(rules('gw1')).not.toMatch(/7779|^7[45]:/m);
  expect(tables('gw1')).toBe('');
  expect(rules('gw2')).toContain('7779');
  expect(await fixture.plane('gw2').cleanup()).toEqual([]);
  expect(rules('gw2')).not.toMatch(/7779|^7[4-7]:/m);
  expect(tables('gw2')).toBe('');
  expect(proxiesOf('gw2')).toBe('');
});
