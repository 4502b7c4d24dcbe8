/** How many ports of an address each node wants, and which it has done with, as its agent says. */
import type { Claim } from './claims.ts';
import type { ControllerView } from './controllerView.ts';
import { statementIndex } from './statementIndex.ts';

export interface NodesDemand {
  /** Node → ports in all. */
  readonly demand: ReadonlyMap<string, number>;
  /** Node → the version up to which its blocks come back. */
  readonly returned: ReadonlyMap<string, number>;
}

export function demandFor({ address }: Claim, view: ControllerView): NodesDemand {
  const [demand, returned] = [new Map<string, number>(), new Map<string, number>()];
  for (const { node, demand: wish } of statementIndex(view.gatewayNodes).demandOn(address)) {
    if (wish.ports > 0) demand.set(node, wish.ports);
    if (wish.returned !== undefined) returned.set(node, wish.returned);
  }
  return { demand, returned };
}
