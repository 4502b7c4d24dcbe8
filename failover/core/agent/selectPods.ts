/**
 * Decides, for each pod of this node, where its traffic goes: which policy rules which destinations, and which egress
 * IPs serve the pod. A policy counts only through the EgressIPs that name it: that list is the controller's word on
 * who won a conflict, the same on every node.
 */
import { formatAddress } from '../../../policy/address.ts';
import type { Address, AddressRange, Family, Policy } from '../../../policy/model.ts';
import { flattenRoutes } from '../../../policy/precedence.ts';
import { matchesSelector } from '../../../policy/selector.ts';
import type { PodAction, PodPlan, PodRoute } from '../dataPlane.ts';
import { unionOf } from '../dataplane/addressRanges.ts';
import type { EgressIp } from '../egressIp.ts';
import { rendezvousWeight } from '../rendezvous.ts';
import type { AgentView, LocalPod } from './agentView.ts';

export interface PodSelection {
  /** All that have an address; of two with the same one, what a policy selects comes later. */
  readonly pods: readonly PodPlan[];
  /** Destinations that policies with `failureMode: Closed` rule for pods whose address is not known yet. */
  readonly awaited: readonly AddressRange[];
  /** Destinations that any of those policies rules. */
  readonly closed: readonly AddressRange[];
  /** Policy uid → how many pods of this node it selects. */
  readonly selected: ReadonlyMap<string, number>;
  /** Egress IPs (by text) that some pod of this node is served by, or will be as soon as it has an address. */
  readonly wanted: ReadonlySet<string>;
}

/** From the view alone, each time anew; podSelector.ts keeps up with changes. */
export function selectPods(view: AgentView): PodSelection {
  const programmed = programmedPolicies(view);
  const nodeLabels = view.nodes.get(view.node)?.labels ?? {};
  const pods: PodPlan[] = [];
  const awaited: AddressRange[] = [];
  const selected = new Map<string, number>();
  const wanted = new Set<string>();
  for (const pod of view.pods.values()) {
    const namespaceLabels = view.namespaces.get(pod.namespace) ?? {};
    const policies = programmed.filter(({ policy }) => selects(policy, pod, { namespaceLabels, nodeLabels }));
    if (pod.addresses.length === 0) awaited.push(...closedRanges(policies.map(({ policy }) => policy)));
    for (const { policy } of policies) {
      selected.set(policy.ref.uid, (selected.get(policy.ref.uid) ?? 0) + 1);
    }
    pods.push(...planPod(pod, policies));
    for (const name of wantedBy(pod, policies)) wanted.add(name);
  }
  const closed = programmed.flatMap(({ policy }) => closedRanges([policy]));
  return { pods: ruledLast(pods), awaited: unionOf(awaited), closed: unionOf(closed), selected, wanted };
}

/** One for each address of a pod that all of `policies` select. */
export function planPod(pod: LocalPod, policies: readonly ProgrammedPolicy[]): readonly PodPlan[] {
  const routes = policies.length === 0 ? [] : routesOf(pod, policies);
  return pod.addresses.map((address) => ({
    address,
    routes: routes.filter(({ range }) => range.family === address.family),
  }));
}

/** A pod on its way out may still have the address of another: in doubt what a policy says holds. */
export function ruledLast(pods: readonly PodPlan[]): readonly PodPlan[] {
  const [free, ruled] = [true, false].map((none) => pods.filter((it) => (it.routes.length === 0) === none));
  return [...(free ?? []), ...(ruled ?? [])];
}

/** What pods that all of these select must not reach with the address of a node. */
export function closedRanges(policies: readonly Policy[]): readonly AddressRange[] {
  return flattenRoutes(policies).flatMap(({ range, policy }) =>
    policy !== 'direct' && policy.failureMode === 'Closed' ? [range] : [],
  );
}

/**
 * Egress IPs by text. A node's first pod needs ports, which take a round through the API: they are asked for as soon as the pod
 * is known, and not only when its address is.
 */
export function wantedBy(pod: LocalPod, policies: readonly ProgrammedPolicy[]): readonly string[] {
  if (policies.length === 0) return [];
  const families = new Set(pod.addresses.map(({ family }) => family));
  return routesOf(pod, policies)
    .filter(({ range }) => families.size === 0 || families.has(range.family))
    .flatMap(({ action }) => (action.kind === 'egress' ? action.addresses.map(formatAddress) : []));
}

export interface ProgrammedPolicy {
  readonly policy: Policy;
  /** The policy's egress IPs in the order its pools list them. */
  readonly egressIps: readonly EgressIp[];
}

function programmedPolicies(view: AgentView): readonly ProgrammedPolicy[] {
  const byPolicy = new Map<string, EgressIp[]>();
  for (const egressIp of view.egressIps.values()) {
    for (const owner of egressIp.policies) {
      const list = byPolicy.get(owner.uid);
      if (list === undefined) byPolicy.set(owner.uid, [egressIp]);
      else list.push(egressIp);
    }
  }
  const programmed: ProgrammedPolicy[] = [];
  for (const [uid, egressIps] of byPolicy) {
    const policy = view.policies.get(uid);
    if (policy !== undefined) programmed.push({ policy, egressIps: inListedOrder(policy, egressIps) });
  }
  return programmed.sort((a, b) => (a.policy.ref.uid < b.policy.ref.uid ? -1 : 1));
}

export function inListedOrder(policy: Policy, egressIps: readonly EgressIp[]): readonly EgressIp[] {
  const rank = (egressIp: EgressIp): number =>
    policy.pools.findIndex(
      ({ range }) =>
        range.family === egressIp.address.family &&
        range.first <= egressIp.address.value &&
        egressIp.address.value <= range.last,
    );
  return egressIps.toSorted((a, b) => rank(a) - rank(b) || (a.address.value < b.address.value ? -1 : 1));
}

export function selects(
  policy: Policy,
  pod: LocalPod,
  labels: {
    readonly namespaceLabels: Readonly<Record<string, string>>;
    readonly nodeLabels: Readonly<Record<string, string>>;
  },
): boolean {
  return policy.selectors.some(
    (selector) =>
      matchesSelector(selector.pods, pod.labels) &&
      (selector.namespaces === undefined || matchesSelector(selector.namespaces, labels.namespaceLabels)) &&
      (selector.nodes === undefined || matchesSelector(selector.nodes, labels.nodeLabels)),
  );
}

function routesOf(pod: LocalPod, programmed: readonly ProgrammedPolicy[]): readonly PodRoute[] {
  const byUid = new Map(programmed.map((it) => [it.policy.ref.uid, it]));
  return flattenRoutes(programmed.map(({ policy }) => policy)).map(({ range, policy }) => {
    const owner = policy === 'direct' ? undefined : byUid.get(policy.ref.uid);
    return { range, action: owner === undefined ? { kind: 'direct' } : actionOf(pod, owner, range.family) };
  });
}

/**
 * What goes to destinations of a family leaves with an address of that family, or not at all. What has an address that is still
 * served stays with it when new connections get another.
 */
function actionOf(pod: LocalPod, { policy, egressIps }: ProgrammedPolicy, family: Family): PodAction {
  // Nobody meant these to leave with a node's address: `Open` is about gateways that are not there.
  if (!policy.pools.some(({ range }) => range.family === family)) return { kind: 'refuse' };
  const placed = egressIps.filter((it) => it.address.family === family && it.order.length > 0);
  if (placed.length === 0) return policy.failureMode === 'Open' ? { kind: 'direct' } : { kind: 'refuse' };
  const addresses = placed.map(({ address }) => address);
  if (policy.strategy === 'Failover')
    return { kind: 'egress', addresses: addresses.slice(0, 1), affinity: policy.affinity, keeps: addresses };
  if (policy.affinity === 'Connection') return { kind: 'egress', addresses, affinity: 'Connection' };
  return {
    kind: 'egress',
    addresses: [stickyAddress(`${pod.namespace}/${pod.name}`, addresses)],
    affinity: 'Pod',
    keeps: addresses,
  };
}

/** By rendezvous hashing: an address that leaves the set moves only its own pods. */
function stickyAddress(key: string, addresses: readonly Address[]): Address {
  const weigh = (address: Address): number => rendezvousWeight(key, formatAddress(address));
  return addresses.reduce((best, address) => (weigh(address) > weigh(best) ? address : best));
}
