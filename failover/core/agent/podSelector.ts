/**
 * What selectPods.ts decides, kept up with one view after the other: a pod is looked at again when it changed, or when a
 * policy that selects it or now could select it did. The answer is that of selectPods; a test compares the two.
 */
import { formatRange } from '../../../policy/cidr.ts';
import type { AddressRange } from '../../../policy/model.ts';
import type { Labels } from '../../../policy/selector.ts';
import type { PodPlan } from '../dataPlane.ts';
import { unionOf } from '../dataplane/addressRanges.ts';
import type { EgressIp } from '../egressIp.ts';
import { changedKeys } from '../remember.ts';
import type { AgentView, LocalPod } from './agentView.ts';
import { ClosedDestinations } from './closedDestinations.ts';
import { PolicyIndex } from './policyIndex.ts';
import {
  closedRanges,
  inListedOrder,
  type PodSelection,
  type ProgrammedPolicy,
  planPod,
  ruledLast,
  selects,
  wantedBy,
} from './selectPods.ts';

/** A pod as it was looked at, and what came out. */
interface Selected {
  readonly pod: LocalPod;
  readonly namespaceLabels: Labels;
  readonly nodeLabels: Labels;
  readonly uids: readonly string[];
  readonly plans: readonly PodPlan[];
  /** See `PodSelection.awaited`. */
  readonly awaited: readonly AddressRange[];
  readonly wanted: readonly string[];
}

type Seen = Pick<AgentView, 'egressIps' | 'policies' | 'pods'>;

const NO_LABELS: Labels = {};
const NOTHING: Seen = { egressIps: new Map(), policies: new Map(), pods: new Map() };

export class PodSelector {
  readonly #index = new PolicyIndex();
  /** Policy uid → its egress IPs by name. */
  readonly #egressIps = new Map<string, Map<string, EgressIp>>();
  readonly #programmed = new Map<string, ProgrammedPolicy>();
  readonly #closed = new ClosedDestinations();
  #seen: Seen = NOTHING;
  #pods: ReadonlyMap<string, Selected> = new Map();
  #selection: PodSelection = { pods: [], awaited: [], closed: [], selected: new Map(), wanted: new Set() };

  /** The same object while nothing about it changed. */
  select(view: AgentView): PodSelection {
    const touched = this.#followPolicies(view);
    const nodeLabels = view.nodes.get(view.node)?.labels ?? NO_LABELS;
    const pods = new Map<string, Selected>();
    let changed = view.pods.size !== this.#pods.size;
    for (const [key, pod] of view.pods) {
      const namespaceLabels = view.namespaces.get(pod.namespace) ?? NO_LABELS;
      const known = this.#pods.get(key);
      const keeps =
        known !== undefined &&
        known.pod === pod &&
        known.namespaceLabels === namespaceLabels &&
        known.nodeLabels === nodeLabels &&
        !this.#isTouched(known, touched);
      pods.set(key, keeps ? known : this.#look(pod, namespaceLabels, nodeLabels));
      changed ||= !keeps;
    }
    this.#seen = { egressIps: view.egressIps, policies: view.policies, pods: view.pods };
    const closed = this.#closed.union();
    if (!changed && this.#pods.size > 0) {
      if (closed !== this.#selection.closed) this.#selection = { ...this.#selection, closed };
      return this.#selection;
    }
    this.#pods = pods;
    const awaited = unionOf([...pods.values()].flatMap((it) => it.awaited));
    const { awaited: before } = this.#selection;
    const same = awaited.map(formatRange).join() === before.map(formatRange).join();
    this.#selection = { ...summarize(pods.values()), awaited: same ? before : awaited, closed };
    return this.#selection;
  }

  /** Uids of policies that are programmed otherwise than before. */
  #followPolicies({ egressIps, policies }: AgentView): ReadonlySet<string> {
    const touched = new Set(changedKeys(this.#seen.policies, policies));
    for (const name of changedKeys(this.#seen.egressIps, egressIps)) {
      const [before, after] = [this.#seen.egressIps.get(name), egressIps.get(name)];
      if (before !== undefined && after !== undefined && sameForPods(before, after)) continue;
      for (const { uid } of before?.policies ?? []) {
        this.#egressIps.get(uid)?.delete(name);
        touched.add(uid);
      }
      if (after === undefined) continue;
      for (const { uid } of after.policies) {
        this.#egressIps.set(uid, (this.#egressIps.get(uid) ?? new Map<string, EgressIp>()).set(name, after));
        touched.add(uid);
      }
    }
    for (const uid of touched) {
      const policy = policies.get(uid);
      const own = [...(this.#egressIps.get(uid)?.values() ?? [])];
      if (own.length === 0) this.#egressIps.delete(uid);
      if (policy === undefined || own.length === 0) this.#programmed.delete(uid);
      else this.#programmed.set(uid, { policy, egressIps: inListedOrder(policy, own) });
      const programmed = this.#programmed.get(uid)?.policy;
      this.#index.set(uid, programmed);
      this.#closed.set(uid, programmed);
    }
    return touched;
  }

  #isTouched({ pod, namespaceLabels, uids }: Selected, touched: ReadonlySet<string>): boolean {
    if (touched.size === 0) return false;
    const could = this.#index.candidates(pod.labels, namespaceLabels);
    return [...uids, ...could].some((uid) => touched.has(uid));
  }

  #look(pod: LocalPod, namespaceLabels: Labels, nodeLabels: Labels): Selected {
    const programmed = this.#index
      .candidates(pod.labels, namespaceLabels)
      .flatMap((uid) => this.#programmed.get(uid) ?? [])
      .filter(({ policy }) => selects(policy, pod, { namespaceLabels, nodeLabels }));
    const plans = planPod(pod, programmed);
    return {
      pod,
      namespaceLabels,
      nodeLabels,
      uids: programmed.map(({ policy }) => policy.ref.uid),
      plans,
      awaited: pod.addresses.length > 0 ? [] : closedRanges(programmed.map(({ policy }) => policy)),
      wanted: wantedBy(pod, programmed),
    };
  }
}

/** Which pods leave by it is the same; who holds it and its ports are not for here. */
function sameForPods(a: EgressIp, b: EgressIp): boolean {
  if (a.order.length > 0 !== b.order.length > 0 || a.policies.length !== b.policies.length) return false;
  return a.policies.every(({ uid }, at) => uid === b.policies[at]?.uid);
}

function summarize(pods: Iterable<Selected>): Omit<PodSelection, 'awaited' | 'closed'> {
  const selected = new Map<string, number>();
  const wanted = new Set<string>();
  const plans: PodPlan[] = [];
  for (const pod of pods) {
    for (const uid of pod.uids) selected.set(uid, (selected.get(uid) ?? 0) + 1);
    for (const name of pod.wanted) wanted.add(name);
    plans.push(...pod.plans);
  }
  return { pods: ruledLast(plans), selected, wanted };
}
