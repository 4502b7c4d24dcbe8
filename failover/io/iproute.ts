/**
 * The part of the data plane that is not nftables: the tunnel device, its forwarding entries, two routing tables, the
 * rules that lead there, and a few sysctls. Every step reads first and changes only what differs.
 */
import { formatAddress } from '../../policy/address.ts';
import type { Address } from '../../policy/model.ts';
import type { KernelOutcome, NodeDataPlane } from '../core/dataPlane.ts';
import { tunnelOverhead } from '../core/dataplane/familyWords.ts';
import { ANSWER_TABLE, TUNNEL_DEVICE, TUNNEL_TABLE } from '../core/dataplane/staticRuleset.ts';
import { tunnelMac } from '../core/dataplane/tunnelMac.ts';
import { soleUplink, type Uplinks } from '../core/uplinks.ts';
import { jsonObjects, readJson, runTool, type ToolRunner } from './runTool.ts';

export interface TunnelOptions {
  readonly uplink: string;
  /** Absent: there is no other. */
  readonly uplinks?: Uplinks;
  readonly self: Address;
  readonly tunnelPort: number;
  readonly tunnelVni: number;
  /** `/proc/sys/net` or where a container has it mounted writable. */
  readonly sysctlDir: string;
}

/** Loose reverse-path filtering ignores a device without any address of its own. Never on the wire. */
const TUNNEL_ADDRESS = '169.254.77.1';

type Json = Readonly<Record<string, unknown>>;

/** Lines of an `ip` or `bridge` batch, run as far as possible; the first complaint is the outcome's message. */
export async function runBatch(
  runner: ToolRunner,
  tool: 'ip' | 'ip -4' | 'ip -6' | 'bridge',
  lines: readonly string[],
): Promise<KernelOutcome> {
  if (lines.length === 0) return { kind: 'ok' };
  const result = await runTool(
    runner,
    [...tool.split(' '), '-force', '-batch', '-'],
    `${lines.join('\n')}\n`,
  );
  if (result.kind === 'absent') return { kind: 'refused', message: result.message };
  if (result.kind === 'unknown') return result;
  if (result.code === 0) return { kind: 'ok' };
  return { kind: 'refused', message: `${tool}: ${result.stderr.trim()}` };
}

export async function readMtu(runner: ToolRunner, device: string): Promise<number | undefined> {
  const [link] = jsonObjects(await readJson(runner, ['ip', '-j', 'link', 'show', 'dev', device]));
  const mtu = Number(link?.mtu);
  return Number.isInteger(mtu) && mtu > 0 ? mtu : undefined;
}

/** Makes `egress0` and the ways into it. */
export async function ensureTunnel(
  runner: ToolRunner,
  options: TunnelOptions,
  uplinkMtu: number,
): Promise<KernelOutcome> {
  const device = await runBatch(runner, 'ip', await deviceChanges(runner, options, uplinkMtu));
  if (device.kind !== 'ok') return device;
  const ipv6 = await speaksIpv6(runner, options);
  const switched = await ensureSysctls(runner, options, ipv6);
  if (switched.kind !== 'ok') return switched;
  const routing = await runBatch(runner, 'ip', await routingChanges(runner, '-4'));
  if (routing.kind !== 'ok' || !ipv6) return routing;
  return runBatch(runner, 'ip -6', await routingChanges(runner, '-6'));
}

/** A node may have been told to do without it, or its tunnel be too narrow for it. */
async function speaksIpv6(
  runner: ToolRunner,
  { sysctlDir }: Pick<TunnelOptions, 'sysctlDir'>,
): Promise<boolean> {
  const switches = ['all', TUNNEL_DEVICE].map((it) => `${sysctlDir}/ipv6/conf/${it}/disable_ipv6`);
  const disabled = await runTool(runner, ['cat', ...switches]);
  return disabled.kind === 'done' && disabled.code === 0 && disabled.stdout.startsWith('0');
}

async function deviceChanges(
  runner: ToolRunner,
  { self, tunnelPort, tunnelVni }: TunnelOptions,
  uplinkMtu: number,
): Promise<readonly string[]> {
  const own = formatAddress(self);
  const mtu = uplinkMtu - tunnelOverhead(self.family);
  const [link] = jsonObjects(
    await readJson(runner, ['ip', '-j', '-d', 'link', 'show', 'dev', TUNNEL_DEVICE]),
  );
  const [addresses] = jsonObjects(
    await readJson(runner, ['ip', '-j', '-4', 'addr', 'show', 'dev', TUNNEL_DEVICE]),
  );
  const right = link !== undefined && isOurTunnel(link, { own, tunnelPort, tunnelVni, mac: tunnelMac(self) });
  const changes: string[] = [];
  if (!right) {
    if (link !== undefined) changes.push(`link del ${TUNNEL_DEVICE}`);
    changes.push(
      `link add ${TUNNEL_DEVICE} address ${tunnelMac(self)} mtu ${mtu} type vxlan id ${tunnelVni} dstport ${tunnelPort} local ${own} nolearning`,
      `link set ${TUNNEL_DEVICE} arp off`,
    );
  } else if (link.mtu !== mtu) changes.push(`link set ${TUNNEL_DEVICE} mtu ${mtu}`);
  const hasAddress = right && jsonObjects(addresses?.addr_info).some(({ local }) => local === TUNNEL_ADDRESS);
  if (!hasAddress)
    changes.push(`addr add ${TUNNEL_ADDRESS}/32 dev ${TUNNEL_DEVICE} scope link noprefixroute`);
  if (!right || !flagsOf(link).includes('UP')) changes.push(`link set ${TUNNEL_DEVICE} up`);
  return changes;
}

function flagsOf(link: Json): readonly unknown[] {
  return Array.isArray(link.flags) ? link.flags : [];
}

function isOurTunnel(
  link: Json,
  want: {
    readonly own: string;
    readonly tunnelPort: number;
    readonly tunnelVni: number;
    readonly mac: string;
  },
): boolean {
  const info = link.linkinfo as Json | undefined; // iproute2's own JSON: an object where present.
  const data = info?.info_data as Json | undefined;
  return (
    info?.info_kind === 'vxlan' &&
    data?.id === want.tunnelVni &&
    data.port === want.tunnelPort &&
    (data.local ?? data.local6) === want.own &&
    data.learning === false &&
    link.address === want.mac &&
    flagsOf(link).includes('NOARP')
  );
}

async function routingChanges(runner: ToolRunner, family: '-4' | '-6'): Promise<readonly string[]> {
  const rules = jsonObjects(await readJson(runner, ['ip', '-j', family, 'rule', 'show']));
  const table = async (id: number): Promise<readonly Json[]> =>
    jsonObjects(await readJson(runner, ['ip', '-j', family, 'route', 'show', 'table', String(id)]));
  const [tunnel, answer] = [await table(TUNNEL_TABLE.table), await table(ANSWER_TABLE.table)];
  const missing = [TUNNEL_TABLE, ANSWER_TABLE].filter(
    (want) => !rules.some((rule) => rule.priority === want.preference && Number(rule.fwmark) === want.mark),
  );
  return [
    ...(tunnel.some(({ dst, dev }) => dst === 'default' && dev === TUNNEL_DEVICE)
      ? []
      : [`route replace default dev ${TUNNEL_DEVICE} table ${TUNNEL_TABLE.table}`]),
    // A ping to an address that this node does not answer for ends here instead of finding the default route.
    ...(answer.some(({ dst, type }) => dst === 'default' && type === 'blackhole')
      ? []
      : [`route replace blackhole default table ${ANSWER_TABLE.table}`]),
    ...missing.map((it) => `rule add ${ruleWords(it)}`),
  ];
}

/** With all that makes it ours: somebody else may have a rule of the same preference. */
function ruleWords({ preference, mark, table }: typeof TUNNEL_TABLE | typeof ANSWER_TABLE): string {
  const hex = `0x${mark.toString(16)}`;
  return `pref ${preference} fwmark ${hex}/${hex} lookup ${table}`;
}

/**
 * rp_filter 2: replies come in from the tunnel although the route back leads elsewhere. proxy_delay 0: no answer late.
 * IPv6 has to be told to answer as a proxy at all, and the uplink's own switch is not enough: a neighbour that checks what it
 * knows asks the address itself, and the kernel looks at such a packet only by `all`. A proxy answers only where the node
 * forwards IPv6; that is the node's own to decide, for then it takes no more advertisements of routers.
 */
async function ensureSysctls(
  runner: ToolRunner,
  { sysctlDir, uplink, uplinks = soleUplink(uplink) }: TunnelOptions,
  ipv6: boolean,
): Promise<KernelOutcome> {
  const wanted: readonly (readonly [string, string])[] = [
    [`${sysctlDir}/ipv4/conf/${TUNNEL_DEVICE}/rp_filter`, '2'],
    ...uplinks.map(({ device }) => [`${sysctlDir}/ipv4/neigh/${device}/proxy_delay`, '0'] as const),
    ...(ipv6 ? ipv6Switches(sysctlDir, uplinks) : []),
  ];
  for (const [file, value] of wanted) {
    const now = await runTool(runner, ['cat', file]);
    if (now.kind === 'done' && now.stdout.trim() === value) continue;
    const written = await runTool(runner, ['tee', file], value);
    if (written.kind !== 'done' || written.code !== 0) {
      const why = written.kind === 'done' ? written.stderr.trim() : written.message;
      return { kind: 'refused', message: `cannot set ${file} to ${value}: ${why}` };
    }
  }
  return { kind: 'ok' };
}

function ipv6Switches(sysctlDir: string, uplinks: Uplinks): readonly (readonly [string, string])[] {
  return [
    [`${sysctlDir}/ipv6/conf/${TUNNEL_DEVICE}/disable_ipv6`, '0'],
    ...uplinks.map(({ device }) => [`${sysctlDir}/ipv6/neigh/${device}/proxy_delay`, '0'] as const),
    [`${sysctlDir}/ipv6/conf/all/proxy_ndp`, '1'],
  ];
}

/** The static forwarding entries of the tunnel: one MAC, one node. */
export async function ensurePeers(
  runner: ToolRunner,
  { self, peers }: Pick<NodeDataPlane, 'self' | 'peers'>,
): Promise<KernelOutcome> {
  const entries = jsonObjects(await readJson(runner, ['bridge', '-j', 'fdb', 'show', 'dev', TUNNEL_DEVICE]));
  const current = new Map(entries.map(({ mac, dst }) => [String(mac), String(dst)]));
  const desired = new Map(
    peers
      .filter(({ address }) => address.family === self.address.family)
      .map(({ mac, address }) => [mac, formatAddress(address)]),
  );
  return runBatch(runner, 'bridge', [
    ...[...current.keys()]
      .filter((mac) => !desired.has(mac))
      .map((mac) => `fdb del ${mac} dev ${TUNNEL_DEVICE}`),
    ...[...desired]
      .filter(([mac, dst]) => current.get(mac) !== dst)
      .map(([mac, dst]) => `fdb replace ${mac} dev ${TUNNEL_DEVICE} dst ${dst}`),
  ]);
}

/** Takes away all that `ensureTunnel` made, as far as it is there; the sysctls of the uplink stay. */
export async function removeTunnel(runner: ToolRunner): Promise<void> {
  for (const tool of ['ip', 'ip -6'] as const)
    await runBatch(runner, tool, [
      ...[TUNNEL_TABLE, ANSWER_TABLE].map((it) => `rule del ${ruleWords(it)}`),
      ...[TUNNEL_TABLE, ANSWER_TABLE].map(({ table }) => `route flush table ${table}`),
    ]);
  await runBatch(runner, 'ip', [`link del ${TUNNEL_DEVICE}`]);
}
