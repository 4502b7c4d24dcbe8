/**
 * Decides how many ports of each egress IP this node asks for. A port serves one connection to each destination, so what
 * counts is the busiest destination. More is asked for while half of what is held is still free: until the holder forwards
 * the new ports, new connections have the rest. Nothing is asked back here: the demand of an agent's life only grows.
 */

/** One granule: "some ports, please". The controller starts a node with its `INITIAL_PORTS`. */
export const MINIMUM_DEMAND_PORTS = 64;
/** Of one address; the controller gives what there is. */
const PORTS_MAX = 65_536;
const USE_BEFORE_GROWTH = 0.5;
const GROWTH = 2;

/** Egress IP as text → ports. */
export type Ports = ReadonlyMap<string, number>;

/**
 * @param known the demand so far, above the minimum
 * @param use ports that connections to the busiest destination have
 * @param held ports of this node
 * @returns `known` itself where nothing changed
 */
export function growDemand(
  known: Ports,
  { use, held }: { readonly use: Ports; readonly held: Ports },
): Ports {
  const grown = new Map(known);
  for (const [address, used] of use) {
    const ports = held.get(address) ?? 0;
    const wanted = Math.min(ports * GROWTH, PORTS_MAX);
    if (used > ports * USE_BEFORE_GROWTH && wanted > (known.get(address) ?? 0)) grown.set(address, wanted);
  }
  return [...grown].every(([address, ports]) => known.get(address) === ports) ? known : grown;
}
