/**
 * Lets the kernel answer ARP and neighbour solicitations for egress IPs and nothing else: a proxy neighbour entry answers.
 * The address is never local, so that no listener of the node can be reached through it; pings find it in a routing table
 * that nothing else looks into. Which answers leave is decided by the guard in nftables, never here. iproute2 knows the
 * family of a line by its address, so both go the same way.
 *
 * Where an IPv4 address is held it shows in `ip addr` too. An IPv6 address does not: its local route comes some time after it,
 * from a work queue of the kernel, where no other route of the table can stand before it, and the kernel would take it for the
 * source of the node's own connections.
 */
import type { KernelOutcome } from '../core/dataPlane.ts';
import { ANSWER_TABLE, TUNNEL_DEVICE } from '../core/dataplane/staticRuleset.ts';
import { runBatch } from './iproute.ts';
import { jsonObjects, readJson, type ToolRunner } from './runTool.ts';

interface UplinkState {
  readonly onDevice: ReadonlySet<string>;
  readonly local: ReadonlySet<string>;
  /** See `showing`; left over where a run of the tool was cut short. */
  readonly detoured: ReadonlySet<string>;
  readonly proxied: ReadonlySet<string>;
  readonly pingable: ReadonlySet<string>;
  readonly routed: ReadonlySet<string>;
}

async function readUplink(runner: ToolRunner, uplink: string): Promise<UplinkState> {
  const [links, proxied, local, pingable, routed] = await Promise.all([
    readObjects(runner, 'addr', 'show', 'dev', uplink),
    readObjects(runner, 'neigh', 'show', 'proxy', 'dev', uplink),
    readRoutes(runner, 'table', 'local'),
    readRoutes(runner, 'table', String(ANSWER_TABLE.table)),
    readRoutes(runner, 'dev', TUNNEL_DEVICE),
  ]);
  return {
    onDevice: texts(
      links.flatMap((link) => jsonObjects(link.addr_info)),
      'local',
    ),
    local: texts(
      local.filter(({ dev, type }) => dev === uplink && type === 'local'),
      'dst',
    ),
    detoured: texts(
      local.filter(({ dev, type }) => dev === TUNNEL_DEVICE && (type ?? 'unicast') === 'unicast'),
      'dst',
    ),
    proxied: texts(proxied, 'dst'),
    pingable: texts(
      pingable.filter(({ type }) => type === 'local'),
      'dst',
    ),
    // The kernel's own ways into the device, as those of link-local addresses, lead to whole networks.
    routed: texts(
      routed.filter(({ dst }) => !String(dst).includes('/')),
      'dst',
    ),
  };
}

type Json = Readonly<Record<string, unknown>>;

async function readObjects(runner: ToolRunner, ...words: readonly string[]): Promise<readonly Json[]> {
  return jsonObjects(await readJson(runner, ['ip', '-j', ...words]));
}

async function readRoutes(runner: ToolRunner, ...words: readonly string[]): Promise<readonly Json[]> {
  const read = (family: '-4' | '-6') => readObjects(runner, family, 'route', 'show', ...words);
  return (await Promise.all([read('-4'), read('-6')])).flat();
}

function texts(items: readonly Json[], field: string): ReadonlySet<string> {
  return new Set(items.map((item) => String(item[field])));
}

/** What a node's uplink should have of egress IPs. */
export interface WantedAddresses {
  /** Those that it may have to answer for at any moment, and those that it does. */
  readonly prepared: ReadonlySet<string>;
  /** Those that it answers for, as people and pings see it. */
  readonly shown: ReadonlySet<string>;
}

/**
 * All that the kernel needs to answer for these: a way to them that is not the uplink, for a proxy answers only for what
 * lies behind another device, and the proxy's entry.
 */
export function prepareAddresses(
  runner: ToolRunner,
  uplink: string,
  addresses: readonly string[],
): Promise<KernelOutcome> {
  return runBatch(
    runner,
    'ip',
    addresses.flatMap((address) => preparing(address, uplink)),
  );
}

function preparing(address: string, uplink: string): readonly string[] {
  return [
    `route replace ${alone(address)} dev ${TUNNEL_DEVICE}`,
    `neigh replace proxy ${address} dev ${uplink}`,
  ];
}

function isIpv6(address: string): boolean {
  return address.includes(':');
}

/** The network that it is alone in. */
function alone(address: string): string {
  return isIpv6(address) ? `${address}/128` : `${address}/32`;
}

/** Shows addresses that were not shown before: `refused` where part of it is there already. */
export function showAddresses(
  runner: ToolRunner,
  uplink: string,
  addresses: readonly string[],
): Promise<KernelOutcome> {
  return runBatch(
    runner,
    'ip',
    addresses.flatMap((address) => [
      ...showing(address, uplink),
      `route replace ${answering(address, uplink)}`,
    ]),
  );
}

/**
 * The kernel makes an added address local. Until that is undone packets on their way to a node would be taken for this one
 * and dropped, and a tool may lose its processor in between: so they go the tunnel's way by an older route of the same table.
 */
function showing(address: string, uplink: string): readonly string[] {
  if (isIpv6(address)) return [];
  return [
    `route replace ${detour(address)}`,
    `addr add ${alone(address)} dev ${uplink} noprefixroute`,
    delocalizing(address, uplink),
    `route del ${detour(address)}`,
  ];
}

/** The way of pings. Of IPv6 it is the loopback device's, which the address need not be on, and which does not flap. */
function answering(address: string, uplink: string): string {
  return `local ${address} dev ${isIpv6(address) ? 'lo' : uplink} table ${ANSWER_TABLE.table}`;
}

function detour(address: string): string {
  return `${alone(address)} dev ${TUNNEL_DEVICE} table local`;
}

function delocalizing(address: string, uplink: string): string {
  return `route del local ${address} dev ${uplink} table local`;
}

/**
 * Makes the uplink as it is wanted, changing only what differs.
 * @param wanted is asked once the device was read, so that the newest wish counts
 */
export async function settleAddresses(
  runner: ToolRunner,
  uplink: string,
  wanted: () => WantedAddresses,
): Promise<KernelOutcome> {
  const state = await readUplink(runner, uplink);
  const { prepared, shown } = wanted();
  const ours = new Set([...prepared, ...shown, ...state.routed, ...state.pingable, ...state.detoured]);
  const changes = [...ours].flatMap((address) => [
    ...preparation(state, address, { uplink, wanted: prepared.has(address) }),
    ...appearance(state, address, { uplink, wanted: shown.has(address) }),
  ]);
  return runBatch(runner, 'ip', changes);
}

function preparation(
  state: UplinkState,
  address: string,
  { uplink, wanted }: { readonly uplink: string; readonly wanted: boolean },
): readonly string[] {
  const [routed, proxied] = [state.routed.has(address), state.proxied.has(address)];
  if (wanted) return routed && proxied ? [] : preparing(address, uplink);
  return [
    ...(proxied ? [`neigh del proxy ${address} dev ${uplink}`] : []),
    ...(routed ? [`route del ${alone(address)} dev ${TUNNEL_DEVICE}`] : []),
  ];
}

function appearance(
  state: UplinkState,
  address: string,
  { uplink, wanted }: { readonly uplink: string; readonly wanted: boolean },
): readonly string[] {
  const [onDevice, pingable] = [state.onDevice.has(address), state.pingable.has(address)];
  const shows = wanted && !onDevice;
  return [
    ...(shows ? showing(address, uplink) : []),
    ...(onDevice && state.local.has(address) ? [delocalizing(address, uplink)] : []),
    ...(state.detoured.has(address) && !shows ? [`route del ${detour(address)}`] : []),
    ...(wanted && !pingable ? [`route replace ${answering(address, uplink)}`] : []),
    ...(!wanted && pingable ? [`route del ${answering(address, uplink)}`] : []),
    ...(!wanted && onDevice ? [`addr del ${alone(address)} dev ${uplink}`] : []),
  ];
}

/** What some run of the agent left here: routes into the tunnel device, and a routing table that is ours alone. */
export async function readAddresses(runner: ToolRunner, uplink: string): Promise<readonly string[]> {
  const { routed, pingable } = await readUplink(runner, uplink);
  return [...new Set([...routed, ...pingable])];
}
