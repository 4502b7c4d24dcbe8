/**
 * Puts egress IPs on the uplink so that the kernel answers ARP for them and nothing else: the address shows in
 * `ip addr`, a proxy neighbour entry answers, and its local route is deleted, so that no listener of the node can be
 * reached through it. Which answers leave is decided by the guard in nftables, never here.
 */

import type { KernelOutcome } from '../core/dataPlane.ts';
import { ANSWER_TABLE, TUNNEL_DEVICE } from '../core/dataplane/staticRuleset.ts';
import { runBatch } from './iproute.ts';
import type { IpSession } from './ipSession.ts';
import { jsonObjects, readJson, type ToolRunner } from './runTool.ts';

interface UplinkState {
  readonly onDevice: ReadonlySet<string>;
  readonly local: ReadonlySet<string>;
  readonly proxied: ReadonlySet<string>;
  readonly pingable: ReadonlySet<string>;
  readonly routed: ReadonlySet<string>;
}

async function readUplink(runner: ToolRunner, uplink: string): Promise<UplinkState> {
  const read = async (...words: readonly string[]) =>
    jsonObjects(await readJson(runner, ['ip', '-j', '-4', ...words]));
  const [links, local, proxied, pingable, routed] = await Promise.all([
    read('addr', 'show', 'dev', uplink),
    read('route', 'show', 'table', 'local', 'dev', uplink),
    read('neigh', 'show', 'proxy', 'dev', uplink),
    read('route', 'show', 'table', String(ANSWER_TABLE.table)),
    read('route', 'show', 'dev', TUNNEL_DEVICE),
  ]);
  const texts = (items: readonly Readonly<Record<string, unknown>>[], field: string): ReadonlySet<string> =>
    new Set(items.map((item) => String(item[field])));
  return {
    onDevice: texts(
      links.flatMap((link) => jsonObjects(link.addr_info)),
      'local',
    ),
    local: texts(local, 'dst'),
    proxied: texts(proxied, 'dst'),
    pingable: texts(
      pingable.filter(({ type }) => type === 'local'),
      'dst',
    ),
    routed: texts(routed, 'dst'),
  };
}

/** Makes addresses answerable that are new here, in one go; where part of it was there already, only what is missing. */
export async function makeAnswerable(
  { runner, ip }: { readonly runner: ToolRunner; readonly ip: Pick<IpSession, 'run'> },
  uplink: string,
  addresses: readonly string[],
): Promise<KernelOutcome> {
  const made = await ip.run(
    addresses.flatMap((address) => [
      `route replace ${address}/32 dev ${TUNNEL_DEVICE}`,
      `addr add ${address}/32 dev ${uplink} noprefixroute`,
      `route del local ${address} dev ${uplink} table local`,
      `route replace local ${address} dev ${uplink} table ${ANSWER_TABLE.table}`,
      `neigh replace proxy ${address} dev ${uplink}`,
    ]),
  );
  return made.kind === 'ok' ? made : ensureAnswerable(runner, uplink, addresses);
}

/** Makes all of `addresses` answerable, changing only what is missing: after a flap of the uplink, part of it is. */
export async function ensureAnswerable(
  runner: ToolRunner,
  uplink: string,
  addresses: readonly string[],
): Promise<KernelOutcome> {
  if (addresses.length === 0) return { kind: 'ok' };
  const state = await readUplink(runner, uplink);
  const changes = addresses.flatMap((address) => [
    // The kernel answers as a proxy only for what lies behind another device than the one that asked.
    ...(state.routed.has(address) ? [] : [`route replace ${address}/32 dev ${TUNNEL_DEVICE}`]),
    ...(state.onDevice.has(address) ? [] : [`addr add ${address}/32 dev ${uplink} noprefixroute`]),
    ...(state.onDevice.has(address) && !state.local.has(address)
      ? []
      : [`route del local ${address} dev ${uplink} table local`]),
    ...(state.pingable.has(address)
      ? []
      : [`route replace local ${address} dev ${uplink} table ${ANSWER_TABLE.table}`]),
    ...(state.proxied.has(address) ? [] : [`neigh replace proxy ${address} dev ${uplink}`]),
  ]);
  return runBatch(runner, 'ip', changes);
}

export async function removeAnswerable(
  runner: ToolRunner,
  uplink: string,
  addresses: readonly string[],
): Promise<KernelOutcome> {
  if (addresses.length === 0) return { kind: 'ok' };
  const state = await readUplink(runner, uplink);
  return runBatch(
    runner,
    'ip',
    addresses.flatMap((address) => [
      ...(state.proxied.has(address) ? [`neigh del proxy ${address} dev ${uplink}`] : []),
      ...(state.pingable.has(address)
        ? [`route del local ${address} dev ${uplink} table ${ANSWER_TABLE.table}`]
        : []),
      ...(state.routed.has(address) ? [`route del ${address}/32 dev ${TUNNEL_DEVICE}`] : []),
      ...(state.onDevice.has(address) ? [`addr del ${address}/32 dev ${uplink}`] : []),
    ]),
  );
}

/** The egress IPs that some run of the agent made answerable: each has a route in a table that is ours alone. */
export async function readAnswerable(runner: ToolRunner, uplink: string): Promise<readonly string[]> {
  return [...(await readUplink(runner, uplink)).pingable];
}
