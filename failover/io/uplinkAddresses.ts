/**
 * Puts each egress IP on its uplink.
 *
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

/** Who has what, as `address device` where the device matters. */
interface NodeState {
  readonly onDevice: ReadonlySet<string>;
  readonly local: ReadonlySet<string>;
  /** See `showing`; left over where a run of the tool was cut short. */
  readonly detoured: ReadonlySet<string>;
  readonly proxied: ReadonlySet<string>;
  /** Address → device. */
  readonly pingable: ReadonlyMap<string, string>;
  /** Address → where from the node itself sends to it. */
  readonly routed: ReadonlyMap<string, string | undefined>;
  /** Uplinks, and devices that have something that may be ours. */
  readonly devices: ReadonlySet<string>;
}

/** @param uplinks where everything counts; on other devices what looks like ours does, for they may have been uplinks */
async function readNode(runner: ToolRunner, uplinks: readonly string[]): Promise<NodeState> {
  const [links, links6, proxied, local, pingable, routed] = await Promise.all([
    readObjects(runner, '-4', 'addr', 'show'),
    Promise.all(uplinks.map((uplink) => readObjects(runner, '-6', 'addr', 'show', 'dev', uplink))),
    readObjects(runner, 'neigh', 'show', 'proxy'),
    readRoutes(runner, 'table', 'local'),
    readRoutes(runner, 'table', String(ANSWER_TABLE.table)),
    readRoutes(runner, 'dev', TUNNEL_DEVICE),
  ]);
  const addresses = [...links, ...links6.flat()].flatMap(({ ifname, addr_info }) =>
    jsonObjects(addr_info)
      .filter(({ noprefixroute }) => noprefixroute === true || uplinks.includes(String(ifname)))
      .map((info) => ({ dev: ifname, local: info.local })),
  );
  return {
    onDevice: places(addresses, 'local'),
    local: places(
      local.filter(({ type }) => type === 'local'),
      'dst',
    ),
    detoured: texts(
      local.filter(({ dev, type }) => dev === TUNNEL_DEVICE && (type ?? 'unicast') === 'unicast'),
      'dst',
    ),
    proxied: places(proxied, 'dst'),
    pingable: new Map(
      pingable.filter(({ type }) => type === 'local').map(({ dst, dev }) => [String(dst), String(dev)]),
    ),
    // The kernel's own ways into the device, as those of link-local addresses, lead to whole networks.
    routed: new Map(
      routed
        .filter(({ dst }) => !String(dst).includes('/'))
        .map(({ dst, prefsrc }) => [String(dst), prefsrc === undefined ? undefined : String(prefsrc)]),
    ),
    devices: new Set(
      [...uplinks, ...[...addresses, ...proxied].map(({ dev }) => String(dev))].filter(
        (device) => device !== TUNNEL_DEVICE,
      ),
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

function places(items: readonly Json[], field: string): ReadonlySet<string> {
  return new Set(items.map((item) => place(String(item[field]), String(item.dev))));
}

function place(address: string, device: string): string {
  return `${address} ${device}`;
}

/** Egress IP → the uplink that it is on. */
export type PlacedAddresses = ReadonlyMap<string, string>;

/** What a node's uplinks should have of egress IPs. */
export interface WantedAddresses {
  /** Those that it may have to answer for at any moment, and those that it does. */
  readonly prepared: PlacedAddresses;
  /** Those that it answers for, as people and pings see it. */
  readonly shown: PlacedAddresses;
}

/**
 * All that the kernel needs to answer for these: a way to them that is not the uplink, for a proxy answers only for what
 * lies behind another device, and the proxy's entry.
 */
export function prepareAddresses(
  runner: ToolRunner,
  addresses: PlacedAddresses,
  source: string | undefined,
): Promise<KernelOutcome> {
  return runBatch(
    runner,
    'ip',
    [...addresses].flatMap(([address, uplink]) => preparing(address, uplink, source)),
  );
}

function preparing(address: string, uplink: string, source: string | undefined): readonly string[] {
  return [routing(address, source), proxying(address, uplink)];
}

function routing(address: string, source: string | undefined): string {
  const from = speaker(address, source);
  return `route replace ${alone(address)} dev ${TUNNEL_DEVICE}${from === undefined ? '' : ` src ${from}`}`;
}

/**
 * Where from the node itself speaks to a pod, as when a packet's life ends here: the address that IPv4 has on the tunnel's device
 * is every node's, and taken for a lie where it arrives. IPv6 has none there.
 */
function speaker(address: string, source: string | undefined): string | undefined {
  return source === undefined || isIpv6(source) || isIpv6(address) ? undefined : source;
}

function proxying(address: string, uplink: string): string {
  return `neigh replace proxy ${address} dev ${uplink}`;
}

function isIpv6(address: string): boolean {
  return address.includes(':');
}

/** The network that it is alone in. */
function alone(address: string): string {
  return isIpv6(address) ? `${address}/128` : `${address}/32`;
}

/** Shows addresses that were not shown before: `refused` where part of it is there already. */
export function showAddresses(runner: ToolRunner, addresses: PlacedAddresses): Promise<KernelOutcome> {
  return runBatch(
    runner,
    'ip',
    [...addresses].flatMap(([address, uplink]) => [
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
  return `local ${address} dev ${answeringDevice(address, uplink)} table ${ANSWER_TABLE.table}`;
}

function answeringDevice(address: string, uplink: string): string {
  return isIpv6(address) ? 'lo' : uplink;
}

function detour(address: string): string {
  return `${alone(address)} dev ${TUNNEL_DEVICE} table local`;
}

function delocalizing(address: string, uplink: string): string {
  return `route del local ${address} dev ${uplink} table local`;
}

/**
 * Makes the node as it is wanted, changing only what differs. What is ours on a device that is no uplink any more goes too.
 * @param wanted is asked once the node was read, so that the newest wish counts
 * @param source the node's own address
 */
export async function settleAddresses(
  runner: ToolRunner,
  uplinks: readonly string[],
  wanted: () => WantedAddresses,
  source?: string,
): Promise<KernelOutcome> {
  const state = await readNode(runner, uplinks);
  const { prepared, shown } = wanted();
  const ours = new Set([
    ...[...prepared.keys(), ...shown.keys()],
    ...[...state.routed.keys(), ...state.pingable.keys(), ...state.detoured],
  ]);
  const changes = [...ours].flatMap((address) => [
    ...withdrawal(state, address, { prepared: prepared.get(address), shown: shown.get(address) }),
    ...preparation(state, address, { uplink: prepared.get(address), source }),
    ...appearance(state, address, shown.get(address)),
  ]);
  return runBatch(runner, 'ip', changes);
}

/** From devices that are not its uplink, or not any more. */
function withdrawal(
  { devices, onDevice, proxied, local }: NodeState,
  address: string,
  wanted: { readonly prepared: string | undefined; readonly shown: string | undefined },
): readonly string[] {
  return [...devices].flatMap((device) => {
    const here = place(address, device);
    const goes = onDevice.has(here) && device !== wanted.shown;
    return [
      ...(proxied.has(here) && device !== wanted.prepared
        ? [`neigh del proxy ${address} dev ${device}`]
        : []),
      ...(goes && local.has(here) ? [delocalizing(address, device)] : []),
      ...(goes ? [`addr del ${alone(address)} dev ${device}`] : []),
    ];
  });
}

function preparation(
  { routed, proxied }: NodeState,
  address: string,
  { uplink, source }: { readonly uplink: string | undefined; readonly source: string | undefined },
): readonly string[] {
  if (uplink === undefined)
    return routed.has(address) ? [`route del ${alone(address)} dev ${TUNNEL_DEVICE}`] : [];
  const isRouted = routed.has(address) && routed.get(address) === speaker(address, source);
  return isRouted && proxied.has(place(address, uplink)) ? [] : preparing(address, uplink, source);
}

function appearance(state: NodeState, address: string, uplink: string | undefined): readonly string[] {
  const pingable = state.pingable.get(address);
  const shown = uplink !== undefined && state.onDevice.has(place(address, uplink));
  const shows = uplink !== undefined && !shown;
  const answers = uplink !== undefined && pingable === answeringDevice(address, uplink);
  return [
    ...(shows ? showing(address, uplink) : []),
    ...(shown && state.local.has(place(address, uplink)) ? [delocalizing(address, uplink)] : []),
    ...(state.detoured.has(address) && !shows ? [`route del ${detour(address)}`] : []),
    ...(uplink !== undefined && !answers ? [`route replace ${answering(address, uplink)}`] : []),
    ...(uplink === undefined && pingable !== undefined
      ? [`route del local ${address} dev ${pingable} table ${ANSWER_TABLE.table}`]
      : []),
  ];
}

export interface Traces {
  /** Routes into the tunnel device, and a routing table that is ours alone. */
  readonly addresses: readonly string[];
  /** That show one of them, or answer for one. */
  readonly devices: readonly string[];
}

/** What some run of the agent left here. */
export async function readTraces(runner: ToolRunner, uplinks: readonly string[]): Promise<Traces> {
  const { routed, pingable, onDevice, proxied, devices } = await readNode(runner, uplinks);
  const addresses = [...new Set([...routed.keys(), ...pingable.keys()])];
  const has = (device: string): boolean =>
    addresses.some((it) => [onDevice, proxied].some((places) => places.has(place(it, device))));
  return { addresses, devices: [...devices].filter(has) };
}
