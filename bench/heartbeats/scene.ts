/** Who is there while one agent's cost is measured: gateways, voters, and a thousand nodes that only have an agent. */

import { TOKEN_BYTES } from '../../failover/core/dataplane/kernelCommands.ts';
import { deriveDurations } from '../../failover/core/ownership/durations.ts';
import { soleUplink } from '../../failover/core/uplinks.ts';
import type { OwnershipSettings } from '../../failover/io/ownershipProtocol.ts';
import type { PeerKeys } from '../../failover/io/peerTransport.ts';
import { makeAddress } from '../../policy/address.ts';
import type { Address } from '../../policy/model.ts';

export const MEASURED = 'measured';
export const GATEWAYS: readonly string[] = Array.from({ length: 20 }, (_, index) => `gw-${index}`);
const VOTERS: readonly string[] = Array.from({ length: 5 }, (_, index) => `voter-${index}`);
const AGENTS = 1000;
/** Egress IPs that are assigned, and that a measured gateway holds all of. */
export const ADDRESSES_HELD = 50;
const PORT = 4792;

/** The uplink's network: the measured node is .1.1, the others follow. */
const NETWORK = 0xc633_0000n;
export const UPLINK = { device: 'eth0', router: '198.51.0.1' } as const;

const NODES: readonly string[] = [
  MEASURED,
  ...GATEWAYS,
  ...VOTERS,
  ...Array.from({ length: AGENTS - 1 - GATEWAYS.length - VOTERS.length }, (_, index) => `node-${index}`),
];

export function nodeAddress(node: string): Address {
  return makeAddress(4, NETWORK + 0x101n + BigInt(NODES.indexOf(node)));
}

/** Of an egress IP, outside of that network. */
export function addressOf(index: number): string {
  return `203.0.113.${index + 1}`;
}

export function peersOf(): ReadonlyMap<string, Address> {
  return new Map(NODES.map((node) => [node, nodeAddress(node)]));
}

/** A voter's cost does not depend on how many others there are, so a measured one is the only one. */
export function votersFor(role: string): readonly string[] {
  return role === 'voter' ? [MEASURED] : VOTERS;
}

/** Whom the measured one speaks with, so that the far end has a processor's time to spare. */
export function playersFor(role: string): readonly string[] {
  return role === 'voter' ? GATEWAYS : role === 'gateway' ? VOTERS : [];
}

export const LIVING: readonly string[] = [...GATEWAYS, ...VOTERS];
/** They have an agent, and only say that they heard. */
export const LISTENING: readonly string[] = NODES.filter(
  (node) => node !== MEASURED && !LIVING.includes(node),
);

const KEY = { id: 1, secret: new Uint8Array(32).fill(7) };
export const KEYS: PeerKeys = { accepted: [KEY], signing: KEY };

export function settingsOf(node: string): OwnershipSettings {
  return {
    node,
    address: nodeAddress(node),
    uplinks: soleUplink(UPLINK.device),
    peerPort: PORT,
    durations: deriveDurations({ heartbeatMs: 25, sessionMs: 200 }),
    execPrefix: [],
    token: new Uint8Array(TOKEN_BYTES),
  };
}
