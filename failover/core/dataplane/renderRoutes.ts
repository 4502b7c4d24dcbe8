/** Where the packets of a node's pods go: a chain of routes for each pod, shared by pods with the same ones. */
import { formatAddress } from '../../../policy/address.ts';
import { formatRange } from '../../../policy/cidr.ts';
import type { EgressAddressPlan, NodeDataPlane, PodRoute } from '../dataPlane.ts';
import { isWholeFamily } from './addressRanges.ts';
import { contentHash } from './contentHash.ts';
import { type ManagedName, ofFamily } from './kernelState.ts';
import { egressMark, type Indices } from './marks.ts';
import type { Rendered } from './renderAddresses.ts';

/** @param addresses those of the plan that have an index */
export function renderRoutes(
  plan: NodeDataPlane,
  addresses: readonly EgressAddressPlan[],
  { egress }: Indices,
): Rendered {
  const nodes = new Set([plan.self.node, ...plan.peers.map(({ node }) => node)]);
  const ready = new Map(
    addresses
      .filter(({ holder, usable }) => holder !== undefined && nodes.has(holder) && usable.length > 0)
      .map(({ address }) => formatAddress(address))
      .map((name) => [name, egressMark(egress.get(name) ?? 0)]),
  );
  const chains = new Map<string, readonly string[]>();
  const elements = new Map<ManagedName, Map<string, string>>([
    ['inet pods', new Map()],
    ['inet pods6', new Map()],
  ]);
  for (const { address, routes } of plan.pods) {
    const ruled = routes.filter(
      ({ range, action }) => range.family === address.family && action.kind !== 'direct',
    );
    if (ruled.length === 0) continue;
    const rules = ruled.map((route) => routeRule(route, ready));
    const chain = `routes_${contentHash(rules.join('\n'))}`;
    chains.set(chain, rules);
    elements.get(ofFamily('inet pods', address.family))?.set(formatAddress(address), `goto ${chain}`);
  }
  return { elements, chains };
}

function routeRule({ range, action }: PodRoute, ready: ReadonlyMap<string, number>): string {
  const match = isWholeFamily(range)
    ? ''
    : `${range.family === 4 ? 'ip' : 'ip6'} daddr ${formatRange(range)} `;
  if (action.kind !== 'egress') return `${match}goto refuse`;
  const marks = action.addresses
    .filter(({ family }) => family === range.family)
    .flatMap((address) => ready.get(formatAddress(address)) ?? []);
  const [only] = marks;
  if (only === undefined) return `${match}goto refuse`;
  if (marks.length === 1) return `${match}meta mark set ${only} goto steer`;
  const choices = marks.map((mark, index) => `${index} : ${mark}`).join(', ');
  return `${match}meta mark set numgen random mod ${marks.length} map { ${choices} } goto steer`;
}
