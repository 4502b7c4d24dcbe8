/**
 * All that rules look at, in the order in which they ask for it. Made of facts at once, or filled and kept up to date by
 * whoever watches a cluster. What is not in `known` is unknown, whatever the indexes hold.
 */
import { cidrRange, formatCidr } from '../cidr.ts';
import type {
  CiliumPolicyFacts,
  ClusterFacts,
  ClusterNetwork,
  EgressIpFacts,
  GatewayFacts,
  LoadBalancerRange,
  NamespaceFacts,
  NodeFacts,
  PodFacts,
} from '../facts.ts';
import type { AddressRange, Cidr, Policy } from '../model.ts';
import { CiliumIndex } from './ciliumIndex.ts';
import { NodeIndex } from './nodeIndex.ts';
import { PodIndex } from './podIndex.ts';
import { PolicyIndex } from './policyIndex.ts';
import { RangeIndex } from './rangeIndex.ts';

export type FactSource = Exclude<keyof ClusterFacts, 'routable'>;
export const FACT_SOURCES = [
  'policies',
  'nodes',
  'gateways',
  'networks',
  'loadBalancers',
  'egressIps',
  'pods',
  'namespaces',
  'ciliumPolicies',
] as const satisfies readonly FactSource[];

/** Values of these go by their name: a second one takes the place of the first. */
const NAMED_SOURCES: ReadonlySet<FactSource> = new Set(['nodes', 'gateways', 'namespaces']);

/** What is kept of each source; a `network` may also be a node's. */
export interface FactValues {
  readonly policies: Policy;
  readonly nodes: NodeFacts;
  readonly gateways: GatewayFacts;
  readonly networks: ClusterNetwork;
  readonly loadBalancers: LoadBalancerRange;
  readonly egressIps: EgressIpFacts;
  readonly pods: PodFacts;
  readonly namespaces: NamespaceFacts;
  readonly ciliumPolicies: CiliumPolicyFacts;
}

export class FactIndex {
  readonly known: ReadonlySet<FactSource>;
  readonly routable: readonly Cidr[];
  readonly routableRanges: readonly AddressRange[];
  readonly policies = new PolicyIndex();
  readonly nodes = new NodeIndex();
  readonly networks = new RangeIndex<ClusterNetwork>(({ cidr }) => cidrRange(cidr));
  readonly loadBalancers = new RangeIndex<LoadBalancerRange>(({ range }) => range);
  readonly egressIps = new RangeIndex<EgressIpFacts>(({ address: { family, value } }) => ({
    family,
    first: value,
    last: value,
  }));
  readonly pods = new PodIndex(this.nodes);
  readonly ciliumPolicies = new CiliumIndex();
  readonly #podNetworks = new Map<string, readonly ClusterNetwork[]>();
  #changes = 0;

  constructor(known: ReadonlySet<FactSource>, routable: readonly Cidr[]) {
    this.known = known;
    this.routable = routable;
    this.routableRanges = routable.map(cidrRange);
  }

  /** How often something was added or removed: as long as it stays the same, so does every answer. */
  get changes(): number {
    return this.#changes;
  }

  knows(...sources: readonly FactSource[]): boolean {
    return sources.every((source) => this.known.has(source));
  }

  add<S extends FactSource>(source: S, value: FactValues[S]): void {
    this.#change({ source, value } as Change, 'add');
  }

  /** The same value that was added. */
  remove<S extends FactSource>(source: S, value: FactValues[S]): void {
    this.#change({ source, value } as Change, 'remove');
  }

  /** What became of a value; undefined: it was not there, or is no more. Nodes and reports keep what did not change. */
  replace<S extends FactSource>(
    source: S,
    before: FactValues[S] | undefined,
    after: FactValues[S] | undefined,
  ): void {
    const overwrites = after !== undefined && NAMED_SOURCES.has(source);
    if (before !== undefined && !overwrites) this.remove(source, before);
    if (after !== undefined) this.add(source, after);
  }

  #change(change: Change, verb: 'add' | 'remove'): void {
    this.#changes += 1;
    const added = verb === 'add';
    switch (change.source) {
      case 'policies':
        return this.policies[verb](change.value);
      case 'nodes':
        return this.#changeNode(change.value, added);
      case 'gateways':
        return this.nodes.setReport(change.value.node, added ? change.value : undefined);
      case 'networks':
        return void this.networks[verb](change.value);
      case 'loadBalancers':
        return void this.loadBalancers[verb](change.value);
      case 'egressIps':
        return void this.egressIps[verb](change.value);
      case 'pods':
        return void this.pods[verb](change.value);
      case 'namespaces':
        return this.pods.setNamespace(change.value.name, added ? change.value.labels : undefined);
      case 'ciliumPolicies':
        return this.ciliumPolicies[verb](change.value);
      default:
        return change satisfies never;
    }
  }

  #changeNode(node: NodeFacts, added: boolean): void {
    this.nodes.setNode(node.name, added ? node : undefined);
    const kept = this.#podNetworks.get(node.name) ?? [];
    if (added && kept.map(({ cidr }) => formatCidr(cidr)).join() === node.podCidrs.map(formatCidr).join())
      return;
    this.nodes.revision += 1;
    for (const network of this.#podNetworks.get(node.name) ?? []) this.networks.remove(network);
    const networks = added
      ? node.podCidrs.map((cidr) => ({ cidr, use: 'pods' as const, source: `node ${node.name}` }))
      : [];
    for (const network of networks) this.networks.add(network);
    if (networks.length === 0) this.#podNetworks.delete(node.name);
    else this.#podNetworks.set(node.name, networks);
  }
}

/** A source and its own kind of value. */
type Change = {
  [S in FactSource]: { readonly source: S; readonly value: FactValues[S] };
}[FactSource];

export function createFactIndex(facts: ClusterFacts): FactIndex {
  const known = new Set(FACT_SOURCES.filter((source) => facts[source] !== 'unknown'));
  const index = new FactIndex(known, facts.routable);
  for (const source of FACT_SOURCES) {
    const values = facts[source];
    if (values === 'unknown') continue;
    for (const value of values) index.add(source, value);
  }
  return index;
}
