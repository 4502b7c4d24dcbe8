/**
 * Decides which of several gateways an address goes to first. Willing before unwilling: fit gateways, then those that
 * are to leave, then unhealthy ones. Among equals the one with the most room (held addresses over capacity), so that what
 * one leaves spreads over all others; ties go by rendezvous hash, so they do not all go the same way.
 */
import { rendezvousWeight } from '../rendezvous.ts';

/** `leaving`: asked to hold nothing. `unhealthy`: its own probes say that it does not forward as it should. */
export type Standing = 'fit' | 'leaving' | 'unhealthy';

export interface Gateway {
  readonly name: string;
  readonly zone: string;
  /** Egress IPs it may hold. */
  readonly capacity: number;
  readonly standing: Standing;
  /** Why it is not fit, in a word. */
  readonly why?: string;
  /** It is to leave and others are leaving already: until its turn it keeps what it holds. */
  readonly waits: boolean;
}

/** Gateway → addresses that it holds. */
export type Load = ReadonlyMap<string, number>;

const RANKS: Readonly<Record<Standing, number>> = { fit: 0, leaving: 1, unhealthy: 2 };

/** Negative: `a` is given addresses before `b`, whatever they hold. */
export function compareStanding(a: Gateway, b: Gateway): number {
  return RANKS[a.standing] - RANKS[b.standing];
}

/** 1 and more: full. Without a capacity it was never heard of. */
export function fillOf({ name, capacity }: Gateway, load: Load): number {
  return capacity > 0 ? (load.get(name) ?? 0) / capacity : 1;
}

/** Those with room, the best first. */
export function rankGateways(address: string, eligible: readonly Gateway[], load: Load): readonly Gateway[] {
  return eligible
    .map((gateway) => ({
      gateway,
      fill: fillOf(gateway, load),
      weight: rendezvousWeight(address, gateway.name),
    }))
    .filter(({ fill }) => fill < 1)
    .toSorted(
      (a, b) =>
        compareStanding(a.gateway, b.gateway) ||
        a.fill - b.fill ||
        b.weight - a.weight ||
        compareText(a.gateway.name, b.gateway.name),
    )
    .map(({ gateway }) => gateway);
}

export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
