/** What the agent says of its node, put together from the kernel's own words: network, versions, whether all works. */
import { readFile } from 'node:fs/promises';
import { formatAddress } from '../../policy/address.ts';
import { formatCidr } from '../../policy/cidr.ts';
import type { Address } from '../../policy/model.ts';
import type { ObservedNode } from '../core/agent/reportNode.ts';
import { tunnelMac } from '../core/dataplane/tunnelMac.ts';
import type { NodeObservation } from './observeNode.ts';
import { runTool } from './runTool.ts';

/** Egress IPs a node can hold: far below what the kernel bears, so that one node's death moves a bounded number. */
const CAPACITY = 1024;
const TOOL_DEADLINE_MS = 5000;

export async function readVersions(agent: string): Promise<ObservedNode['versions']> {
  const kernel = (await readFile('/proc/sys/kernel/osrelease', 'utf8')).trim();
  const nft = await runTool({ execPrefix: [], deadlineMs: TOOL_DEADLINE_MS }, ['nft', '--version']);
  const version = nft.kind === 'done' ? /v(\d+(?:\.\d+)+)/.exec(nft.stdout)?.[1] : undefined;
  return { agent, kernel, nftables: version ?? '' };
}

export function describeNode(
  self: Address,
  observation: NodeObservation,
  { versions, forwardingMessage }: Pick<ObservedNode, 'versions' | 'forwardingMessage'>,
): ObservedNode {
  const { uplink, uplinks, interfaces, onLink, nextHops, ownAddresses } = observation;
  return {
    underlay: { address: formatAddress(self), interfaceName: uplink, tunnelMac: tunnelMac(self) },
    uplinks,
    interfaces: interfaces.map(({ name, addresses }) => ({
      name,
      addresses: addresses.map(({ address, prefix }) => `${formatAddress(address)}/${prefix}`),
    })),
    onLink: onLink.map(({ cidr, interfaceName }) => ({ cidr: formatCidr(cidr), interfaceName })),
    nextHops: nextHops.map(({ address, interfaceName }) => ({
      address: formatAddress(address),
      interfaceName,
    })),
    ownAddresses: ownAddresses.map(({ address, ...rest }) => ({ address: formatAddress(address), ...rest })),
    capacity: CAPACITY,
    versions,
    ...(forwardingMessage === undefined ? {} : { forwardingMessage }),
    // Until the first plan is in the kernel.
    dataPlaneReady: false,
    dataPlaneMessage: 'the data plane was not programmed yet',
  };
}
