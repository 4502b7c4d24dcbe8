/** Rules on where traffic goes: families, exclusions, and the cluster's own networks. */
import { cidrRange, formatCidr } from '../cidr.ts';
import { RangeIndex } from '../index/rangeIndex.ts';
import type { Cidr, Violation } from '../model.ts';
import { deny, type Rule, warn } from './ruleContext.ts';

const destinationAt = (index: number) => ({ path: `spec.destinationCIDRs[${index}]` });
const exclusionAt = (index: number) => ({ path: `spec.excludedCIDRs[${index}]` });

/** Once for each family: the rest of a thousand destinations would say the same. */
export const checkFamilies: Rule = ({ destinations, pools }) =>
  ([4, 6] as const).flatMap((family): readonly Violation[] => {
    const at = destinations.findIndex((it) => it.family === family);
    const destination = destinations[at];
    if (destination === undefined || pools.some(({ range }) => range.family === family)) return [];
    const others = destinations.filter((it) => it.family === family).length - 1;
    const more = others === 0 ? '' : ` and ${others} more`;
    return [
      deny(
        'family-mismatch',
        destinationAt(at),
        `${formatCidr(destination)}${more} of IPv${family} would need a pool of IPv${family}, and ippools has none; add one, or leave the destination out`,
      ),
    ];
  });

export const checkExclusions: Rule = ({ destinations, excluded }) => {
  if (excluded.length === 0) return [];
  const reached = new RangeIndex<Cidr>(cidrRange, destinations);
  return excluded.flatMap((cidr, at) =>
    reached.overlaps(cidrRange(cidr))
      ? []
      : [
          warn(
            'excluded-outside',
            exclusionAt(at),
            `${formatCidr(cidr)} lies outside every destination, so it excludes nothing; leave it out`,
          ),
        ],
  );
};

/** Traffic to pods and services is never touched. */
export const checkClusterDestinations: Rule = ({ destinations }, { index }) => {
  return destinations.flatMap((cidr, at) => {
    const network = index.networks.enclosing(cidrRange(cidr));
    if (network === undefined) return [];
    return [
      warn(
        'destination-cluster',
        destinationAt(at),
        `${formatCidr(cidr)} never matches: it is in ${formatCidr(network.cidr)} of ${network.source}; leave it out`,
      ),
    ];
  });
};
