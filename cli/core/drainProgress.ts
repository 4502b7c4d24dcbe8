/**
 * Decides whether a gateway is empty, from the EgressIPs. Empty means: none names it as the one who is to answer, none
 * is answered by it, and none waits for it to let go. What the gateway says of itself is not asked: it may be dead.
 */
import type { EgressIpLine } from './clusterStatus.ts';

export interface DrainProgress {
  /** Addresses that it has yet to hand over. */
  readonly remaining: readonly EgressIpLine[];
}

export function followDrain(node: string, egressIps: readonly EgressIpLine[]): DrainProgress {
  return { remaining: egressIps.filter((it) => keeps(node, it)) };
}

function keeps(node: string, { holder, gateway, fence, phase }: EgressIpLine): boolean {
  return holder === node || gateway === node || (fence.includes(node) && phase !== 'Announced');
}

/** What became of addresses since the last look: a line for each that left. */
export function describeHandedOver(
  before: DrainProgress,
  now: DrainProgress,
  egressIps: readonly EgressIpLine[],
): readonly string[] {
  const kept = new Set(now.remaining.map(({ address }) => address));
  return before.remaining
    .filter(({ address }) => !kept.has(address))
    .map(({ address }) => {
      const line = egressIps.find((it) => it.address === address);
      if (line === undefined) return `${address} is gone: no policy lists it any more`;
      return line.gateway === ''
        ? `${address} is answered by nobody: ${line.message}`
        : `${address} is at ${line.gateway}`;
    });
}

/** Why it is not empty, for whoever waited in vain. */
export function describeRemaining({ remaining }: DrainProgress): readonly string[] {
  return remaining.map(
    ({ address, phase, message }) => `${address} (${phase}): ${message || 'no reason is given'}`,
  );
}
