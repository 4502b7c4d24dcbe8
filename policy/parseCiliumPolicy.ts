/**
 * Reads a cilium.io/v2 CiliumEgressGatewayPolicy as far as rules look at it. It is Cilium's kind: what is odd about it is
 * Cilium's to say, and a part that cannot be read is left out.
 */
import { parseCidr } from './cidr.ts';
import type { CiliumGatewayFacts, CiliumPolicyFacts } from './facts.ts';
import { FieldReader } from './fieldReader.ts';
import type { Violation } from './model.ts';
import { parseWorkloadSelector } from './parseSelector.ts';

/** Far more than people write; keeps a broken object from filling memory. */
const LIST_MAX = 4096;

export function parseCiliumPolicy(raw: unknown): CiliumPolicyFacts | undefined {
  const problems: Violation[] = [];
  const object = new FieldReader(raw, '', problems);
  const name = object.child('metadata').optionalText('name');
  if (name === undefined) return undefined;
  const spec = object.child('spec');
  const gateways = spec.list('egressGateways', { min: 0, max: LIST_MAX });
  return {
    name,
    selectors: spec.list('selectors', { min: 0, max: LIST_MAX }).flatMap((entry) => {
      const before = problems.length;
      const selector = parseWorkloadSelector(entry);
      return problems.length === before ? [selector] : [];
    }),
    destinations: spec.list('destinationCIDRs', { min: 0, max: LIST_MAX }).flatMap((entry) => {
      const parsed = parseCidr(entry.text() ?? '');
      return parsed.kind === 'ok' ? [parsed.value] : [];
    }),
    gateways: [...(spec.has('egressGateway') ? [spec.child('egressGateway')] : []), ...gateways].map(
      parseGateway,
    ),
  };
}

function parseGateway(gateway: FieldReader): CiliumGatewayFacts {
  const interfaceName = gateway.optionalText('interface') ?? '';
  const egressIp = gateway.optionalText('egressIP') ?? '';
  return {
    path: gateway.path,
    ...(interfaceName === '' ? {} : { interfaceName }),
    ...(egressIp === '' ? {} : { egressIp }),
  };
}
