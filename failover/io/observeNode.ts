/** Reads what a node says of its own network: the fields of `GatewayNode` that come from the kernel. */
import { formatAddress, parseAddress } from '../../policy/address.ts';
import { makeCidr } from '../../policy/cidr.ts';
import type { Address, Cidr } from '../../policy/model.ts';
import { ok, type Result, refused } from '../../policy/result.ts';
import type { OwnAddress } from '../core/agent/probeSource.ts';
import { TUNNEL_DEVICE } from '../core/dataplane/staticRuleset.ts';
import type { GatewayNode } from '../core/gatewayNode.ts';
import { jsonObjects, readJson, type ToolRunner } from './runTool.ts';

export interface NodeObservation extends Pick<GatewayNode, 'interfaces' | 'onLink' | 'nextHops'> {
  /** The device that carries the node's address. */
  readonly uplink: string;
  /** Of the uplink, those that the node may ask from. */
  readonly ownAddresses: readonly OwnAddress[];
}

const DEADLINE_MS = 5_000;
const HOST_PREFIX_V4 = 32;

/**
 * What iproute2 says of an address of IPv6 that others must not be asked from: it is to change soon (RFC 8981), is on its way
 * out, or is not known to be this node's alone yet (RFC 4862).
 */
const PASSING = ['temporary', 'deprecated', 'tentative', 'dadfailed'] as const;

interface DeviceAddress extends OwnAddress {
  readonly device: string;
  readonly scope: unknown;
  readonly passing: boolean;
}

/**
 * Devices count when they carry the node's address or a default route: bridges and veths of the pod network do not.
 * Egress IPs on the uplink are left out.
 */
export async function observeNode(options: {
  readonly self: Address;
  readonly execPrefix?: readonly string[];
}): Promise<Result<NodeObservation, string>> {
  const runner: ToolRunner = { execPrefix: options.execPrefix ?? [], deadlineMs: DEADLINE_MS };
  const routesOf = async (family: '-4' | '-6'): ReturnType<typeof readJson> =>
    jsonObjects(await readJson(runner, ['ip', '-j', family, 'route', 'show', 'default']));
  const [links, ...routes] = await Promise.all([
    readJson(runner, ['ip', '-j', 'addr', 'show']),
    routesOf('-4'),
    routesOf('-6'),
  ]);
  const everywhere = jsonObjects(links).flatMap((link) => deviceAddresses(link));
  const addresses = everywhere.filter(({ scope }) => scope === 'global');
  const uplink = addresses.find(({ address }) => sameAddress(address, options.self))?.device;
  if (uplink === undefined) return refused(`no device of this node carries ${formatAddress(options.self)}`);
  const hops = routes.flatMap(jsonObjects).flatMap(({ gateway, dev }) => {
    const address = parseAddress(String(gateway));
    return address.kind === 'ok' ? [{ address: address.value, interfaceName: String(dev) }] : [];
  });
  const devices = new Set([uplink, ...hops.map(({ interfaceName }) => interfaceName)]);
  const outer = addresses.filter(({ device }) => devices.has(device));
  return ok({
    uplink,
    interfaces: [...devices].map((name) => ({
      name,
      addresses: outer
        .filter(({ device }) => device === name)
        .map(({ address, prefix }) => ({ address, prefix })),
    })),
    onLink: onLinkOf(outer),
    nextHops: hops,
    ownAddresses: ownAddressesOf(
      everywhere.filter(({ device }) => device === uplink),
      options.self,
    ),
  });
}

/** The one that the node is known by is its own whatever is said of it. */
function ownAddressesOf(onUplink: readonly DeviceAddress[], self: Address): NodeObservation['ownAddresses'] {
  return onUplink
    .filter(({ address, scope }) => scope === 'global' || address.family === 6)
    .filter(({ address, passing }) => !passing || sameAddress(address, self))
    .map(({ address, prefix, dynamic }) => ({ address, prefix, dynamic }));
}

function sameAddress(a: Address, b: Address): boolean {
  return a.family === b.family && a.value === b.value;
}

function deviceAddresses(link: Readonly<Record<string, unknown>>): readonly DeviceAddress[] {
  const device = String(link.ifname);
  if (device === 'lo' || device === TUNNEL_DEVICE) return [];
  return jsonObjects(link.addr_info).flatMap((info): readonly DeviceAddress[] => {
    const { local, prefixlen, scope, noprefixroute, dynamic } = info;
    const address = parseAddress(String(local));
    if (address.kind !== 'ok') return [];
    const prefix = Number(prefixlen);
    // An egress IP that this node answers for is the cluster's, not the node's. One of IPv6 is on no device.
    if (noprefixroute === true && prefix === HOST_PREFIX_V4) return [];
    const passing = PASSING.some((flag) => info[flag] === true);
    return [{ device, address: address.value, prefix, scope, passing, dynamic: dynamic === true }];
  });
}

function onLinkOf(addresses: readonly DeviceAddress[]): NodeObservation['onLink'] {
  const found = new Map<string, { readonly cidr: Cidr; readonly interfaceName: string }>();
  for (const { device, address, prefix } of addresses) {
    const host = BigInt((address.family === 4 ? 32 : 128) - prefix);
    if (host === 0n) continue;
    const cidr = makeCidr(address.family, (address.value >> host) << host, prefix);
    found.set(`${device} ${cidr.network}/${prefix}`, { cidr, interfaceName: device });
  }
  return [...found.values()];
}
