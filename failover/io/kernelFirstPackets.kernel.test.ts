/** The first packets of a pod: before its address is known they are held, and never leave with the address of its node. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { makeCidr } from '../../policy/cidr.ts';
import type { AddressRange } from '../../policy/model.ts';
import {
  address,
  createDataPlaneFixture,
  type DataPlaneFixture,
  planFor,
  SERVER,
  STACKS,
  seen,
} from '../../test/lab/dataPlaneFixture.ts';
import { NODES, NODES6, PODS } from '../../test/lab/dataPlaneLab.ts';
import type { NodeDataPlane, UnknownPods } from '../core/dataPlane.ts';
import { ATTENDED_SECONDS } from '../core/dataplane/staticRuleset.ts';

/** A SYN that nobody answers is sent again after a second. */
const WITHOUT_RETRY_MS = 900;
const everything: readonly AddressRange[] = [
  { family: 4, first: 0n, last: 0xffff_ffffn },
  { family: 6, first: 0n, last: (1n << 128n) - 1n },
];
const networks = [
  makeCidr(4, address('10.244.21.0').value, 24),
  makeCidr(6, address('fd00:244:21::').value, 64),
];
let fixture: DataPlaneFixture;

beforeAll(async () => {
  fixture = createDataPlaneFixture('first');
  await fixture.lab.program('ext', SERVER).line(/ready/);
  // The router counts what leaves w1 with its own address for the servers outside.
  const rules = [`ip saddr ${NODES.w1}`, `ip6 saddr ${NODES6.w1}`].map(
    (it) => `${it} th dport { 8080, 8081 } counter name leaked`,
  );
  fixture.lab.run(
    'rtr',
    'nft',
    `table inet watch { counter leaked { }; chain seen { type filter hook forward priority 0; ${rules.join('; ')}; }; }`,
  );
});
afterAll(async () => {
  await fixture.end();
});
beforeEach(async () => {
  await fixture.reset();
  fixture.lab.run('rtr', 'nft', 'reset', 'counters');
});

function leaked(): number {
  const [, packets] =
    /packets (\d+)/.exec(fixture.lab.run('rtr', 'nft', 'list', 'counter', 'inet', 'watch', 'leaked')) ?? [];
  return Number(packets);
}

/** w1 with these of its pods known, and what holds for others. */
async function know(
  pods: readonly (keyof typeof PODS)[],
  unknownPods?: Pick<UnknownPods, 'awaited' | 'closed'>,
): Promise<void> {
  const plan = planFor('w1', { holder: 'gw1' });
  const free = [PODS.p2.address, PODS.p2.address6].map((it) => ({ address: address(it), routes: [] }));
  const next: NodeDataPlane = {
    ...plan,
    pods: [...(pods.includes('p2') ? free : []), ...(pods.includes('p1') ? plan.pods : [])],
    ...(unknownPods === undefined ? {} : { unknownPods: { networks, ...unknownPods } }),
  };
  expect(await fixture.plane('w1').apply(next)).toEqual({ kind: 'ok' });
}

const awaiting = { awaited: everything, closed: everything };
const unattended = { awaited: [], closed: everything };

/** One connection and one datagram, tried until they are answered. */
const trying = (outside: string): string => `
const t = Date.now(), s = require('net').connect(8080, '${outside}');
s.on('data', (d) => { console.log('tcp ' + String(d).trim() + ' ' + (Date.now() - t)); s.destroy(); }); s.on('error', (e) => console.log('tcp ' + e.code));
const u = require('dgram').createSocket('${outside.includes(':') ? 'udp6' : 'udp4'}'); u.on('message', () => { console.log('udp answered'); u.close(); }); u.on('error', (e) => console.log('udp ' + e.code));
u.connect(8081, '${outside}', () => { const t = setInterval(() => u.send('x'), 100); u.on('close', () => clearInterval(t)); });`;

/** As an agent does, until it is stopped. */
async function attend(): Promise<{ stop(): void }> {
  const plane = fixture.plane('w1');
  expect(await plane.attend()).toEqual({ kind: 'ok' });
  const timer = setInterval(() => void plane.attend(), ATTENDED_SECONDS * 200);
  return { stop: () => clearInterval(timer) };
}

/** What the server says of a connection of p1, while an agent attends. */
async function seenAttended(outside: string): Promise<string> {
  const attending = await attend();
  const program = fixture.lab.program('p1', trying(outside));
  const said = await program.line(/^tcp/);
  attending.stop();
  program.stop();
  return said;
}

describe.each(STACKS)('$name', ({ egress, outside, nodes }) => {
  test('the first SYN of a pod that is programmed is answered, with no other sent', async () => {
    await know([], awaiting);
    await know(['p1'], unattended);
    const program = fixture.lab.program('p1', trying(outside));
    const [, , from, , ms] = (await program.line(/^tcp/)).split(' ');
    expect(from).toBe(egress);
    expect(Number(ms)).toBeLessThan(WITHOUT_RETRY_MS);
    expect(leaked()).toBe(0);
    program.stop();
  });

  test('what a pod sends before its address is known is held, and leaves by the egress IP once it is', async () => {
    await know(['p2'], awaiting);
    const attending = await attend();
    const before = await fixture.counted('w1', 'held');
    const program = fixture.lab.program('p1', trying(outside));
    // One SYN and some datagrams.
    await expect.poll(() => fixture.counted('w1', 'held'), { timeout: 5000 }).toBeGreaterThan(before + 3);
    expect(seen(fixture.lab, 'p2', outside)).toContain(`from ${nodes.w1} `);
    const others = leaked();
    await know(['p1', 'p2'], unattended);
    expect(await program.line(/^tcp/)).toContain(`from ${egress} `);
    expect(await program.line(/^udp/)).toBe('udp answered');
    expect(leaked()).toBe(others);
    attending.stop();
    program.stop();
  });

  test('while nobody attends to the node who is not known is held, and who is known is not', async () => {
    await know(['p2'], unattended);
    expect(await seenAttended(outside)).toContain(`from ${nodes.w1} `);
    expect(await fixture.plane('w1').leave()).toEqual({ kind: 'ok' });
    const before = leaked();
    expect(seen(fixture.lab, 'p1', outside)).toBe('error timeout');
    expect(leaked()).toBe(before);
    expect(seen(fixture.lab, 'p2', outside)).toContain(`from ${nodes.w1} `);
  });

  test('what was let through before goes on when nobody attends any more', async () => {
    await know(['p2'], unattended);
    const attending = await attend();
    const source = `const s = require('net').connect(8080, '${outside}'); let n = 0; s.on('data', () => { n += 1; if (n % 10 === 0) console.log('flowing ' + n); });
s.on('connect', () => setInterval(() => s.write('x'), 20)); s.on('error', (e) => console.log(e.code));`;
    const program = fixture.lab.program('p1', source);
    await program.line(/^flowing/);
    attending.stop();
    await fixture.plane('w1').leave();
    expect(await program.line(/^/)).toMatch(/^flowing/);
    expect(await program.line(/^/)).toMatch(/^flowing/);
    program.stop();
  });

  test('pods, services and nodes are reached from an address that is not known', async () => {
    await know([], awaiting);
    const server = fixture.lab.program('p3', SERVER);
    await server.line(/ready/);
    expect(seen(fixture.lab, 'p1', outside.includes(':') ? PODS.p3.address6 : PODS.p3.address)).toContain(
      'from ',
    );
    server.stop();
  });
});

test('an agent that dies without a word is taken for gone after its last one has run out', async () => {
  await know(['p2'], unattended);
  await fixture.plane('w1').attend();
  await fixture.restart('w1');
  const held = async (): Promise<boolean> => seen(fixture.lab, 'p1').startsWith('error timeout');
  await expect.poll(held, { timeout: (ATTENDED_SECONDS + 5) * 1000 }).toBe(true);
  // And the next one changes nothing by finding it so.
  const ruleset = (): string =>
    fixture.lab.run('w1', 'nft', '--stateless', '--handle', 'list', 'table', 'inet', 'sallyport');
  const before = ruleset();
  await know(['p2'], unattended);
  expect(ruleset()).toBe(before);
});

describe('after a boot', () => {
  /** What a power cut leaves of w1: nothing in its kernel, its disk, and pods that start before anybody knows them. */
  const boot = async () => {
    await fixture.plane('w1').cleanup();
    return fixture.restart('w1');
  };

  test.each(STACKS)(
    'no pod reaches over $name what policies ruled before, until the first plan says which may',
    async ({ egress, outside, nodes, pod }) => {
      await know(['p1', 'p2'], unattended);
      const booted = await boot();
      await booted.holdAtBoot();
      const before = leaked();
      for (const it of ['p1', 'p2']) expect(seen(fixture.lab, it, outside)).toBe('error timeout');
      const server = fixture.lab.program('p3', SERVER);
      await server.line(/ready/);
      expect(seen(fixture.lab, 'p1', PODS.p3[pod])).toContain(`from ${PODS.p1[pod]} `);
      expect(leaked()).toBe(before);
      await know(['p1', 'p2'], unattended);
      expect(seen(fixture.lab, 'p1', outside)).toContain(`from ${egress} `);
      expect(seen(fixture.lab, 'p2', outside)).toContain(`from ${nodes.w1} `);
      expect(fixture.lab.run('w1', 'nft', 'list', 'tables')).not.toContain('sallyport_boot');
      server.stop();
    },
  );

  test('an agent that finds its rules in the kernel holds nothing more', async () => {
    await know(['p1', 'p2'], unattended);
    const restarted = await fixture.restart('w1');
    await restarted.holdAtBoot();
    expect(seen(fixture.lab, 'p2')).toContain(`from ${NODES.w1} `);
  });

  test('where no policy closed anything, nothing is held', async () => {
    await know(['p1', 'p2'], unattended);
    await know(['p1', 'p2']);
    const booted = await boot();
    await booted.holdAtBoot();
    expect(seen(fixture.lab, 'p2')).toContain(`from ${NODES.w1} `);
  });
});
