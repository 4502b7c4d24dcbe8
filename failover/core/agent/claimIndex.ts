/** What gateways state through the API to answer for, by address: looked up for every egress IP, and changed by one report at a time. */
import { formatAddress } from '../../../policy/address.ts';
import type { GatewayNode } from '../gatewayNode.ts';
import { changedKeys } from '../remember.ts';
import { type Claim, claimOf } from './holders.ts';

type GatewayNodes = ReadonlyMap<string, GatewayNode>;

export class ClaimIndex {
  /** Address as text → gateway → its claim. */
  readonly #claims = new Map<string, Map<string, Claim>>();
  #seen: GatewayNodes = new Map();

  follow(gatewayNodes: GatewayNodes): void {
    for (const name of changedKeys(this.#seen, gatewayNodes)) {
      const [before, after] = [this.#seen.get(name), gatewayNodes.get(name)];
      for (const [address] of claimsIn(before)) this.#claims.get(address)?.delete(name);
      for (const [address, claim] of claimsIn(after)) {
        const claims = this.#claims.get(address) ?? new Map<string, Claim>();
        this.#claims.set(address, claims.set(name, claim));
      }
    }
    this.#seen = gatewayNodes;
  }

  /** Of all gateways but `self`. */
  claims(address: string, self: string): readonly Claim[] {
    return [...(this.#claims.get(address)?.values() ?? [])].filter(({ node }) => node !== self);
  }
}

function claimsIn(
  gatewayNode: GatewayNode | undefined,
): readonly (readonly [address: string, claim: Claim])[] {
  if (gatewayNode === undefined) return [];
  return gatewayNode.addresses.flatMap((statement) => {
    const claim = claimOf(gatewayNode, statement);
    return claim === undefined ? [] : [[formatAddress(statement.address), claim] as const];
  });
}
