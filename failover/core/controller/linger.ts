/**
 * Decides how long an address that no policy wants any more stays held and mapped as it is. An EgressIP says so by owners that are
 * none beside an order that stands: nodes take their pods out of the policy and reset what they still send, and what comes from
 * outside meanwhile still reaches pods that only listen, so that they send something, and the other end is told by their reset.
 * Only then holder and ports go.
 *
 * The object alone remembers it: whoever leads next begins the linger anew.
 */
import type { EgressIp } from '../egressIp.ts';
import type { ControllerView } from './controllerView.ts';

/** A node has a change in its kernel well within one second; in the other a server that says something every second is heard. */
export const LINGER_MS = 2_000;

/** EgressIP name → since when it is seen to linger, monotonic. */
export type LingersSince = ReadonlyMap<string, number>;

/** It stands so in the API: nobody wants it, and its release has not begun. */
export function isLingering({ policies, order }: Pick<EgressIp, 'policies' | 'order'>): boolean {
  return policies.length === 0 && order.length > 0;
}

export function followLingers(
  before: LingersSince,
  { egressIps }: ControllerView,
  nowMs: number,
): LingersSince {
  const lingering = [...egressIps].filter(([, { egressIp }]) => isLingering(egressIp));
  return new Map(lingering.map(([name]) => [name, before.get(name) ?? nowMs]));
}

/** Of an EgressIP that nobody wants. Before it says so itself its time has not begun. */
export function staysHeld({ name, order }: EgressIp, since: LingersSince, nowMs: number): boolean {
  const sinceMs = since.get(name);
  return order.length > 0 && (sinceMs === undefined || nowMs < sinceMs + LINGER_MS);
}

/** When the next one is over. */
export function nextLingerEndMs(since: LingersSince, nowMs: number): number | undefined {
  const ends = [...since.values()].map((sinceMs) => sinceMs + LINGER_MS).filter((endMs) => endMs > nowMs);
  return ends.length === 0 ? undefined : Math.min(...ends);
}
