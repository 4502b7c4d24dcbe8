/** How many ports of an address each node wants, as its agent says. */
import type { Claim } from './claims.ts';
import type { ControllerView } from './controllerView.ts';

export function demandFor({ address }: Claim, view: ControllerView): ReadonlyMap<string, number> {
  const demand = new Map<string, number>();
  for (const { name, demand: wishes } of view.gatewayNodes.values()) {
    const wish = wishes.find(
      (it) => it.address.value === address.value && it.address.family === address.family,
    );
    if (wish !== undefined && wish.ports > 0) demand.set(name, wish.ports);
  }
  return demand;
}
