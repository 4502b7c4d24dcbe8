/**
 * Rules on cilium.io/v2 policies that users write beside ours: Cilium's agents would answer for an address that a managed
 * pool has, and some shapes that Cilium takes do not do what they look like.
 */
import { parseAddress } from '../address.ts';
import { cidrRange, formatCidr, hostCidr } from '../cidr.ts';
import type { CiliumGatewayFacts, CiliumPolicyFacts } from '../facts.ts';
import type { FactIndex } from '../index/factIndex.ts';
import type { Violation } from '../model.ts';
import { Prefixes } from './prefixes.ts';
import { deny, describePolicy, nameSome, warn } from './ruleContext.ts';

const POLICY = 'CiliumEgressGatewayPolicy (cilium.io/v2)';

export function judgeCiliumPolicy(policy: CiliumPolicyFacts, index: FactIndex): readonly Violation[] {
  return [
    ...policy.gateways.flatMap((gateway) => [
      ...(index.known.has('policies') ? checkManagedPool(gateway, index) : []),
      ...checkInterfaceAndAddress(gateway),
      ...checkNoAddress(gateway),
    ]),
    ...(index.known.has('ciliumPolicies') ? checkSamePair(policy, index) : []),
  ];
}

function checkManagedPool(
  { path, egressIp }: CiliumGatewayFacts,
  { policies }: FactIndex,
): readonly Violation[] {
  const address = egressIp === undefined ? undefined : parseAddress(egressIp);
  if (address?.kind !== 'ok') return [];
  const owners = new Set(
    policies.pools
      .overlapping(cidrRange(hostCidr(address.value)))
      .map(({ owner, entry }) => `${entry.text} of ${describePolicy(owner)}`),
  );
  if (owners.size === 0) return [];
  return [
    deny(
      'cegp-v2-managed-pool',
      { path: `${path}.egressIP` },
      `${egressIp} lies in ${nameSome([...owners])}, which Sallyport answers for; use an address outside of its pools`,
    ),
  ];
}

function checkInterfaceAndAddress({
  path,
  interfaceName,
  egressIp,
}: CiliumGatewayFacts): readonly Violation[] {
  if (interfaceName === undefined || egressIp === undefined) return [];
  return [
    deny(
      'cegp-v2-interface-and-address',
      { path },
      `it has both interface ${interfaceName} and egressIP ${egressIp}, and Cilium takes only one; keep one of both`,
    ),
  ];
}

function checkNoAddress({ path, interfaceName, egressIp }: CiliumGatewayFacts): readonly Violation[] {
  if (interfaceName !== undefined || egressIp !== undefined) return [];
  return [
    warn(
      'cegp-v2-no-address',
      { path },
      'nodeSelector alone leaves with whatever address the default route has; set egressIP',
    ),
  ];
}

function checkSamePair(policy: CiliumPolicyFacts, { ciliumPolicies }: FactIndex): readonly Violation[] {
  const prefixes = new Prefixes(policy.destinations);
  return policy.selectors.flatMap((selector, at) => {
    const others = ciliumPolicies.withSelector(selector).filter(({ name }) => name !== policy.name);
    const clashes = others.flatMap(({ name, destinations }) => {
      const shared = prefixes.firstIn(destinations);
      return shared === undefined ? [] : [{ name, shared }];
    });
    const [first] = clashes;
    if (first === undefined) return [];
    const names = nameSome(clashes.map(({ name }) => name));
    return [
      warn(
        'cegp-v2-ambiguous',
        { path: `spec.selectors[${at}]` },
        `${POLICY} ${names} has this selector and ${formatCidr(first.shared)} too; keep one`,
      ),
    ];
  });
}
