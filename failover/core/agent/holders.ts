/**
 * Decides where sources send an address's packets: to whoever answers for it by the highest right. Said by the gateways
 * themselves, at once by datagram and a little later through the API; the word with the higher right counts, wherever it
 * came from.
 */
import { type EgressIp, isPossibleEpoch, type SessionRef } from '../egressIp.ts';
import type { AddressStatement, GatewayNode } from '../gatewayNode.ts';
import { compareRights, type Right } from '../ownership/messages.ts';

export interface Claim {
  readonly node: string;
  readonly session: number;
  readonly right: Right;
  /** The `blocksVersion` that its kernel forwards. */
  readonly blocksVersion: number;
}

/** What `gateway` last said of the address through the API. */
export function statementOf(gateway: GatewayNode, egressIp: EgressIp): AddressStatement | undefined {
  const { family, value } = egressIp.address;
  return gateway.addresses.find((it) => it.address.value === value && it.address.family === family);
}

/**
 * The old holder stays the target until the new one has said that it answers, because it goes on forwarding. Only
 * sessions that the assignment still names count, or those of an assignment newer than ours: what a gateway said before
 * it died stays in its report until its next life. Nobody when the assignment itself is empty.
 * @param heard what gateways said by datagram
 */
export function decideHolder(
  egressIp: EgressIp,
  gatewayNodes: Iterable<GatewayNode>,
  heard: Iterable<Claim>,
): Claim | undefined {
  return bestClaim(egressIp, [...stated(egressIp, gatewayNodes), ...heard]);
}

/** The same of claims that were found already. */
export function bestClaim(egressIp: EgressIp, claims: Iterable<Claim>): Claim | undefined {
  if (egressIp.order.length === 0) return undefined;
  const named = [...egressIp.order, ...egressIp.fence];
  let best: Claim | undefined;
  for (const claim of claims) {
    if (!isNamed(claim, named) && claim.right.epoch <= egressIp.epoch) continue;
    if (!isPossibleEpoch(claim.right.epoch, egressIp.epoch)) continue;
    if (best === undefined || isBetter(claim, best)) best = claim;
  }
  return best;
}

function isNamed(claim: Claim, named: readonly SessionRef[]): boolean {
  return named.some(({ gateway, session }) => gateway === claim.node && session === claim.session);
}

/** Of two words of one gateway by the same right the newer one counts; whatever order they come in, the same is chosen. */
function isBetter(a: Claim, b: Claim): boolean {
  const difference = compareRights(a.right, b.right) || a.blocksVersion - b.blocksVersion;
  return difference === 0 ? a.node < b.node : difference > 0;
}

function stated(egressIp: EgressIp, gatewayNodes: Iterable<GatewayNode>): readonly Claim[] {
  return [...gatewayNodes].flatMap((gatewayNode) => {
    const statement = statementOf(gatewayNode, egressIp);
    return statement === undefined ? [] : (claimOf(gatewayNode, statement) ?? []);
  });
}

/** Undefined where the gateway does not say that it answers. */
export function claimOf({ name }: GatewayNode, statement: AddressStatement): Claim | undefined {
  if (statement.state !== 'Answering') return undefined;
  const { epoch, index, session, blocksVersion } = statement;
  return { node: name, session, right: { epoch, index }, blocksVersion };
}
