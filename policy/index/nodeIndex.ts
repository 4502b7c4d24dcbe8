/**
 * Nodes and what their agents report, as rules ask for them: who has an address or is a router, and which gateways a
 * policy may use. Follows changes one by one; most of them (heartbeats of kubelets) change nothing that is indexed.
 */
import { cidrRange, hostCidr } from '../cidr.ts';
import type { GatewayFacts, InterfaceAddress, NodeFacts } from '../facts.ts';
import type { Address, AddressRange, Cidr, LabelSelector } from '../model.ts';
import { GATEWAY_LABEL } from '../names.ts';
import { type Labels, matchesSelector } from '../selector.ts';
import { selectorKey } from '../selectorKey.ts';
import { RangeIndex } from './rangeIndex.ts';

export interface OwnedAddress {
  readonly range: AddressRange;
  /** For messages: `node worker-1`, `interface eth0 of node gw-1`. */
  readonly owner: string;
}

/** A subnet and the gateways on whose link it is. */
export interface ReachedSubnet {
  readonly cidr: Cidr;
  readonly range: AddressRange;
  readonly gateways: readonly string[];
}

/** The gateways that a policy may use. */
export interface GatewayChoice {
  /** By label and selector. */
  readonly nodes: readonly NodeFacts[];
  /** Of those, what their agents report. */
  readonly reports: readonly GatewayFacts[];
  readonly subnets: readonly ReachedSubnet[];
  readonly capacity: number;
}

/** Policies share few selectors; beyond this many they are computed for each review. */
const CHOICES_KEPT_MAX = 256;

export class NodeIndex {
  readonly nodes = new Map<string, NodeFacts>();
  readonly reports = new Map<string, GatewayFacts>();
  readonly addresses = new RangeIndex<OwnedAddress>(({ range }) => range);
  readonly nextHops = new RangeIndex<OwnedAddress>(({ range }) => range);
  /** Grows with every change that a rule could notice. */
  revision = 0;
  readonly #gateways = new Map<string, NodeFacts>();
  /** By node or report, what of it stands in the two indexes. */
  readonly #ofNode = new Map<string, readonly OwnedAddress[]>();
  readonly #ofReport = new Map<string, readonly OwnedAddress[]>();
  readonly #hopsOf = new Map<string, readonly OwnedAddress[]>();
  readonly #choices = new Map<string, GatewayChoice>();

  setNode(name: string, node: NodeFacts | undefined): void {
    const before = this.nodes.get(name);
    if (node === undefined) this.nodes.delete(name);
    else this.nodes.set(name, node);
    if (!sameAddresses(before?.addresses, node?.addresses)) {
      const owner = `node ${name}`;
      this.revision += 1;
      exchange(this.addresses, this.#ofNode, name, node?.addresses.map((it) => owned(it, owner)) ?? []);
    }
    const [was, is] = [
      before !== undefined && isGatewayNode(before),
      node !== undefined && isGatewayNode(node),
    ];
    if (node !== undefined && is) this.#gateways.set(name, node);
    else this.#gateways.delete(name);
    if (was !== is || (is && !sameLabels(before?.labels, node?.labels))) this.#forgetChoices();
  }

  setReport(name: string, report: GatewayFacts | undefined): void {
    const before = this.reports.get(name);
    if (report === undefined) this.reports.delete(name);
    else this.reports.set(name, report);
    const has = ({ address, interfaceName }: InterfaceAddress): OwnedAddress =>
      owned(address, `interface ${interfaceName} of node ${name}`);
    if (!sameAddresses(before?.addresses.map(addressOf), report?.addresses.map(addressOf))) {
      this.revision += 1;
      exchange(this.addresses, this.#ofReport, name, report?.addresses.map(has) ?? []);
    }
    const routes = ({ address, interfaceName }: InterfaceAddress): OwnedAddress =>
      owned(address, `next hop of node ${name} on ${interfaceName}`);
    if (!sameAddresses(before?.nextHops.map(addressOf), report?.nextHops.map(addressOf))) {
      this.revision += 1;
      exchange(this.nextHops, this.#hopsOf, name, report?.nextHops.map(routes) ?? []);
    }
    if (before?.capacity !== report?.capacity || !sameSubnets(before, report)) this.#forgetChoices();
  }

  #forgetChoices(): void {
    this.revision += 1;
    this.#choices.clear();
  }

  /** Nodes that are labelled as gateways, whoever chooses among them. */
  get gatewayCount(): number {
    return this.#gateways.size;
  }

  choose(selector: LabelSelector | undefined): GatewayChoice {
    const key = selector === undefined ? '' : `by ${selectorKey(selector)}`;
    const kept = this.#choices.get(key);
    if (kept !== undefined) return kept;
    const nodes = [...this.#gateways.values()].filter(
      ({ labels }) => selector === undefined || matchesSelector(selector, labels),
    );
    const reports = nodes.flatMap(({ name }) => this.reports.get(name) ?? []);
    const capacity = reports.reduce((sum, report) => sum + report.capacity, 0);
    const choice = { nodes, reports, subnets: subnetsOf(reports), capacity };
    if (this.#choices.size >= CHOICES_KEPT_MAX) this.#choices.clear();
    this.#choices.set(key, choice);
    return choice;
  }

  /** Whether pods of a node leave with an address; a node that says nothing may be using it. */
  uses(node: string, address: Address): boolean {
    const using = this.reports.get(node)?.using;
    return using === undefined
      ? this.nodes.has(node)
      : using.some(({ family, value }) => family === address.family && value === address.value);
  }
}

/** Nodes that carry the gateway label, and are not labelled "false". */
export function isGatewayNode({ labels }: { readonly labels: Labels }): boolean {
  return Object.hasOwn(labels, GATEWAY_LABEL) && labels[GATEWAY_LABEL] !== 'false';
}

function subnetsOf(reports: readonly GatewayFacts[]): readonly ReachedSubnet[] {
  const subnets = new Map<string, { cidr: Cidr; range: AddressRange; gateways: Set<string> }>();
  for (const { node, onLink } of reports)
    for (const { cidr } of onLink) {
      const key = `${cidr.family}/${cidr.network}/${cidr.prefix}`;
      const subnet = subnets.get(key) ?? { cidr, range: cidrRange(cidr), gateways: new Set() };
      subnet.gateways.add(node);
      subnets.set(key, subnet);
    }
  return [...subnets.values()].map(({ cidr, range, gateways }) => ({ cidr, range, gateways: [...gateways] }));
}

function exchange(
  index: RangeIndex<OwnedAddress>,
  kept: Map<string, readonly OwnedAddress[]>,
  key: string,
  next: readonly OwnedAddress[],
): void {
  for (const item of kept.get(key) ?? []) index.remove(item);
  for (const item of next) index.add(item);
  if (next.length === 0) kept.delete(key);
  else kept.set(key, next);
}

function owned(address: Address, owner: string): OwnedAddress {
  return { range: cidrRange(hostCidr(address)), owner };
}

function addressOf({ address }: InterfaceAddress): Address {
  return address;
}

function sameAddresses(a: readonly Address[] = [], b: readonly Address[] = []): boolean {
  return (
    a.length === b.length &&
    a.every(({ family, value }, at) => b[at]?.family === family && b[at]?.value === value)
  );
}

function sameSubnets(a: GatewayFacts | undefined, b: GatewayFacts | undefined): boolean {
  const [left, right] = [a?.onLink ?? [], b?.onLink ?? []];
  return (
    (a === undefined) === (b === undefined) &&
    left.length === right.length &&
    left.every(({ cidr }, at) => {
      const other = right[at]?.cidr;
      return other?.family === cidr.family && other.network === cidr.network && other.prefix === cidr.prefix;
    })
  );
}

function sameLabels(a: Labels = {}, b: Labels = {}): boolean {
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && a[key] === b[key])
  );
}
