import { existsSync } from 'node:fs';
import { type CommandResult, runCommand } from './command.ts';
import {
  type ClusterNode,
  CONTROL_PLANE,
  CONTROL_PLANE_ADDRESS,
  IPV6,
  namespaceName,
  OUTSIDE,
  OUTSIDE_ADDRESS,
  POD_CIDR,
  ROUTER,
  ROUTER_ADDRESS,
  ROUTER_OUTSIDE_ADDRESS,
  SERVICE_CIDR,
  UNDERLAY_CIDR,
} from './topology.ts';

const STEP = 'building the network';

/** Runs a command in the network namespace of one member of the cluster. */
export async function execIn(
  id: string,
  member: string,
  argv: readonly string[],
  options: { readonly stdin?: string; readonly allowFailure?: boolean; readonly timeoutMs?: number } = {},
): Promise<CommandResult> {
  const step = `running ${argv[0] ?? 'nothing'} in ${member}`;
  return runCommand(step, ['ip', 'netns', 'exec', namespaceName(id, member), ...argv], options);
}

async function ipBatch(namespace: string, lines: readonly string[]): Promise<void> {
  await runCommand(STEP, ['ip', '-n', namespace, '-batch', '-'], { stdin: `${lines.join('\n')}\n` });
}

async function writeSysctls(id: string, member: string, settings: readonly string[]): Promise<void> {
  await execIn(id, member, ['sysctl', '-qw', ...settings]);
}

interface Port {
  readonly member: string;
  readonly address: string;
  readonly address6?: string | undefined;
  readonly mac?: string;
  readonly lines?: readonly string[];
}

/** Plugs one member into the switch: eth0 there, `p-<member>` on the bridge. */
async function attach(id: string, port: Port): Promise<void> {
  const namespace = namespaceName(id, port.member);
  await runCommand(STEP, ['ip', 'netns', 'add', namespace]);
  const address = port.mac === undefined ? '' : ` address ${port.mac}`;
  await ipBatch(namespaceName(id, 'switch'), [
    `link add ${portName(port.member)} type veth peer name eth0${address} netns ${namespace}`,
    `link set ${portName(port.member)} master br0 up`,
  ]);
  await ipBatch(namespace, [
    'link set lo up',
    `address add ${port.address}/24 dev eth0`,
    ...(port.address6 === undefined ? [] : [`address add ${port.address6}/64 dev eth0 nodad`]),
    'link set eth0 up',
    ...(port.lines ?? []),
  ]);
  await writeSysctls(id, port.member, ['net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']);
}

/** The switch's port of a member; the control plane's name is too long for an interface. */
export function portName(member: string): string {
  return member === CONTROL_PLANE ? 'p-control' : `p-${member}`;
}

export interface NetworkOptions {
  readonly nodes: readonly ClusterNode[];
  /** Sets base_reachable_time_ms of the router's interfaces; absent leaves Linux's default of 30 s. */
  readonly routerArpTimeoutMs?: number;
}

/** The switch, the router with the outside host behind it, and the control plane's port. */
export async function buildBackbone(id: string, options: NetworkOptions): Promise<void> {
  const fabric = namespaceName(id, 'switch');
  const router = namespaceName(id, ROUTER);
  const outside = namespaceName(id, OUTSIDE);
  await runCommand(STEP, ['ip', 'netns', 'add', fabric]);
  await ipBatch(fabric, ['link set lo up', 'link add br0 type bridge', 'link set br0 up']);
  const dualStack = options.nodes.some(({ ipv6 }) => ipv6 !== undefined);
  const ipv6 = (address: string): { readonly address6?: string } => (dualStack ? { address6: address } : {});
  await attach(id, { member: ROUTER, address: ROUTER_ADDRESS, ...ipv6(IPV6.routerAddress) });
  await attach(id, {
    member: CONTROL_PLANE,
    address: CONTROL_PLANE_ADDRESS,
    ...ipv6(IPV6.controlPlaneAddress),
    lines: routesOver(options.nodes, dualStack),
  });
  await runCommand(STEP, ['ip', 'netns', 'add', outside]);
  await ipBatch(router, [
    `link add out0 type veth peer name eth0 netns ${outside}`,
    `address add ${ROUTER_OUTSIDE_ADDRESS}/24 dev out0`,
    ...(dualStack ? [`address add ${IPV6.routerOutsideAddress}/64 dev out0 nodad`] : []),
    'link set out0 up',
  ]);
  await ipBatch(outside, [
    'link set lo up',
    `address add ${OUTSIDE_ADDRESS}/24 dev eth0`,
    ...(dualStack ? [`address add ${IPV6.outsideAddress}/64 dev eth0 nodad`] : []),
    'link set eth0 up',
    `route add default via ${ROUTER_OUTSIDE_ADDRESS}`,
    ...(dualStack ? [`route add default via ${IPV6.routerOutsideAddress}`] : []),
  ]);
  if (options.routerArpTimeoutMs !== undefined) {
    await writeSysctls(id, ROUTER, [
      `net.ipv4.neigh.eth0.base_reachable_time_ms=${options.routerArpTimeoutMs}`,
    ]);
  }
}

/** To the world through the router, and to the pods of nodes through those. */
function routesOver(nodes: readonly ClusterNode[], dualStack: boolean): readonly string[] {
  return [
    `route add default via ${ROUTER_ADDRESS}`,
    ...(dualStack ? [`route add default via ${IPV6.routerAddress}`] : []),
    ...nodes.flatMap(({ address, podCidr, ipv6 }) => [
      `route add ${podCidr} via ${address}`,
      ...(ipv6 === undefined ? [] : [`route add ${ipv6.podCidr} via ${ipv6.address}`]),
    ]),
  ];
}

/**
 * Plugs a node in: its port, the routes to the other nodes' pods, and what a CNI does for pods that speak to the world:
 * the node's own address as source, except towards pods, services and the underlay.
 */
export async function attachNode(
  id: string,
  node: ClusterNode,
  nodes: readonly ClusterNode[],
): Promise<void> {
  const others = nodes.filter((other) => other.name !== node.name);
  await attach(id, {
    member: node.name,
    address: node.address,
    address6: node.ipv6?.address,
    mac: node.mac,
    lines: routesOver(others, node.ipv6 !== undefined),
  });
  const inside = [POD_CIDR, SERVICE_CIDR, UNDERLAY_CIDR];
  const inside6 = [IPV6.podCidr, IPV6.serviceCidr, IPV6.underlayCidr];
  const rulesets = [
    renderMasquerade('ip', node.podCidr, inside),
    ...(node.ipv6 === undefined ? [] : [renderMasquerade('ip6', node.ipv6.podCidr, inside6)]),
  ];
  await execIn(id, node.name, ['nft', '-f', '-'], { stdin: rulesets.join('') });
}

function renderMasquerade(family: 'ip' | 'ip6', pods: string, inside: readonly string[]): string {
  return `table ${family} cni-masquerade {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ${family} saddr ${pods} ${family} daddr != { ${inside.join(', ')} } masquerade
  }
}
`;
}

/**
 * The port goes first: the kernel takes a namespace's interfaces away some time after the name. A node that never ran has
 * neither.
 */
export async function detachNode(id: string, name: string): Promise<void> {
  if (!existsSync(`/run/netns/${namespaceName(id, name)}`)) return;
  await ipBatch(namespaceName(id, 'switch'), [`link del ${portName(name)}`]);
  await runCommand(`removing the network of ${name}`, ['ip', 'netns', 'del', namespaceName(id, name)]);
}

export async function setUplink(id: string, name: string, state: 'up' | 'down'): Promise<void> {
  await ipBatch(namespaceName(id, 'switch'), [`link set ${portName(name)} ${state}`]);
}

export type PartitionDirection = 'both' | 'a-to-b' | 'b-to-a';

/** Drops frames between two ports of the switch, ARP included. */
export async function cutBetween(
  id: string,
  a: string,
  b: string,
  direction: PartitionDirection,
): Promise<void> {
  const drop = (from: string, to: string): string =>
    `add rule bridge faults forward iifname "${portName(from)}" oifname "${portName(to)}" drop`;
  const rules = [
    'add table bridge faults',
    'add chain bridge faults forward { type filter hook forward priority 0; policy accept; }',
    ...(direction === 'b-to-a' ? [] : [drop(a, b)]),
    ...(direction === 'a-to-b' ? [] : [drop(b, a)]),
  ];
  await execIn(id, 'switch', ['nft', '-f', '-'], { stdin: `${rules.join('\n')}\n` });
}

export async function healCuts(id: string): Promise<void> {
  const stdin = 'add table bridge faults\ndelete table bridge faults\n';
  await execIn(id, 'switch', ['nft', '-f', '-'], { stdin });
}
