/**
 * Decides when a node gives the ports of an egress IP back: when no pod of it wants the address and no connection has had a
 * port of it for a while. First the node stops translating to them; only when its kernel has confirmed that are they said
 * to be returned, and then they are not used again, whatever pods come: those wait for new ones, as on a node that had none.
 *
 * Relies on `blocksVersion`: it grows with every change of an address's blocks, so "up to this version" says which.
 */
import type { EgressIp } from '../egressIp.ts';

/** As long as a Deployment takes to bring its pods back; asking anew would make them wait. */
export const IDLE_BEFORE_RETURN_MS = 300_000;

/** Egress IP as text → connections that have a port of it; 0: none. Those not in it are not known. */
export type PortUse = ReadonlyMap<string, number>;

export interface PortReturns {
  /** EgressIP name → since when nobody has needed its ports, monotonic milliseconds. */
  readonly idleSince: ReadonlyMap<string, number>;
  /** EgressIP name → the `blocksVersion` up to which its blocks are used no more. */
  readonly given: ReadonlyMap<string, number>;
}

export const NO_RETURNS: PortReturns = { idleSince: new Map(), given: new Map() };

export function ownBlocks({ blocks }: Pick<EgressIp, 'blocks'>, node: string) {
  return blocks.filter((block) => block.node === node);
}

/**
 * After a look at the connections.
 * @param isWanted by a pod of this node
 */
export function returnIdle(
  known: PortReturns,
  look: {
    readonly node: string;
    readonly egressIps: Iterable<readonly [text: string, egressIp: EgressIp]>;
    readonly use: PortUse;
    readonly isWanted: (text: string) => boolean;
    readonly nowMs: number;
  },
): PortReturns {
  const idleSince = new Map<string, number>();
  const given = new Map(known.given);
  for (const [text, egressIp] of look.egressIps) {
    const { name, blocksVersion } = egressIp;
    const held = ownBlocks(egressIp, look.node).some(({ version }) => version > (given.get(name) ?? 0));
    if (!held || look.use.get(text) !== 0 || look.isWanted(text)) continue;
    const sinceMs = known.idleSince.get(name) ?? look.nowMs;
    if (look.nowMs - sinceMs >= IDLE_BEFORE_RETURN_MS) given.set(name, blocksVersion);
    else idleSince.set(name, sinceMs);
  }
  return { idleSince, given };
}

/** What the controller has taken back is forgotten. The same object where nothing is. */
export function forgetTaken(
  known: PortReturns,
  egressIps: ReadonlyMap<string, EgressIp>,
  node: string,
): PortReturns {
  const given = [...known.given].filter(([name, version]) => {
    const egressIp = egressIps.get(name);
    return egressIp !== undefined && ownBlocks(egressIp, node).some((block) => block.version <= version);
  });
  return given.length === known.given.size ? known : { ...known, given: new Map(given) };
}
