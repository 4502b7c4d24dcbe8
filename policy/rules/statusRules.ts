/**
 * Who may write the status of an owned kind: the controller that of policies and EgressIPs, an agent that of its own
 * node's GatewayNode. A status written by anybody else would be believed: it says who answers for an address.
 */
import type { Violation } from '../model.ts';
import { EGRESS_IP, GATEWAY_NODE, POLICY_KINDS } from '../names.ts';
import { deny } from './ruleContext.ts';

/** User names as the API server knows them: `system:serviceaccount:<namespace>:<name>`. */
export interface StatusWriters {
  readonly controller: string;
  readonly agent: string;
}

export interface StatusWrite {
  readonly kind: string;
  readonly name: string;
  readonly username: string;
  /** The node that the writer's token is bound to; empty: none. */
  readonly nodeName: string;
}

export const STATUS_KINDS: readonly string[] = [...POLICY_KINDS, EGRESS_IP.kind, GATEWAY_NODE.kind];

export function checkStatusWrite(
  { kind, name, username, nodeName }: StatusWrite,
  writers: StatusWriters,
): readonly Violation[] {
  const what = `status of ${kind} ${name}`;
  if (kind !== GATEWAY_NODE.kind) {
    if (username === writers.controller) return [];
    const message = `${what} is written by ${username}; only the controller (${writers.controller}) writes it, change spec instead`;
    return [deny('status-write', { path: 'status' }, message)];
  }
  if (username !== writers.agent) {
    const message = `${what} is written by ${username}; only the agent (${writers.agent}) of that node writes it`;
    return [deny('status-write', { path: 'status' }, message)];
  }
  if (nodeName === name) return [];
  const from = nodeName === '' ? 'with a token that is bound to no node' : `from node ${nodeName}`;
  const message = `${what} is written ${from}; an agent writes the status of its own node only`;
  return [deny('status-write', { path: 'status' }, message)];
}
