/** Where the packets of a node's pods go: a chain of routes for each pod, shared by pods with the same ones. */
import { formatAddress } from '../../../policy/address.ts';
import { formatRange } from '../../../policy/cidr.ts';
import type { PodPlan, PodRoute } from '../dataPlane.ts';
import { isWholeFamily } from './addressRanges.ts';
import { contentHash } from './contentHash.ts';
import { ofFamily } from './kernelState.ts';
import { NOTHING_RENDERED, type Rendered } from './rendered.ts';

/** @param ready name → mark of the egress IPs that a connection can be translated to */
export function renderPod({ address, routes }: PodPlan, ready: ReadonlyMap<string, number>): Rendered {
  const ruled = routes.filter(
    ({ range, action }) => range.family === address.family && action.kind !== 'direct',
  );
  if (ruled.length === 0) return NOTHING_RENDERED;
  const rules = ruled.map((route) => routeRule(route, ready));
  const chain = `routes_${contentHash(rules.join('\n'))}`;
  return {
    elements: [[ofFamily('inet pods', address.family), formatAddress(address), `goto ${chain}`]],
    chains: [[chain, rules]],
  };
}

/** The egress IPs that a pod's routes name. */
export function namedBy({ routes }: PodPlan): ReadonlySet<string> {
  return new Set(
    routes.flatMap(({ action }) => (action.kind === 'egress' ? action.addresses.map(formatAddress) : [])),
  );
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
