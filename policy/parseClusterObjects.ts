/** Reads what rules need of pods, namespaces, EgressIPs and the cluster's service networks. */
import { parseAddress } from './address.ts';
import { parseCidr } from './cidr.ts';
import type { ClusterNetwork, EgressIpFacts, NamespaceFacts, PodFacts } from './facts.ts';
import { FieldReader } from './fieldReader.ts';

/** More than there can be of anything here; keeps a broken object from filling memory. */
const LIST_MAX = 4096;

/** Undefined for pods that have no network of their own, and for those that do not run. */
export function parsePodFacts(raw: unknown): PodFacts | undefined {
  const pod = new FieldReader(raw, '', []);
  const metadata = pod.child('metadata');
  const [namespace, node] = [metadata.optionalText('namespace'), pod.child('spec').optionalText('nodeName')];
  const runs = pod.child('status').optionalText('phase') === 'Running';
  if (!runs || namespace === undefined || node === undefined || pod.child('spec').flag('hostNetwork'))
    return undefined;
  return { namespace, node, labels: Object.fromEntries(metadata.textMap('labels')) };
}

export function parseNamespaceFacts(raw: unknown): NamespaceFacts | undefined {
  const metadata = new FieldReader(raw, '', []).child('metadata');
  const name = metadata.optionalText('name');
  return name === undefined ? undefined : { name, labels: Object.fromEntries(metadata.textMap('labels')) };
}

export function parseServiceCidr(raw: unknown): readonly ClusterNetwork[] {
  const object = new FieldReader(raw, '', []);
  const source = `ServiceCIDR ${object.child('metadata').optionalText('name') ?? ''}`;
  return object
    .child('spec')
    .list('cidrs', { min: 0, max: LIST_MAX })
    .flatMap((text) => {
      const parsed = parseCidr(text.text() ?? '');
      return parsed.kind === 'ok' ? [{ cidr: parsed.value, use: 'services', source }] : [];
    });
}

export function parseEgressIpFacts(raw: unknown): EgressIpFacts | undefined {
  const spec = new FieldReader(raw, '', []).child('spec');
  const address = parseAddress(spec.optionalText('address') ?? '');
  if (address.kind === 'refused') return undefined;
  const textsOf = (list: string, field: string): readonly string[] => [
    ...new Set(
      spec.list(list, { min: 0, max: LIST_MAX }).flatMap((entry) => entry.optionalText(field) ?? []),
    ),
  ];
  return {
    address: address.value,
    policyUids: textsOf('policies', 'uid'),
    nodes: textsOf('blocks', 'node'),
  };
}
