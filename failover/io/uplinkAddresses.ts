/**
 * Lets the kernel answer ARP and neighbour solicitations for egress IPs and nothing else: a proxy neighbour entry answers;
 * where the address is held it shows in `ip addr` too, without its local route, so that no listener of the node can be
 * reached through it. Which answers leave is decided by the guard in nftables, never here. iproute2 knows the family of a
 * line by its address, so both go the same way.
 */
import { setTimeout } from 'node:timers/promises';
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
export async function showAddresses(
  runner: ToolRunner,
  uplink: string,
  addresses: readonly string[],
): Promise<KernelOutcome> {
  const shown = await runBatch(
    runner,
    'ip',
    addresses.flatMap((address) => {
      const { show, unlocal, answer } = showing(address, uplink);
      return [...show, ...unlocal, answer];
    }),
  );
  const delocalized = await delocalize(runner, uplink, addresses.filter(isIpv6));
  return shown.kind === 'ok' ? delocalized : shown;
}

interface Showing {
  readonly show: readonly string[];
  /** What takes the local route away again; of IPv6 nothing, for it is not there yet. */
  readonly unlocal: readonly string[];
  readonly answer: string;
}

/**
 * The kernel makes an added address local. Until that is undone packets on their way to a node would be taken for this one
 * and dropped, and a tool may lose its processor in between: so they go the tunnel's way by an older route of the same table.
 * Without duplicate address detection: the protocol of ownership has found out that nobody else answers.
 */
function showing(address: string, uplink: string): Showing {
  const ipv6 = isIpv6(address);
  return {
    show: [
      ...(ipv6 ? [] : [`route replace ${detour(address)}`]),
      `addr add ${alone(address)} dev ${uplink} ${ipv6 ? 'nodad ' : ''}noprefixroute`,
    ],
    unlocal: ipv6 ? [] : [delocalizing(address, uplink), `route del ${detour(address)}`],
    answer: `route replace local ${address} dev ${uplink} table ${ANSWER_TABLE.table}`,
  };
}

function detour(address: string): string {
  return `${alone(address)} dev ${TUNNEL_DEVICE} table local`;
}

function delocalizing(address: string, uplink: string): string {
  return `route del local ${address} dev ${uplink} table local`;
}

/** Looks for the local routes of addresses just added: on an idle machine the first or second finds them all. */
const LOOKS_MAX = 50;
const LOOK_EVERY_MS = 5;

/**
 * Takes away the local routes of IPv6 addresses that were just added. Unlike those of IPv4 they come some time after the
 * address, from a work queue of the kernel, so they are waited for. Until then a listener can be reached through them.
 */
async function delocalize(
  runner: ToolRunner,
  uplink: string,
  added: readonly string[],
): Promise<KernelOutcome> {
  let awaited = added;
  for (let look = 0; look < LOOKS_MAX && awaited.length > 0; look += 1) {
    if (look > 0) await setTimeout(LOOK_EVERY_MS);
    const local = texts(
      await readObjects(runner, '-6', 'route', 'show', 'table', 'local', 'dev', uplink),
      'dst',
    );
    const come = awaited.filter((address) => local.has(address));
    const removed = await runBatch(
      runner,
      'ip',
      come.map((address) => delocalizing(address, uplink)),
    );
    if (removed.kind !== 'ok') return removed;
    awaited = awaited.filter((address) => !local.has(address));
  }
  if (awaited.length === 0) return { kind: 'ok' };
  return { kind: 'unknown', message: `the local routes of ${awaited.join(', ')} did not come` };
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
  const changed = await runBatch(runner, 'ip', changes);
  const added = [...shown].filter((address) => isIpv6(address) && !state.onDevice.has(address));
  const delocalized = await delocalize(runner, uplink, added);
  return changed.kind === 'ok' ? delocalized : changed;
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
  const { show, unlocal, answer } = showing(address, uplink);
  const shows = wanted && !onDevice;
  return [
    ...(shows ? [...show, ...unlocal] : []),
    ...(onDevice && state.local.has(address) ? [delocalizing(address, uplink)] : []),
    ...(state.detoured.has(address) && !shows ? [`route del ${detour(address)}`] : []),
    ...(wanted && !pingable ? [answer] : []),
    ...(!wanted && pingable ? [`route del local ${address} dev ${uplink} table ${ANSWER_TABLE.table}`] : []),
    ...(!wanted && onDevice ? [`addr del ${alone(address)} dev ${uplink}`] : []),
  ];
}

/** What some run of the agent left here: routes into the tunnel device, and a routing table that is ours alone. */
export async function readAddresses(runner: ToolRunner, uplink: string): Promise<readonly string[]> {
  const { routed, pingable } = await readUplink(runner, uplink);
  return [...new Set([...routed, ...pingable])];
}
