/**
 * What becomes of packets from addresses that no pod is known to have: see `UnknownPods`. The rules are found by an address that
 * nobody sends from, in the map of pods, so no set is needed that a node of before this has not got.
 */
import { formatRange } from '../../../policy/cidr.ts';
import type { AddressRange, Family } from '../../../policy/model.ts';
import type { UnknownPods } from '../dataPlane.ts';
import { isWholeFamily, mergedRanges } from './addressRanges.ts';
import { WORDS } from './familyWords.ts';
import { ofFamily } from './kernelState.ts';
import { NOTHING_RENDERED, type Rendered } from './rendered.ts';
import { routesChain } from './routesChain.ts';

export const NOBODY: Readonly<Record<Family, string>> = { 4: '0.0.0.0', 6: '::' };

export function renderUnknown(unknown: UnknownPods | undefined): Rendered {
  if (unknown === undefined) return NOTHING_RENDERED;
  const parts = ([4, 6] as const).map((family) => renderFamily(family, unknown));
  return { elements: parts.flatMap((it) => it.elements), chains: parts.flatMap((it) => it.chains) };
}

function renderFamily(family: Family, { networks, awaited, closed }: UnknownPods): Rendered {
  const own = [...mergedRanges(networks, family).keys()];
  const [waiting, unattended] = [awaited, closed].map((ranges) => held(family, ranges));
  if (own.length === 0 || (waiting === undefined && unattended === undefined)) return NOTHING_RENDERED;
  const chain = routesChain([
    // What runs already was let through by somebody who knew.
    'ct status confirmed goto unruled',
    `${WORDS[family].ip} saddr != { ${own.join(', ')} } goto unruled`,
    ...(waiting === undefined ? [] : [waiting]),
    ...(unattended === undefined ? [] : ['meta nfproto @attended goto unruled', unattended]),
    'goto unruled',
  ]);
  return {
    elements: [[ofFamily('inet pods', family), NOBODY[family], `goto ${chain[0]}`]],
    chains: [chain],
  };
}

function held(family: Family, ranges: readonly AddressRange[]): string | undefined {
  const own = ranges.filter((it) => it.family === family);
  if (own.length === 0) return undefined;
  if (own.some(isWholeFamily)) return 'goto hold';
  return `${WORDS[family].ip} daddr { ${own.map(formatRange).join(', ')} } goto hold`;
}
