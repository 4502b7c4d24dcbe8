/**
 * A small network of namespaces for the data plane: a switch, a router with an outside host behind it, two gateways and
 * two workers with pods, each node with a pod bridge and a CNI-like masquerade rule, all of it with IPv4 and IPv6. Strict
 * reverse-path filtering everywhere. Everything carries one prefix and goes with `down`.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export const NODES = {
  gw1: '203.0.113.11',
  gw2: '203.0.113.12',
  w1: '203.0.113.21',
  w2: '203.0.113.22',
} as const;
export const NODES6 = {
  gw1: '2001:db8::11',
  gw2: '2001:db8::12',
  w1: '2001:db8::21',
  w2: '2001:db8::22',
} as const;
export type NodeName = keyof typeof NODES;
export const NODE_NAMES = Object.keys(NODES) as readonly NodeName[]; // Object.keys forgets the literal type.
export const PODS = {
  p1: { node: 'w1', address: '10.244.21.5', address6: 'fd00:244:21::5' },
  p2: { node: 'w1', address: '10.244.21.6', address6: 'fd00:244:21::6' },
  p3: { node: 'w2', address: '10.244.22.5', address6: 'fd00:244:22::5' },
  pg: { node: 'gw1', address: '10.244.11.5', address6: 'fd00:244:11::5' },
} as const satisfies Readonly<
  Record<string, { readonly node: NodeName; readonly address: string; readonly address6: string }>
>;
export const OUTSIDE = '198.51.100.10';
export const OUTSIDE6 = '2001:db8:51::10';

export interface DataPlaneLab {
  readonly prefix: (namespace: string) => readonly string[];
  run(namespace: string, ...command: readonly string[]): string;
  /** Exit code and both outputs, without throwing. */
  attempt(
    namespace: string,
    ...command: readonly string[]
  ): { readonly code: number; readonly output: string };
  /** A Node program in the namespace; its lines arrive one by one. Ended by `down` at the latest. */
  program(namespace: string, source: string): LabProgram;
  down(): void;
}

export interface LabProgram {
  /** The next line that matches; rejects when the program ends first. */
  line(match: RegExp): Promise<string>;
  write(text: string): void;
  stop(): void;
}

const numberOf = (node: NodeName): string => NODES[node].split('.')[3] ?? '';
const subnetOf = (node: NodeName): string => `10.244.${numberOf(node)}`;
const subnet6Of = (node: NodeName): string => `fd00:244:${numberOf(node)}:`;

function topology(ns: (name: string) => string): readonly string[] {
  const lines = ['sw', 'rtr', 'ext', ...NODE_NAMES, ...Object.keys(PODS)].map(
    (name) => `netns add ${ns(name)}`,
  );
  for (const name of ['rtr', ...NODE_NAMES]) {
    lines.push(`link add eth0 netns ${ns(name)} type veth peer name ${name} netns ${ns('sw')}`);
  }
  lines.push(`link add eth1 netns ${ns('rtr')} type veth peer name eth0 netns ${ns('ext')}`);
  for (const [pod, { node }] of Object.entries(PODS)) {
    lines.push(`link add v${pod} netns ${ns(node)} type veth peer name eth0 netns ${ns(pod)}`);
  }
  return lines;
}

/** What a flap of the uplink takes with it is only what is behind another node. */
export function uplinkLines(node: NodeName): readonly string[] {
  return [
    `addr replace ${NODES[node]}/24 dev eth0`,
    `addr replace ${NODES6[node]}/64 dev eth0 nodad`,
    'route replace default via 203.0.113.1',
    'route replace ::/0 via 2001:db8::1',
    ...NODE_NAMES.filter((other) => other !== node).map(
      (other) => `route replace ${subnet6Of(other)}:/64 via ${NODES6[other]}`,
    ),
  ];
}

/** Lines of an `ip -batch` inside one namespace. */
function configurations(): ReadonlyMap<string, readonly string[]> {
  const up = ['link set lo up', 'link set eth0 up'];
  const result = new Map<string, readonly string[]>([
    [
      'sw',
      [
        'link add br0 type bridge forward_delay 0 mcast_snooping 0',
        'link set br0 up',
        ...['rtr', ...NODE_NAMES].map((name) => `link set ${name} master br0 up`),
      ],
    ],
    [
      'rtr',
      [
        ...up,
        'link set eth1 up',
        'addr add 203.0.113.1/24 dev eth0',
        'addr add 198.51.100.1/24 dev eth1',
        'addr add 2001:db8::1/64 dev eth0 nodad',
        'addr add 2001:db8:51::1/64 dev eth1 nodad',
      ],
    ],
    [
      'ext',
      [
        ...up,
        `addr add ${OUTSIDE}/24 dev eth0`,
        `addr add ${OUTSIDE6}/64 dev eth0 nodad`,
        'route add default via 198.51.100.1',
        'route add ::/0 via 2001:db8:51::1',
      ],
    ],
  ]);
  for (const node of NODE_NAMES) {
    result.set(node, [
      ...up,
      ...uplinkLines(node),
      'link add cni0 type bridge forward_delay 0',
      'link set cni0 up',
      `addr add ${subnetOf(node)}.1/24 dev cni0`,
      `addr add ${subnet6Of(node)}:1/64 dev cni0 nodad`,
      ...NODE_NAMES.filter((other) => other !== node).map(
        (other) => `route add ${subnetOf(other)}.0/24 via ${NODES[other]}`,
      ),
      ...Object.entries(PODS)
        .filter(([, pod]) => pod.node === node)
        .map(([pod]) => `link set v${pod} master cni0 up`),
    ]);
  }
  for (const [pod, { node, address, address6 }] of Object.entries(PODS)) {
    result.set(pod, [
      ...up,
      `addr add ${address}/24 dev eth0`,
      `addr add ${address6}/64 dev eth0 nodad`,
      `route add default via ${subnetOf(node)}.1`,
      `route add ::/0 via ${subnet6Of(node)}:1`,
    ]);
  }
  return result;
}

const MASQUERADE = `table ip cni { chain post { type nat hook postrouting priority srcnat; ip saddr 10.244.0.0/16 ip daddr != 10.244.0.0/16 masquerade
  }
}
table ip6 cni { chain post { type nat hook postrouting priority srcnat; ip6 saddr fd00:244::/32 ip6 daddr != fd00:244::/32 masquerade
  }
}
`;

export function createDataPlaneLab(name: string): DataPlaneLab {
  const id = `dp-${name}-${process.pid}`;
  const ns = (namespace: string): string => `${id}-${namespace}`;
  const prefix = (namespace: string): readonly string[] => ['ip', 'netns', 'exec', ns(namespace)];
  const programs = new Set<ChildProcess>();
  const execute = (namespace: string, command: readonly string[], input = ''): string => {
    const [file = '', ...args] = [...prefix(namespace), ...command];
    return execFileSync(file, args, {
      input,
      encoding: 'utf8',
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: 20_000,
    });
  };
  execFileSync('ip', ['-batch', '-'], { input: `${topology(ns).join('\n')}\n` });
  for (const [namespace, lines] of configurations())
    execute(namespace, ['ip', '-batch', '-'], `${lines.join('\n')}\n`);
  for (const router of ['rtr', ...NODE_NAMES])
    execute(router, ['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']);
  for (const node of NODE_NAMES) {
    execute(node, [
      'sysctl',
      '-qw',
      ...['all', 'default', 'eth0', 'cni0'].map((it) => `net.ipv4.conf.${it}.rp_filter=1`),
    ]);
    execute(node, ['nft', '-f', '-'], MASQUERADE);
  }
  return {
    prefix,
    run: (namespace, ...command) => execute(namespace, command),
    attempt(namespace, ...command) {
      try {
        return { code: 0, output: execute(namespace, command) };
      } catch (error) {
        const { status, stderr, stdout } = error as { status: number | null; stderr: string; stdout: string };
        return { code: status ?? -1, output: `${stdout}${stderr}` };
      }
    },
    program(namespace, source) {
      const [file = '', ...args] = [...prefix(namespace), process.execPath, '-e', source];
      const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
      programs.add(child);
      return followed(child);
    },
    down() {
      for (const child of programs) child.kill('SIGKILL');
      for (const namespace of ['sw', 'rtr', 'ext', ...NODE_NAMES, ...Object.keys(PODS)]) {
        execFileSync('ip', ['netns', 'del', ns(namespace)]);
      }
    },
  };
}

function followed(
  child: ChildProcess & { readonly stdout: NodeJS.ReadableStream; readonly stdin: NodeJS.WritableStream },
): LabProgram {
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  let ended = false;
  const wake = (): void => {
    for (const check of [...waiting]) check();
  };
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    wake();
  });
  child.on('close', () => {
    ended = true;
    wake();
  });
  return {
    line(match) {
      return new Promise((resolve, reject) => {
        const check = (): void => {
          const index = lines.findIndex((line) => match.test(line));
          if (index >= 0) {
            waiting.delete(check);
            resolve(lines.splice(index, 1)[0] ?? '');
          } else if (ended) {
            waiting.delete(check);
            reject(new Error(`the program ended without a line like ${match}: ${lines.join(' | ')}`));
          }
        };
        waiting.add(check);
        check();
      });
    },
    write: (text) => {
      child.stdin.write(text);
    },
    stop: () => {
      child.kill('SIGKILL');
    },
  };
}
