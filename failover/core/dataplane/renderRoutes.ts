/**
 * Where the packets of a node's pods go: a chain of routes for each pod, shared by pods with the same ones. Every packet of a
 * connection is held against them, not its first alone: a change of policy is for what runs as well.
 */
import { formatAddress } from '../../../policy/address.ts';
import { formatRange } from '../../../policy/cidr.ts';
import type { Address, AddressRange, Family } from '../../../policy/model.ts';
import type { PodAction, PodPlan } from '../dataPlane.ts';
import { isWholeFamily } from './addressRanges.ts';
import { WORDS } from './familyWords.ts';
import { ofFamily } from './kernelState.ts';
import type { EgressMark } from './renderAddresses.ts';
import type { NamedChain, Rendered } from './rendered.ts';
import { routesChain } from './routesChain.ts';

/** @param marks of the egress IPs, by name */
export function renderPod({ address, routes }: PodPlan, marks: ReadonlyMap<string, EgressMark>): Rendered {
  const ruled = routes.filter(
    ({ range, action }) => range.family === address.family && action.kind !== 'direct',
  );
  const parts = ruled.map(({ range, action }) => ({ range, ...renderAction(action, range.family, marks) }));
  const [whole] = parts.filter(({ range }) => isWholeFamily(range));
  const top =
    whole === undefined
      ? routesChain(destinationRules(address.family, parts))
      : targetChain(whole.verdict, parts);
  const chains = new Map([...parts.flatMap((it) => it.chains), top]);
  return {
    elements: [[ofFamily('inet pods', address.family), formatAddress(address), `goto ${top[0]}`]],
    chains: [...chains],
  };
}

/** The egress IPs that a pod's routes name. */
export function namedBy({ routes }: PodPlan): ReadonlySet<string> {
  return new Set(
    routes.flatMap(({ action }) =>
      action.kind === 'egress' ? [...action.addresses, ...(action.keeps ?? [])].map(formatAddress) : [],
    ),
  );
}

/** What becomes of a packet that the action is for. */
interface RenderedAction {
  readonly verdict: string;
  readonly chains: readonly NamedChain[];
}

const UNRULED = 'goto unruled';
const REFUSED: RenderedAction = { verdict: 'goto refuse', chains: [] };

/**
 * A connection that has one of the addresses to be kept stays with it; one that has none of them and was let through before
 * ends; what is left is new.
 */
function renderAction(
  action: PodAction,
  family: Family,
  marks: ReadonlyMap<string, EgressMark>,
): RenderedAction {
  if (action.kind !== 'egress') return REFUSED;
  const known = (addresses: readonly Address[]): readonly (EgressMark & { readonly name: string })[] =>
    addresses
      .filter((it) => it.family === family)
      .flatMap((it) => {
        const name = formatAddress(it);
        const found = marks.get(name);
        return found === undefined ? [] : [{ name, ...found }];
      });
  const kept = known(action.keeps ?? action.addresses).map(({ name, mark }) => `${name} : ${mark}`);
  const stay = routesChain([
    ...(kept.length === 0
      ? []
      : [`meta mark set ct reply ${WORDS[family].ip} daddr map { ${kept.join(', ')} } goto steer`]),
    'ct status confirmed goto ended',
  ]);
  const chain = routesChain([
    `jump ${stay[0]}`,
    newConnectionRule(known(action.addresses).filter(({ isReady }) => isReady)),
  ]);
  return { verdict: `goto ${chain[0]}`, chains: [stay, chain] };
}

function newConnectionRule(ready: readonly EgressMark[]): string {
  const [only] = ready;
  if (only === undefined) return 'goto refuse';
  if (ready.length === 1) return `meta mark set ${only.mark} goto steer`;
  const choices = ready.map(({ mark }, index) => `${index} : ${mark}`).join(', ');
  return `meta mark set numgen random mod ${ready.length} map { ${choices} } goto steer`;
}

/** One look-up, however many destinations: every packet of the pod makes it. A pod without any is known, and no more. */
function destinationRules(
  family: Family,
  parts: readonly (RenderedAction & { readonly range: AddressRange })[],
): readonly string[] {
  if (parts.length === 0) return [UNRULED];
  const verdicts = parts.map(({ range, verdict }) => `${formatRange(range)} : ${verdict}`);
  return [`${WORDS[family].ip} daddr vmap { ${verdicts.join(', ')} }`, UNRULED];
}

/** The chain itself that a verdict goes to. */
function targetChain(verdict: string, parts: readonly RenderedAction[]): NamedChain {
  const name = verdict.replace('goto ', '');
  return parts.flatMap(({ chains }) => chains).find(([it]) => it === name) ?? routesChain([verdict]);
}
