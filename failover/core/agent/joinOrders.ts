/**
 * A gateway whose session is new stands in no order, so nothing of it may take over: the controller names it within
 * moments. Where no controller leads, the gateway does it itself: it adds its session to the end of every order that names
 * a former session of its own, by compare-and-swap on what it read. Others' places stay as they are, so nobody has to
 * agree: who is last comes after everybody in every version of the order.
 *
 * An order that is older than what somebody goes on by is the controller's to begin anew: etcd was restored, and whoever
 * joined it could answer beside those of the later one.
 *
 * Leaves to the controller which gateways an address may have: only one that was named may name itself again.
 */
import type { EgressIp, SessionRef } from '../egressIp.ts';
import type { GatewayNode } from '../gatewayNode.ts';
import { statedAbove } from '../statedAbove.ts';
import { statementOf } from './holders.ts';

export interface Joining {
  /** EgressIP name → since when it does not name the session, monotonic. */
  readonly missingSinceMs: ReadonlyMap<string, number>;
}

export const NOT_JOINING: Joining = { missingSinceMs: new Map() };

export interface JoinPlan {
  readonly joining: Joining;
  /** To be written, each with the version that was read. */
  readonly writes: readonly EgressIp[];
  /** When time alone brings another write; undefined: never. */
  readonly wakeMs: number | undefined;
}

/** A controller that leads is ten times as fast. */
const PATIENCE_MS = 1000;
/** An order that the controller has not tidied for so long is not made longer still. */
const ORDER_LENGTH_MAX = 16;
/** Writes at once, so that an API server that comes back is not met by thousands. */
const WRITES_MAX = 32;

export function planJoins(
  { missingSinceMs }: Joining,
  egressIps: Iterable<EgressIp>,
  known: {
    /** The own session that the voters granted; undefined: there is none to be named. */
    readonly self: SessionRef | undefined;
    readonly gatewayNodes: ReadonlyMap<string, GatewayNode>;
    readonly nowMs: number;
  },
): JoinPlan {
  const { self, gatewayNodes, nowMs } = known;
  if (self === undefined) return { joining: NOT_JOINING, writes: [], wakeMs: undefined };
  const missing = [...egressIps].filter((it) => mayJoin(it, self) && !isOutdated(it, gatewayNodes));
  const since = new Map(missing.map(({ name }) => [name, missingSinceMs.get(name) ?? nowMs]));
  const dueMs = ({ name }: EgressIp): number => (since.get(name) ?? nowMs) + PATIENCE_MS;
  const due = missing.filter((egressIp) => nowMs >= dueMs(egressIp)).slice(0, WRITES_MAX);
  // What is asked for now is asked for again after the same patience, if it is still missing then.
  for (const { name } of due) since.set(name, nowMs);
  return {
    joining: { missingSinceMs: since },
    writes: due.map((egressIp) => ({ ...egressIp, order: [...egressIp.order, self] })),
    wakeMs: missing.length === 0 ? undefined : Math.min(...missing.map(dueMs)),
  };
}

function mayJoin({ order }: EgressIp, { gateway, session }: SessionRef): boolean {
  const own = order.filter((it) => it.gateway === gateway);
  return own.length > 0 && own.every((it) => it.session < session) && order.length < ORDER_LENGTH_MAX;
}

function isOutdated(egressIp: EgressIp, gatewayNodes: ReadonlyMap<string, GatewayNode>): boolean {
  const said = [...gatewayNodes].flatMap(([gateway, gatewayNode]) => {
    const statement = statementOf(gatewayNode, egressIp);
    return statement === undefined ? [] : [{ gateway, statement }];
  });
  return statedAbove(egressIp, said) !== undefined;
}
