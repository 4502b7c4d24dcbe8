/**
 * Decides which agents vote on who is alive. Five in a larger cluster, else three, else one; at least one that is no
 * gateway, so that a gateway's death does not take a voter with it; spread over zones. Voters that are fit stay.
 *
 * A change goes through a joint configuration of the old and the new set, one voter at a time, and leaves it only when a
 * majority of the old set has said that it knows, and what they granted by the older one has run out since.
 *
 * Relies on the agents to refuse heartbeats that count by an older configuration than they know.
 */
import { isGateway } from '../../../policy/gatewayRole.ts';
import type { NodeFacts } from '../../../policy/model.ts';
import { ZONE_LABEL } from '../../../policy/names.ts';
import { majorityOf, type VoterConfig } from '../ownership/voterConfig.ts';
import { rendezvousWeight } from '../rendezvous.ts';
import type { ControllerView } from './controllerView.ts';

/** What time alone decides about voters, on the controller's monotonic clock. */
export interface VoterWaits {
  /** Since when there is no configuration although there are agents. */
  readonly wantedSinceMs: number | undefined;
  /** Since when a majority of the old set is known to know the joint configuration. */
  readonly knownSinceMs: number | undefined;
}

export const NO_WAITS: VoterWaits = { wantedSinceMs: undefined, knownSinceMs: undefined };

export interface VoterPlan {
  /** The configuration as it should be written; undefined: it stays as it is. */
  readonly next: VoterConfig | undefined;
  readonly waits: VoterWaits;
  /** When time alone may change the answer, monotonic. */
  readonly wakeMs: number | undefined;
}

/** From so many agents on, so many vote: each voter more is a packet more for every heartbeat. */
const SIZES = [
  { agents: 7, voters: 5 },
  { agents: 3, voters: 3 },
] as const;
const VOTERS_MAX = SIZES[0].voters;
/** The first agents of a new cluster do not decide alone if more are about to come. */
const FIRST_WAIT_MS = 5000;

export function planVoters(
  view: ControllerView,
  waits: VoterWaits,
  { settledMs, nowMs }: { readonly settledMs: number; readonly nowMs: number },
): VoterPlan {
  const config = view.voters?.config;
  const fit = fitAgents(view);
  const known = newestKnown(view);
  // It was deleted, or restored from a snapshot. Agents go on by the newest they know: only that very one may be written.
  if (known !== undefined && known.version > (config?.version ?? 0))
    return { next: known, waits: NO_WAITS, wakeMs: undefined };
  if (config === undefined) return planFirst(view, fit, { waits, nowMs });
  if (config.sets.length > 1) return planEnd(view, config, { waits, settledMs, nowMs });
  const next = changeOne(config, fit, view);
  return { next, waits: NO_WAITS, wakeMs: undefined };
}

/** Agents whose data plane works on nodes that the cluster holds to be ready. */
function fitAgents({ gatewayNodes, nodes }: ControllerView): readonly NodeFacts[] {
  return [...gatewayNodes.values()].flatMap(({ name, underlay, dataPlaneReady }) => {
    const node = nodes.get(name);
    return underlay !== undefined && dataPlaneReady && node?.ready === true ? [node] : [];
  });
}

/** As agents of nodes say that exist: others may be anybody's objects. */
function newestKnown({ gatewayNodes, nodes }: ControllerView): VoterConfig | undefined {
  let newest: VoterConfig | undefined;
  for (const { name, voterConfig } of gatewayNodes.values())
    if (nodes.has(name) && voterConfig.version > (newest?.version ?? 0)) newest = voterConfig;
  return newest;
}

function planFirst(
  { nodes }: ControllerView,
  fit: readonly NodeFacts[],
  { waits, nowMs }: { readonly waits: VoterWaits; readonly nowMs: number },
): VoterPlan {
  if (fit.length === 0) return { next: undefined, waits: NO_WAITS, wakeMs: undefined };
  const sinceMs = waits.wantedSinceMs ?? nowMs;
  const complete = fit.length >= Math.min(nodes.size, VOTERS_MAX);
  const dueMs = sinceMs + FIRST_WAIT_MS;
  if (!complete && nowMs < dueMs)
    return { next: undefined, waits: { ...NO_WAITS, wantedSinceMs: sinceMs }, wakeMs: dueMs };
  return { next: { version: 1, sets: [choose(fit)] }, waits: NO_WAITS, wakeMs: undefined };
}

/** From the joint configuration to the new set alone. */
function planEnd(
  { gatewayNodes }: ControllerView,
  { version, sets }: VoterConfig,
  context: { readonly waits: VoterWaits; readonly settledMs: number; readonly nowMs: number },
): VoterPlan {
  const { waits, settledMs, nowMs } = context;
  const before = sets[0] ?? [];
  const knowing = before.filter((voter) => (gatewayNodes.get(voter)?.voterConfig.version ?? 0) >= version);
  if (knowing.length < majorityOf(before)) return { next: undefined, waits: NO_WAITS, wakeMs: undefined };
  const sinceMs = waits.knownSinceMs ?? nowMs;
  const dueMs = sinceMs + settledMs;
  if (nowMs < dueMs) return { next: undefined, waits: { ...NO_WAITS, knownSinceMs: sinceMs }, wakeMs: dueMs };
  return { next: { version: version + 1, sets: sets.slice(-1) }, waits: NO_WAITS, wakeMs: undefined };
}

/** One voter more, less, or for another; undefined: the set is right. */
function changeOne(
  { version, sets }: VoterConfig,
  fit: readonly NodeFacts[],
  { nodes }: ControllerView,
): VoterConfig | undefined {
  const current = sets[0] ?? [];
  const names = new Set(fit.map(({ name }) => name));
  const lost = current.find((voter) => !names.has(voter) && nodes.get(voter)?.ready !== true);
  const kept = fit.filter(({ name }) => current.includes(name));
  // Who is absent for a moment keeps the place: its agent restarts.
  const size = targetSize(fit.length + current.filter((voter) => !names.has(voter) && voter !== lost).length);
  const [joining] = fit.length > kept.length ? next(fit, kept) : [];
  const joint = (set: readonly string[]): VoterConfig => ({ version: version + 1, sets: [current, set] });
  if (lost !== undefined) {
    const rest = current.filter((voter) => voter !== lost);
    if (joining !== undefined) return joint([...rest, joining]);
    return rest.length > 0 && size < current.length ? joint(rest) : undefined;
  }
  if (joining === undefined) return undefined;
  if (current.length < size) return joint([...current, joining]);
  // Gateways came first, and now there is another.
  const isOther = (name: string): boolean => fit.some((node) => node.name === name && !isGateway(node));
  const onlyGateways = kept.length === current.length && kept.every(isGateway);
  return onlyGateways && isOther(joining) ? joint([...current.slice(1), joining]) : undefined;
}

function targetSize(agents: number): number {
  return SIZES.find((size) => agents >= size.agents)?.voters ?? 1;
}

function choose(fit: readonly NodeFacts[]): readonly string[] {
  const size = targetSize(fit.length);
  let chosen: readonly NodeFacts[] = [];
  while (chosen.length < size) {
    const [name] = next(fit, chosen);
    const node = fit.find((it) => it.name === name);
    if (node === undefined) break;
    chosen = [...chosen, node];
  }
  return chosen.map(({ name }) => name).toSorted();
}

/** Who comes next: nodes that are no gateways first, then those of the zones with the fewest voters. */
function next(fit: readonly NodeFacts[], chosen: readonly NodeFacts[]): readonly string[] {
  const taken = new Set(chosen.map(({ name }) => name));
  const zoneOf = ({ labels }: NodeFacts): string => labels[ZONE_LABEL] ?? '';
  const inZone = (node: NodeFacts): number => chosen.filter((it) => zoneOf(it) === zoneOf(node)).length;
  return fit
    .filter(({ name }) => !taken.has(name))
    .toSorted(
      (a, b) =>
        Number(isGateway(a)) - Number(isGateway(b)) ||
        inZone(a) - inZone(b) ||
        rendezvousWeight('voters', b.name) - rendezvousWeight('voters', a.name),
    )
    .map(({ name }) => name);
}
