/**
 * What a plan's parts put into the kernel, remembered so that the next plan costs what it changes: one pod, one egress IP.
 * Elements are not kept; those of a part that changes or goes are rendered once more. What comes out is what
 * renderElements.ts makes of the whole: a test compares the two over random histories.
 *
 * Relies on plans never being edited: what is the same object as before is the same.
 */
import { formatAddress } from '../../../policy/address.ts';
import type { NodeDataPlane, PodPlan, TunnelEndpoint } from '../dataPlane.ts';
import type { Elements, KernelState, ManagedName } from './kernelState.ts';
import type { Indices } from './marks.ts';
import { RANGES_NAMES } from './portElements.ts';
import {
  type AddressInput,
  addressInputs,
  type EgressMark,
  egressMarks,
  renderAddress,
} from './renderAddresses.ts';
import { chooseIndices, renderDirect, renderMesh } from './renderElements.ts';
import { collect, type Rendered } from './rendered.ts';
import { namedBy, renderPod } from './renderRoutes.ts';
import { renderUnknown } from './renderUnknown.ts';

interface PodInput {
  readonly plan: PodPlan;
  /** Egress IPs that its routes name. */
  readonly names: ReadonlySet<string>;
  /** Of the egress IPs, by name. */
  readonly marks: ReadonlyMap<string, EgressMark>;
}

export interface RenderedPlan {
  /** Undefined: nothing yet. */
  readonly plan: NodeDataPlane | undefined;
  readonly indices: Indices;
  /** By name. */
  readonly addresses: ReadonlyMap<string, AddressInput>;
  /** By address as text. Where two pods have one address, the later one has it: the other is on its way out. */
  readonly pods: ReadonlyMap<string, PodInput>;
  readonly marks: ReadonlyMap<string, EgressMark>;
  /** Chain → how many parts have it. */
  readonly chainUses: ReadonlyMap<string, number>;
}

/** The ranges of ports alone, as the kernel holds them. */
export function renderedRanges({ addresses }: RenderedPlan): ReadonlyMap<ManagedName, Elements> {
  const all = collect([...addresses.values()].map(renderAddress)).elements;
  return new Map([...all].filter(([name]) => RANGES_NAMES.some((it) => it === name)));
}

export interface RenderedChange {
  readonly rendered: RenderedPlan;
  /** Of the two plans' states what is not in both: the difference of these is the difference of those. */
  readonly current: KernelState;
  readonly desired: KernelState;
}

/** @param indices those that are in use in the kernel, which keep their meaning */
export function nothingRendered(indices: Indices): RenderedPlan {
  const none = new Map<string, never>();
  return { plan: undefined, indices, addresses: none, pods: none, marks: none, chainUses: none };
}

export function renderNext(before: RenderedPlan, plan: NodeDataPlane): RenderedChange {
  const { indices, addresses, marks } = isSameMesh(before, plan) ? before : renderMeshed(before, plan);
  const pods = podInputs(before, plan, marks);
  const changes = [
    compareWhole(before, plan, indices),
    compareParts(before.addresses, addresses, { same: sameAddress, render: renderAddress }),
    compareParts(before.pods, pods, { same: samePod, render: (it) => renderPod(it.plan, it.marks) }),
  ];
  const gone = changes.flatMap((it) => it.gone);
  const come = changes.flatMap((it) => it.come);
  const chainUses = countUses(before.chainUses, gone, come);
  const chains = [...gone, ...come].flatMap((it) => it.chains);
  const inUse = (uses: ReadonlyMap<string, number>) => new Map(chains.filter(([name]) => uses.has(name)));
  return {
    rendered: { plan, indices, addresses, pods, marks, chainUses },
    current: { elements: collect(gone).elements, chains: inUse(before.chainUses) },
    desired: { elements: collect(come).elements, chains: inUse(chainUses) },
  };
}

/** Neither nodes nor egress IPs changed, as when a pod does. */
function isSameMesh({ plan: before }: RenderedPlan, plan: NodeDataPlane): boolean {
  return (
    before !== undefined &&
    before.self === plan.self &&
    before.uplinks === plan.uplinks &&
    before.peers === plan.peers &&
    before.addresses.length === plan.addresses.length &&
    before.addresses.every((address, at) => address === plan.addresses[at])
  );
}

function renderMeshed(
  before: RenderedPlan,
  plan: NodeDataPlane,
): Pick<RenderedPlan, 'indices' | 'addresses' | 'marks'> {
  const chosen = chooseIndices(plan, before.indices);
  const indices = { egress: chosen.egress, nodes: keepEqual(before.indices.nodes, chosen.nodes, Object.is) };
  const addresses = addressInputs(plan, indices);
  return { indices, addresses, marks: keepEqual(before.marks, egressMarks(addresses.values()), sameMark) };
}

interface PartsChange {
  readonly gone: readonly Rendered[];
  readonly come: readonly Rendered[];
}

interface PartKind<Input> {
  /** Both render to the same. */
  same(a: Input, b: Input): boolean;
  render(input: Input): Rendered;
}

function compareParts<Input>(
  before: ReadonlyMap<string, Input>,
  after: ReadonlyMap<string, Input>,
  { same, render }: PartKind<Input>,
): PartsChange {
  if (before === after) return { gone: [], come: [] };
  const missing = (from: ReadonlyMap<string, Input>, other: ReadonlyMap<string, Input>): Rendered[] => {
    const result: Rendered[] = [];
    for (const [key, input] of from) {
      const counterpart = other.get(key);
      if (counterpart === undefined || !same(input, counterpart)) result.push(render(input));
    }
    return result;
  };
  return { gone: missing(before, after), come: missing(after, before) };
}

/** What is of no single pod or egress IP, and changes when nodes do. */
function compareWhole(
  { plan: before, indices }: RenderedPlan,
  plan: NodeDataPlane,
  next: Indices,
): PartsChange {
  const direct = before?.direct === plan.direct;
  const mesh = before !== undefined && indices.nodes === next.nodes && sameMesh(before, plan);
  const unknown = before !== undefined && before.unknownPods === plan.unknownPods;
  const parts = (of: NodeDataPlane, nodes: Indices): readonly Rendered[] => [
    ...(unknown ? [] : [renderUnknown(of.unknownPods)]),
    ...(direct ? [] : [renderDirect(of.direct)]),
    ...(mesh ? [] : [renderMesh(of, nodes)]),
  ];
  return { gone: before === undefined ? [] : parts(before, indices), come: parts(plan, next) };
}

function sameMesh(a: NodeDataPlane, b: NodeDataPlane): boolean {
  return (
    sameEnd(a.self, b.self) &&
    a.peers.length === b.peers.length &&
    a.peers.every((peer, at) => sameEnd(peer, b.peers[at]))
  );
}

function sameEnd(a: TunnelEndpoint, b: TunnelEndpoint | undefined): boolean {
  if (a === b) return true;
  const [ours, theirs] = [a.address, b?.address];
  return (
    a.node === b?.node && a.mac === b.mac && ours.value === theirs?.value && ours.family === theirs.family
  );
}

function sameAddress(a: AddressInput, b: AddressInput): boolean {
  if (a.plan !== b.plan || a.index !== b.index || a.mac !== b.mac || a.isHere !== b.isHere) return false;
  if (a.uplink !== b.uplink) return false;
  return a.nodes === b.nodes || a.plan.blocks.every(({ node }) => a.nodes.get(node) === b.nodes.get(node));
}

function samePod(a: PodInput, b: PodInput): boolean {
  if (a.plan !== b.plan) return false;
  return a.marks === b.marks || [...a.names].every((name) => sameMark(a.marks.get(name), b.marks.get(name)));
}

function sameMark(a: EgressMark | undefined, b: EgressMark | undefined): boolean {
  return a?.mark === b?.mark && a?.isReady === b?.isReady;
}

function podInputs(
  before: RenderedPlan,
  { pods }: NodeDataPlane,
  marks: ReadonlyMap<string, EgressMark>,
): ReadonlyMap<string, PodInput> {
  return new Map(
    pods.map((plan) => {
      const key = formatAddress(plan.address);
      const known = before.pods.get(key);
      return [key, { plan, names: known?.plan === plan ? known.names : namedBy(plan), marks }];
    }),
  );
}

function countUses(
  before: ReadonlyMap<string, number>,
  gone: readonly Rendered[],
  come: readonly Rendered[],
): ReadonlyMap<string, number> {
  const uses = new Map(before);
  const count = (parts: readonly Rendered[], by: 1 | -1): void => {
    for (const [name] of parts.flatMap(({ chains }) => chains)) uses.set(name, (uses.get(name) ?? 0) + by);
  };
  count(come, 1);
  count(gone, -1);
  for (const [name, left] of uses) if (left === 0) uses.delete(name);
  return uses;
}

/** The one before where both say the same, so that nobody has to compare them again. */
function keepEqual<V>(
  before: ReadonlyMap<string, V>,
  after: ReadonlyMap<string, V>,
  same: (a: V | undefined, b: V) => boolean,
): ReadonlyMap<string, V> {
  if (before.size !== after.size) return after;
  for (const [key, value] of after) if (!same(before.get(key), value)) return after;
  return before;
}
