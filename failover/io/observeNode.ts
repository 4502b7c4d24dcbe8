/** Reads what a node says of its own network: the fields of `GatewayNode` that come from the kernel. */
import { addressBits, formatAddress, parseAddress } from '../../policy/address.ts';
import { formatCidr, makeCidr } from '../../policy/cidr.ts';
import type { Address, Cidr } from '../../policy/model.ts';
import { ok, type Result, refused } from '../../policy/result.ts';
import type { OwnAddress } from '../core/agent/probeSource.ts';
import { TUNNEL_DEVICE } from '../core/dataplane/staticRuleset.ts';
import type { GatewayNode } from '../core/gatewayNode.ts';
import { chooseUplinks, type Uplink, type Uplinks } from '../core/uplinks.ts';
import { jsonObjects, readJson, type ToolRunner } from './runTool.ts';
import type { ToolStarter } from './toolStarter.ts';

export interface NodeObservation extends Pick<GatewayNode, 'interfaces' | 'onLink' | 'nextHops'> {
  /** The device that carries the node's address. */
  readonly uplink: string;
  readonly uplinks: Uplinks;
  /** Of the uplinks, those that the node may ask from. */
  readonly ownAddresses: readonly (OwnAddress & { readonly interfaceName: string })[];
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
  /** Neighbours on it are asked for and answered by their addresses. */
  readonly ethernet: boolean;
  readonly scope: unknown;
  readonly passing: boolean;
}

/**
 * Devices count when they carry the node's address or a default route: bridges and veths of the pod network do not. Subnets
 * are places for egress IPs, so they are those of uplinks alone. Egress IPs on the uplinks are left out.
 */
export async function observeNode(options: {
  readonly self: Address;
  readonly execPrefix?: readonly string[];
  /** Default: this process starts its tools itself. */
  readonly starter?: ToolStarter;
}): Promise<Result<NodeObservation, string>> {
  const { execPrefix = [], starter } = options;
  const runner: ToolRunner = { execPrefix, deadlineMs: DEADLINE_MS, ...(starter && { starter }) };
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
  const uplinks = chooseUplinks(uplink, {
    hops: hops.map(({ address, interfaceName }) => ({ device: interfaceName, family: address.family })),
    places: [...devices].map((device) => placeOf(device, outer, uplink)),
  });
  return ok({
    uplink,
    uplinks,
    interfaces: [...devices].map((name) => ({
      name,
      addresses: outer
        .filter(({ device }) => device === name)
        .map(({ address, prefix }) => ({ address, prefix })),
    })),
    onLink: uplinks.flatMap(({ device, networks }) =>
      networks.map((cidr) => ({ cidr, interfaceName: device })),
    ),
    nextHops: hops,
    ownAddresses: ownAddressesOf(
      everywhere.filter(({ device }) => uplinks.some((it) => it.device === device)),
      options.self,
    ),
  });
}

/** The one that the node is known by is its own whatever is said of it. */
function ownAddressesOf(onUplinks: readonly DeviceAddress[], self: Address): NodeObservation['ownAddresses'] {
  return onUplinks
    .filter(({ address, scope }) => scope === 'global' || address.family === 6)
    .filter(({ address, passing }) => !passing || sameAddress(address, self))
    .map(({ address, prefix, dynamic, device }) => ({ address, prefix, dynamic, interfaceName: device }));
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
    const ethernet = link.link_type === 'ether';
    return [{ device, ethernet, address: address.value, prefix, scope, passing, dynamic: dynamic === true }];
  });
}

/** Egress IPs are answered for by ARP and neighbour discovery, which the node's own device is taken to have. */
function placeOf(device: string, outer: readonly DeviceAddress[], own: string): Uplink {
  const there = outer.filter((it) => it.device === device && (it.ethernet || device === own));
  const networks = there.flatMap((it) => networkOf(it));
  return { device, networks: [...new Map(networks.map((it) => [formatCidr(it), it])).values()] };
}

function networkOf({ address, prefix }: DeviceAddress): readonly Cidr[] {
  const host = BigInt(addressBits(address.family) - prefix);
  return host === 0n ? [] : [makeCidr(address.family, (address.value >> host) << host, prefix)];
}
