/**
 * Reads what rules need to know of the cluster from Kubernetes objects. A value that does not parse is left out, never
 * guessed: a node's odd address (a hostname, say) is no address to compare with.
 */
import { formatAddress, parseAddress } from './address.ts';
import { parseCidr } from './cidr.ts';
import { FieldReader } from './fieldReader.ts';
import type { Address, Cidr, GatewayFacts, NodeFacts, NodeTaint } from './model.ts';
import { DRAIN_ANNOTATION } from './names.ts';

/** More than any node of a real cluster has; keeps a broken report from filling memory. */
const LIST_MAX = 4096;

export function parseNode(raw: unknown): NodeFacts | undefined {
  const node = new FieldReader(raw, '', []);
  const name = node.child('metadata').optionalText('name');
  if (name === undefined) return undefined;
  const spec = node.child('spec');
  return {
    name,
    labels: Object.fromEntries(node.child('metadata').textMap('labels')),
    addresses: list(node.child('status'), 'addresses').flatMap((it) => addressOf(it.optionalText('address'))),
    podCidrs: list(spec, 'podCIDRs').flatMap((it) => cidrOf(it.text())),
    unschedulable: spec.flag('unschedulable'),
    drained: new Map(node.child('metadata').textMap('annotations')).get(DRAIN_ANNOTATION) === 'true',
    taints: list(spec, 'taints').flatMap(taintOf),
    ready: list(node.child('status'), 'conditions').some(
      (it) => it.optionalText('type') === 'Ready' && it.optionalText('status') === 'True',
    ),
  };
}

export function parseGatewayNodeFacts(raw: unknown): GatewayFacts | undefined {
  const object = new FieldReader(raw, '', []);
  const node = object.child('metadata').optionalText('name');
  if (node === undefined) return undefined;
  const status = object.child('status');
  // An egress IP that the agent holds stands on the uplink too; it is the pool's, not the node's own.
  const held = new Set(list(status, 'addresses').flatMap((it) => it.optionalText('address') ?? []));
  return {
    node,
    addresses: list(status, 'interfaces').flatMap((it) =>
      list(it, 'addresses').flatMap((text) =>
        addressOf(text.text()?.split('/')[0])
          .filter((address) => !held.has(formatAddress(address)))
          .map((address) => ({ address, interfaceName: it.optionalText('name') ?? '' })),
      ),
    ),
    onLink: list(status, 'onLink').flatMap((it) =>
      cidrOf(it.optionalText('cidr')).map((cidr) => ({
        cidr,
        interfaceName: it.optionalText('interfaceName') ?? '',
      })),
    ),
    nextHops: list(status, 'nextHops').flatMap((it) =>
      addressOf(it.optionalText('address')).map((address) => ({
        address,
        interfaceName: it.optionalText('interfaceName') ?? '',
      })),
    ),
    capacity: status.optionalInteger('capacity') ?? 0,
    using: list(status, 'demand').flatMap((it) =>
      (it.optionalInteger('ports') ?? 0) > 0 ? addressOf(it.optionalText('address')) : [],
    ),
  };
}

function list(reader: FieldReader, field: string): readonly FieldReader[] {
  return reader.list(field, { min: 0, max: LIST_MAX });
}

function taintOf(taint: FieldReader): readonly NodeTaint[] {
  const key = taint.optionalText('key');
  return key === undefined ? [] : [{ key, effect: taint.optionalText('effect') ?? '' }];
}

function addressOf(text: string | undefined): readonly Address[] {
  const parsed = text === undefined ? undefined : parseAddress(text);
  return parsed?.kind === 'ok' ? [parsed.value] : [];
}

function cidrOf(text: string | undefined): readonly Cidr[] {
  const parsed = text === undefined ? undefined : parseCidr(text);
  return parsed?.kind === 'ok' ? [parsed.value] : [];
}
