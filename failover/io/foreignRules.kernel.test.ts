/** Rules that others have on the nodes: kube-proxy's, flannel's, Calico's, a host firewall's. Ours work beside them and leave them alone. */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  createDataPlaneFixture,
  type DataPlaneFixture,
  pings,
  SERVER,
  STACKS,
  seen,
} from '../../test/lab/dataPlaneFixture.ts';
import { NODE_NAMES, PODS } from '../../test/lab/dataPlaneLab.ts';
import { soleUplink } from '../core/uplinks.ts';
import { observeForwarding } from './observeForwarding.ts';

let fixture: DataPlaneFixture;
beforeAll(async () => {
  fixture = createDataPlaneFixture('foreign');
  await fixture.lab.program('ext', SERVER).line(/ready/);
});
afterAll(async () => {
  await fixture.end();
});

/** What each puts on a node, in the words of iptables; `{pods}` is the cluster's pod network, `{service}` one of its services. */
interface Neighbour {
  readonly name: string;
  readonly tables: Readonly<Record<string, readonly string[]>>;
}

const KUBE_PROXY: Neighbour = {
  name: 'kube-proxy in iptables mode',
  tables: {
    filter: [
      ':KUBE-FORWARD - [0:0]',
      '-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD',
      '-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP',
      '-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT',
      '-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    ],
    nat: [
      ':KUBE-SERVICES - [0:0]',
      ':KUBE-MARK-MASQ - [0:0]',
      ':KUBE-SVC - [0:0]',
      ':KUBE-POSTROUTING - [0:0]',
      '-A PREROUTING -j KUBE-SERVICES',
      '-A OUTPUT -j KUBE-SERVICES',
      '-A POSTROUTING -j KUBE-POSTROUTING',
      '-A KUBE-SERVICES -d {service} -p tcp --dport 80 -j KUBE-SVC',
      '-A KUBE-SVC ! -s {pods} -j KUBE-MARK-MASQ',
      '-A KUBE-SVC -p tcp -j DNAT --to-destination {backend}',
      '-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000',
      '-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN',
      '-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000',
      '-A KUBE-POSTROUTING -j MASQUERADE --random-fully',
    ],
  },
};

const FLANNEL: Neighbour = {
  name: 'flannel with its masquerade',
  tables: {
    filter: [
      ':FLANNEL-FWD - [0:0]',
      '-A FORWARD -j FLANNEL-FWD',
      '-A FLANNEL-FWD -s {pods} -j ACCEPT',
      '-A FLANNEL-FWD -d {pods} -j ACCEPT',
    ],
    nat: [
      ':FLANNEL-POSTRTG - [0:0]',
      '-A POSTROUTING -j FLANNEL-POSTRTG',
      '-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -j RETURN',
      '-A FLANNEL-POSTRTG -s {pods} -d {pods} -j RETURN',
      '-A FLANNEL-POSTRTG -s {pods} -j MASQUERADE --random-fully',
      '-A FLANNEL-POSTRTG ! -s {pods} -d {pods} -j MASQUERADE --random-fully',
    ],
  },
};

const CALICO: Neighbour = {
  name: 'Calico with its reverse-path filter',
  tables: {
    raw: [
      ':cali-PREROUTING - [0:0]',
      '-A PREROUTING -j cali-PREROUTING',
      '-A cali-PREROUTING -j MARK --set-xmark 0x0/0xf0000',
      '-A cali-PREROUTING -i vp+ -j MARK --set-xmark 0x40000/0x40000',
      '-A cali-PREROUTING -m mark --mark 0x40000/0x40000 -m rpfilter --validmark --invert -j DROP',
    ],
    filter: [
      ':cali-FORWARD - [0:0]',
      ':cali-from-wl - [0:0]',
      '-A FORWARD -j cali-FORWARD',
      '-A cali-FORWARD -i vp+ -j cali-from-wl',
      '-A cali-from-wl -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      '-A cali-from-wl -m conntrack --ctstate INVALID -j DROP',
      '-A cali-from-wl -j MARK --set-xmark 0x10000/0x10000',
      '-A FORWARD -m mark --mark 0x10000/0x10000 -j ACCEPT',
    ],
    nat: [
      ':cali-POSTROUTING - [0:0]',
      '-A POSTROUTING -j cali-POSTROUTING',
      '-A cali-POSTROUTING -s {pods} ! -d {pods} -j MASQUERADE --random-fully',
    ],
  },
};

/** As ufw, firewalld and Docker leave a node: forwarded is what is known, and what was allowed by name. */
const FIREWALL: Neighbour = {
  name: 'a host firewall that forwards pods and what is known',
  tables: {
    filter: [
      '-A FORWARD -m conntrack --ctstate INVALID -j DROP',
      '-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      '-A FORWARD -s {pods} -j ACCEPT',
      '-A FORWARD -d {pods} -j ACCEPT',
    ],
  },
};

const FAMILIES = [
  { command: 'iptables', pods: '10.244.0.0/16', service: '10.96.0.80', backend: `${PODS.p3.address}:8080` },
  {
    command: 'ip6tables',
    pods: 'fd00:244::/32',
    service: 'fd00:96::80',
    backend: `[${PODS.p3.address6}]:8080`,
  },
] as const;

function render({ tables }: Neighbour, words: (typeof FAMILIES)[number]): string {
  return Object.entries(tables)
    .flatMap(([table, lines]) => [`*${table}`, ...lines, 'COMMIT', ''])
    .join('\n')
    .replaceAll('{pods}', words.pods)
    .replaceAll('{service}', words.service)
    .replaceAll('{backend}', words.backend);
}

function moveIn(neighbour: Neighbour): void {
  for (const node of NODE_NAMES)
    for (const words of FAMILIES)
      fixture.lab.run(
        node,
        'sh',
        '-c',
        `echo "$1" | ${words.command}-restore --noflush`,
        'sh',
        render(neighbour, words),
      );
}

const TABLES = ['raw', 'mangle', 'nat', 'filter'];

/** Everything that is not ours, as the kernel shows it; counters and the order of sets aside. */
function foreignRules(node: (typeof NODE_NAMES)[number]): string {
  return FAMILIES.flatMap(({ command }) =>
    TABLES.map((table) => fixture.lab.run(node, command, '-t', table, '-S')),
  ).join('');
}

beforeEach(async () => {
  await fixture.reset();
});
afterEach(() => {
  for (const node of NODE_NAMES)
    for (const { command } of FAMILIES)
      for (const table of TABLES) {
        fixture.lab.run(node, command, '-t', table, '-F');
        fixture.lab.run(node, command, '-t', table, '-X');
        if (table === 'filter') fixture.lab.run(node, command, '-P', 'FORWARD', 'ACCEPT');
      }
});

describe.each([KUBE_PROXY, FLANNEL, CALICO])('beside $name', (neighbour) => {
  beforeEach(() => moveIn(neighbour));

  test.each(STACKS)(
    '$name leaves with the egress IP, from a worker and from the gateway itself',
    ({ egress, outside, nodes }) => {
      for (const pod of ['p1', 'p3', 'pg'])
        expect(seen(fixture.lab, pod, outside), pod).toContain(`from ${egress} `);
      expect(seen(fixture.lab, 'p2', outside)).toContain(`from ${nodes.w1} `);
      expect(pings(fixture.lab, 'p1', outside)).toBe(true);
    },
  );

  test('a move and a new plan leave its rules as they are', async () => {
    const before = NODE_NAMES.map(foreignRules);
    await fixture.moveTo('gw1', 'gw2');
    for (const { outside, egress } of STACKS)
      expect(seen(fixture.lab, 'p1', outside)).toContain(`from ${egress} `);
    expect(NODE_NAMES.map(foreignRules)).toEqual(before);
  });
});

test('a service of kube-proxy is reached by selected pods as before', async () => {
  moveIn(KUBE_PROXY);
  await fixture.lab.program('p3', SERVER).line(/ready/);
  for (const words of FAMILIES) {
    const own = words.command === 'iptables' ? PODS.p1.address : PODS.p1.address6;
    expect(seen(fixture.lab, 'p1', words.service, 80)).toContain(`from ${own} `);
  }
});

describe('beside a firewall whose forwarding knows nothing of it', () => {
  const accept = (node: (typeof NODE_NAMES)[number]): void => {
    for (const { command } of FAMILIES)
      for (const side of ['-i', '-o'])
        fixture.lab.run(node, command, '-I', 'FORWARD', side, 'egress0', '-j', 'ACCEPT');
  };
  const advice = (node: (typeof NODE_NAMES)[number]): Promise<string> =>
    observeForwarding({ execPrefix: fixture.lab.prefix(node), deadlineMs: 5000 }, ALONE);
  beforeEach(() => {
    moveIn(FIREWALL);
    for (const node of NODE_NAMES)
      for (const { command } of FAMILIES) fixture.lab.run(node, command, '-P', 'FORWARD', 'DROP');
  });

  test('what the gateway forwards is dropped, which its agent sees, and two rules let it pass', async () => {
    expect(seen(fixture.lab, 'p1')).toBe('error timeout');
    expect(await advice('gw1')).toContain('the chain ip filter FORWARD (and 1 more) drops');
    accept('gw1');
    expect(await advice('gw1')).toBe('');
    for (const { outside, egress } of STACKS)
      expect(seen(fixture.lab, 'p1', outside)).toContain(`from ${egress} `);
  });

  test('the rules that are advised are nft commands, and enough', async () => {
    for (const family of ['ip', 'ip6']) {
      const text = await advice('gw1');
      const commands = text.slice(text.indexOf('egress IPs: ') + 'egress IPs: '.length).split('; ');
      expect(commands, family).toHaveLength(2);
      for (const command of commands) fixture.lab.run('gw1', ...command.split(' '));
    }
    expect(await advice('gw1')).toBe('');
    for (const { outside, egress } of STACKS)
      expect(seen(fixture.lab, 'p1', outside)).toContain(`from ${egress} `);
  });
});

const ALONE = { uplinks: soleUplink('eth0'), sysctlDir: '/proc/sys/net' };

test('no firewall, no advice', async () => {
  expect(await observeForwarding({ execPrefix: fixture.lab.prefix('gw1'), deadlineMs: 5000 }, ALONE)).toBe(
    '',
  );
});
