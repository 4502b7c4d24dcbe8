/** What becomes of packets that are more than a connection's plain segments: large, in pieces, about others, or without ports. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  BLOCK_PORTS,
  BLOCKS,
  createDataPlaneFixture,
  type DataPlaneFixture,
  pings,
  SERVER,
  STACKS,
  type Stack,
} from '../../test/lab/dataPlaneFixture.ts';
import { PODS } from '../../test/lab/dataPlaneLab.ts';

/** Answers a datagram that is a number with one of so many bytes, "later" when its sender is gone, any other with itself. */
const DATAGRAMS = `const dgram = require('dgram');
for (const type of ['udp4', 'udp6']) { const u = dgram.createSocket({ type, ipv6Only: type === 'udp6' });
  u.on('error', () => {}); u.on('message', (m, r) => { const n = Number(String(m)); setTimeout(() => u.send(n > 0 ? Buffer.alloc(n, 1) : m, r.port, r.address), String(m) === 'later' ? 300 : 0); }); u.bind(8085, () => console.log('bound')); }`;
const UPLINK_MTU = 1500;
const TUNNEL_MTU = 1450;
let fixture: DataPlaneFixture;
const run = (place: string, ...command: readonly string[]): string => fixture.lab.run(place, ...command);

beforeAll(async () => {
  fixture = createDataPlaneFixture('packets');
  await fixture.lab.program('ext', SERVER).line(/ready/);
  const datagrams = fixture.lab.program('ext', DATAGRAMS);
  for (const _ of [4, 6]) await datagrams.line(/bound/);
});
afterAll(async () => {
  await fixture.end();
});
beforeEach(async () => {
  await fixture.reset();
  for (const place of ['ext', ...Object.keys(PODS)])
    for (const family of ['-4', '-6']) run(place, 'ip', family, 'route', 'flush', 'cache');
});

/** Sends until an answer of so many bytes is there: the first of IPv6 may only tell the sender that it was too long. */
const ask = (to: string, text: string, bytes: number): string => `
const u = require('dgram').createSocket('${to.includes(':') ? 'udp6' : 'udp4'}'); let sent = 0;
u.on('message', (m) => { if (m.length === ${bytes}) { console.log('answered ' + sent); process.exit(0); } }); u.on('error', () => {});
u.connect(8085, '${to}', () => { const send = () => { sent += 1; u.send(${text}, () => {}); }; send(); setInterval(send, 300); });
setTimeout(() => { console.log('silence'); process.exit(0); }, 6000);`;

/** Counts what passes a device of a namespace, by a rule's match, until it is read. */
function countPackets(place: string, hook: string, match: string): () => number {
  const table = 'table inet ear { counter heard { }\n chain ear { type filter hook';
  const text = `table inet ear\ndelete table inet ear\n${table} ${hook} priority 0; ${match} counter name heard\n }\n}\n`;
  run(place, 'sh', '-c', `nft -f - <<'E'\n${text}E`);
  return () =>
    Number(/packets (\d+)/.exec(run(place, 'nft', 'list', 'counter', 'inet', 'ear', 'heard'))?.[1]);
}

function say(place: string, source: string): string {
  return run(place, process.execPath, '-e', source).trim();
}

/** The path MTU that a host has learned towards another. */
function learnedMtu(place: string, to: string): number {
  return Number(/mtu (\d+)/.exec(run(place, 'ip', 'route', 'get', to))?.[1] ?? UPLINK_MTU);
}

/** The router leads to the outside by a link that is narrower than it looks. */
function narrowOutside({ outside }: Stack, mtu: number): void {
  run('rtr', 'ip', 'route', 'replace', outside, 'dev', 'eth1', 'mtu', 'lock', String(mtu));
}

/** Raw packets of a pod that no connection of TCP or UDP makes: each protocol's payload in hex. */
function sendRaw(place: string, stack: Stack, protocol: number, payload: string): void {
  const [family, pack] =
    stack.family === 6 ? ['AF_INET6', 'pack_sockaddr_in6'] : ['AF_INET', 'pack_sockaddr_in'];
  const source = `use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6 AF_INET6); socket(my $s, ${family}, SOCK_RAW, ${protocol}) or die "$!";
send($s, pack('H*', '${payload}'), 0, ${pack}(0, inet_pton(${family}, '${stack.outside}'))) or die "$!" for 1 .. 3;`;
  run(place, 'perl', '-e', source);
}

test('the ways to egress IPs come back with the node’s address', async () => {
  const { egress, nodes } = STACKS[0];
  const way = (): string => run('gw1', 'ip', 'route', 'show', `${egress}/32`);
  const routes = run('gw1', 'ip', '-4', 'route', 'show', 'dev', 'eth0').trim().split('\n');
  const named = new RegExp(`dev egress0 .*src ${nodes.gw1}`);
  expect(way()).toMatch(named);
  run('gw1', 'ip', 'addr', 'del', `${nodes.gw1}/24`, 'dev', 'eth0');
  await expect.poll(way).toBe('');
  // What the address's going sets off has been tried and failed by then: there is nothing to name.
  for (const _ of [1, 2]) expect((await fixture.plane('gw1').gate.reassert()).kind).not.toBe('ok');
  run('gw1', 'ip', 'addr', 'add', `${nodes.gw1}/24`, 'dev', 'eth0');
  for (const route of routes) run('gw1', 'ip', 'route', 'replace', ...route.trim().split(' '), 'dev', 'eth0');
  await expect.poll(way, { timeout: 5_000 }).toMatch(named);
});

describe.each(STACKS)('$name', (stack) => {
  const { family, egress, outside, icmp, pod } = stack;
  const ip = family === 4 ? 'ip' : 'ip6';
  const header = family === 4 ? 20 : 40;

  test.each(['p1', 'pg'])('datagrams of 4,000 bytes of %s pass in pieces both ways', (place) => {
    expect(say(place, ask(outside, "Buffer.alloc(4000, 'x')", 4000))).toMatch(/^answered [1-3]$/);
  });

  test('a narrow link outside is learned by the pod, for segments and datagrams', () => {
    narrowOutside(stack, 1400);
    const upload = `const s = require('net').connect(8080, '${outside}'); let back = 0; s.on('error', (e) => console.log(e.code));
s.on('connect', () => s.write(Buffer.alloc(300000, 'x'))); s.on('data', (d) => { back += d.length; if (back >= 300000) { console.log('whole'); process.exit(0); } });
setTimeout(() => { console.log('stuck at ' + back); process.exit(0); }, 8000);`;
    try {
      expect(say('p1', upload)).toBe('whole');
      expect(learnedMtu('p1', outside)).toBe(1400);
      // Of IPv6 only a sender may take packets apart. What the pod sends in pieces for the narrow link does not get through yet.
      if (family === 4)
        expect(say('p1', ask(outside, `Buffer.alloc(1420, 'x')`, 1420))).toMatch(/^answered [1-3]$/);
    } finally {
      run('rtr', 'ip', 'route', 'del', outside, 'dev', 'eth1');
    }
  });

  test('the outside learns what the tunnel carries', () => {
    const bytes = UPLINK_MTU - header - 8;
    expect(say('p1', ask(outside, `'${bytes}'`, bytes))).toMatch(/^answered [1-4]$/);
    expect(learnedMtu('ext', egress)).toBe(TUNNEL_MTU);
  });

  test('the outside learns of a narrow link to the pod, from the egress IP and by its gateway', () => {
    const bytes = 1400;
    const direct = countPackets('rtr', 'prerouting', `${ip} saddr ${egress} ether saddr ${macOf('w1')}`);
    run('w1', 'ip', 'route', 'replace', PODS.p1[pod], 'dev', 'cni0', 'mtu', 'lock', '1300');
    try {
      expect(say('p1', ask(outside, `'${bytes}'`, bytes))).toMatch(/^answered [1-4]$/);
      expect(learnedMtu('ext', egress)).toBe(1300);
      expect(direct()).toBe(0);
    } finally {
      run('w1', 'ip', 'route', 'del', PODS.p1[pod], 'dev', 'cni0');
    }
  });

  test('a pod is told by the gateway that a packet’s life ended there, from the gateway’s own address', async () => {
    const from = stack.nodes.gw1;
    const heard = countPackets('p1', 'input', `${ip} saddr ${from} ${icmp} type time-exceeded`);
    say(
      'p1',
      `const u = require('dgram').createSocket('${family === 4 ? 'udp4' : 'udp6'}'); u.on('error', () => {});
u.bind(0, () => { u.setTTL(2); u.send('x', 8085, '${outside}', () => u.close()); });`,
    );
    await expect.poll(heard, { timeout: 5_000 }).toBeGreaterThan(0);
  });

  test('a datagram to a port that the pod has closed comes back as an error of the egress IP', async () => {
    const heard = countPackets('ext', 'input', `${ip} saddr ${egress} ${icmp} type ${family === 4 ? 3 : 1}`);
    const source = `const u = require('dgram').createSocket('${family === 4 ? 'udp4' : 'udp6'}');
u.connect(8085, '${outside}', () => u.send('later', () => u.close()));`;
    say('p1', source);
    await expect.poll(heard, { timeout: 5_000 }).toBeGreaterThan(0);
  });

  test.each(['p1', 'pg'])('segments of %s fit the tunnel in both directions', (place) => {
    const most = TUNNEL_MTU - header - 20;
    const sent = countPackets(
      'ext',
      'input',
      `${ip} saddr ${egress} tcp flags & (syn|ack) == syn tcp option maxseg size <= ${most}`,
    );
    const received = countPackets(
      place,
      'input',
      `tcp flags & (syn|ack) == (syn|ack) tcp option maxseg size <= ${most}`,
    );
    expect(say(place, once(outside))).toContain(egress);
    expect([sent(), received()]).toEqual([1, 1]);
  });

  test('an echo request has an id of the node’s block', () => {
    const [first, last] = [BLOCKS.w1, BLOCKS.w1 + BLOCK_PORTS - 1];
    const heard = countPackets(
      'ext',
      'input',
      `${ip} saddr ${egress} ${icmp} type echo-request ${icmp} id ${first}-${last}`,
    );
    expect(pings(fixture.lab, 'p1', outside)).toBe(true);
    expect(heard()).toBe(1);
  });

  test('one port serves connections to many destinations at once', async () => {
    const one = [{ first: BLOCKS.w1, last: BLOCKS.w1 }];
    await fixture.applyAll({ holder: 'gw1', usable: one }, ['w1']);
    const servers = fixture.lab.program(
      'ext',
      `let open = 0; for (let p = 8200; p < 8220; p += 1) require('net').createServer((s) => { s.on('error', () => {}); s.write(s.remotePort + ' '); })
.listen(p, '::', () => { open += 1; if (open === 20) console.log('open'); });`,
    );
    await servers.line(/open/);
    const source = `const ports = []; for (let p = 8200; p < 8220; p += 1) { const s = require('net').connect(p, '${outside}');
s.on('error', () => {}); s.on('data', (d) => { ports.push(String(d).trim()); if (ports.length === 20) { console.log([...new Set(ports)].join()); process.exit(0); } }); }
setTimeout(() => { console.log('only ' + ports.length); process.exit(0); }, 5000);`;
    expect(say('p1', source)).toBe(`${BLOCKS.w1}`);
    servers.stop();
  });

  test('both sides may open a connection to each other at once', async () => {
    const one = [{ first: BLOCKS.w1, last: BLOCKS.w1 }];
    await fixture.applyAll({ holder: 'gw1', usable: one }, ['w1']);
    const caller = fixture.lab.program(
      'ext',
      `const s = require('net').connect({ host: '${egress}', port: ${BLOCKS.w1}, localPort: 8300 });
s.on('connect', () => { console.log('met'); s.write('hello'); }); s.on('error', (e) => console.log(e.code)); console.log('calling');`,
    );
    await caller.line(/calling/);
    // Whoever calls first meets nobody, for no connection of the pod is known yet.
    await expect.poll(() => fixture.counted('w1', 'unsolicited'), { timeout: 5_000 }).toBeGreaterThan(0);
    const source = `const s = require('net').connect(8300, '${outside}'); s.on('data', (d) => { console.log(String(d)); process.exit(0); });
s.on('error', (e) => { console.log(e.code); process.exit(0); }); setTimeout(() => { console.log('nobody'); process.exit(0); }, 8000);`;
    expect(say('p1', source)).toBe('hello');
    expect(await caller.line(/met|E/)).toBe('met');
    caller.stop();
  });

  test.each([
    { what: 'a packet without ports', protocol: 47, payload: '0000080045000014' },
    { what: 'a segment of no connection', protocol: 6, payload: '9c401f90000000010000000050030000abcd0000' },
  ])('$what of a selected pod leaves by no address at all', ({ protocol, payload }) => {
    for (const place of ['p1', 'pg']) {
      const left = countPackets(
        'rtr',
        'prerouting',
        `iifname eth0 meta l4proto ${protocol} ${ip} daddr ${outside}`,
      );
      sendRaw(place, stack, protocol, payload);
      // Those of a pod that no policy selects leave, so they would be seen.
      sendRaw('p2', stack, protocol, payload);
      expect({ place, left: left() }).toEqual({ place, left: 3 });
    }
  });
});

function macOf(place: string): string {
  return run(place, 'cat', '/sys/class/net/eth0/address').trim();
}

function once(to: string): string {
  return `const s = require('net').connect(8080, '${to}'); s.on('data', (d) => { console.log(String(d)); process.exit(0); });
s.on('error', (e) => { console.log(e.code); process.exit(0); });`;
}
