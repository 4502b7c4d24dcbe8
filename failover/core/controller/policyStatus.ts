/**
 * Decides a policy's status. `Accepted`: it is served, or why not. `Programmed`: for each of its addresses the holder
 * answers at the current epoch and forwards the current port blocks, and nodes with pods that it selects have this generation of it
 * in their kernel. `Available`: pods get out, and what would happen if a gateway died.
 */
import { formatAddress } from '../../../policy/address.ts';
import { formatTimestamp } from '../../../policy/timestamp.ts';
import type { Verdict } from './acceptance.ts';
import type {
  Condition,
  ControllerView,
  EgressIpStatus,
  PolicyObject,
  PolicyStatus,
} from './controllerView.ts';
import type { AddressPlan } from './planAddresses.ts';
import { answererOf, isAnnounced, statementOn } from './proofs.ts';
import { statementIndex } from './statementIndex.ts';

/** An address of the policy as it stands in the API, with its plan. */
export interface ServedAddress {
  readonly plan: AddressPlan;
  readonly status: EgressIpStatus;
}

/** Why a policy that is available has less than its nodes want. */
export const PORTS_EXHAUSTED = 'PortsExhausted';
/** `kubectl get` shows this many addresses; the rest are counted. */
const ADDRESSES_SHOWN_MAX = 3;
/** Nodes named in a message; the rest are counted. */
const NODES_SHOWN_MAX = 5;

interface Finding {
  readonly holds: boolean;
  readonly reason: string;
  readonly message: string;
}

export function decidePolicyStatus(
  object: PolicyObject,
  known: { readonly verdict: Verdict | undefined; readonly served: readonly ServedAddress[] },
  context: {
    readonly view: ControllerView;
    readonly uneven: ReadonlySet<string>;
    readonly wallMs: number;
  },
): PolicyStatus {
  const { verdict, served } = known;
  const { view, wallMs } = context;
  const accepted = judgeAcceptance(verdict);
  const programmed = judgeProgrammed(object, served, view);
  const findings: Readonly<Record<string, Finding>> = {
    Accepted: accepted,
    Programmed: accepted.holds ? programmed : notAccepted(accepted),
    Available: accepted.holds ? judgeAvailable(served, view) : notAccepted(accepted),
    ...judgeContested(verdict),
  };
  const time = formatTimestamp(wallMs);
  return {
    observedGeneration: object.generation,
    conditions: Object.entries(findings).map(([type, finding]) =>
      renderCondition(object, type, finding, time),
    ),
    addresses: served.map(({ plan, status }) => ({
      address: formatAddress(plan.claim.address),
      gateway: status.gateway,
      standbys: status.standbys,
      since: status.since,
    })),
    egress: describeEgress(served),
    selectedPods: statementIndex(view.gatewayNodes).podsSelected(object.uid),
    rebalanced: rebalancedOf(object, { accepted: accepted.holds, ...context }),
  };
}

/** The annotation's value once it was carried out; before that the one before. */
function rebalancedOf(
  { uid, parsed, status }: PolicyObject,
  { accepted, uneven }: { readonly accepted: boolean; readonly uneven: ReadonlySet<string> },
): string {
  const wish = parsed.kind === 'ok' ? (parsed.value.rebalance ?? '') : '';
  return wish === '' || (accepted && !uneven.has(uid)) ? wish : (status?.rebalanced ?? '');
}

function judgeAcceptance(verdict: Verdict | undefined): Finding {
  if (verdict === undefined)
    return { holds: false, reason: 'Deleting', message: 'the policy is being deleted' };
  switch (verdict.kind) {
    case 'accepted':
      return { holds: true, reason: 'Accepted', message: 'its addresses are its own' };
    case 'conflicting':
      return { holds: false, reason: 'Conflicting', message: verdict.message };
    case 'invalid':
      return { holds: false, reason: 'Invalid', message: verdict.message };
    default:
      return verdict satisfies never;
  }
}

/** Is there only while it holds, as a warning is. */
function judgeContested(verdict: Verdict | undefined): Readonly<Record<string, Finding>> {
  if (verdict?.kind !== 'accepted' || verdict.contested.length === 0) return {};
  return { Contested: { holds: true, reason: 'AddressTaken', message: verdict.contested.join('; ') } };
}

function notAccepted({ reason }: Finding): Finding {
  return { holds: false, reason: 'NotAccepted', message: `not accepted: ${reason}` };
}

function judgeProgrammed(
  { uid, generation }: PolicyObject,
  served: readonly ServedAddress[],
  view: ControllerView,
): Finding {
  const missing = served.filter(({ plan: { claim } }) => {
    const { current } = claim;
    if (current === undefined || !isAnnounced(current, view)) return true;
    const statement = statementOn(view, answererOf(current, view)?.gateway ?? '', claim.address);
    return (statement?.blocksVersion ?? -1) < current.blocksVersion;
  });
  if (served.length === 0)
    return { holds: false, reason: 'NoAddress', message: 'no address is assigned yet' };
  if (missing.length > 0)
    return { holds: false, reason: 'InProgress', message: `not yet at its holder: ${namesOf(missing)}` };
  const behind = nodesBehind(uid, generation, view);
  if (behind.length > 0)
    return {
      holds: false,
      reason: 'InProgress',
      message: `not yet in the kernel of nodes with its pods: ${shorten(behind, NODES_SHOWN_MAX)}`,
    };
  return {
    holds: true,
    reason: 'Programmed',
    message: 'each holder answers and forwards the current port blocks, and nodes send there',
  };
}

/** A node that is not ready, and an agent of a version that does not say, is not waited for. */
function nodesBehind(
  uid: string,
  generation: number,
  { gatewayNodes, nodes }: ControllerView,
): readonly string[] {
  return statementIndex(gatewayNodes)
    .selecting(uid)
    .filter(({ generation: held }) => held !== undefined && held < generation)
    .map(({ node }) => node)
    .filter((node) => nodes.get(node)?.ready === true)
    .toSorted();
}

function judgeAvailable(served: readonly ServedAddress[], { gatewayNodes }: ControllerView): Finding {
  const silent = served.filter(({ status }) => status.gateway === '');
  const unplaced = silent.filter(({ plan }) => plan.eligible.length === 0);
  if (unplaced.length > 0)
    return { holds: false, reason: 'NoGateway', message: `no gateway is eligible for ${namesOf(unplaced)}` };
  if (served.length === 0 || silent.length > 0)
    return { holds: false, reason: 'NotAnswered', message: `no gateway answers yet for ${namesOf(silent)}` };
  const ill = served.filter(({ status }) => gatewayNodes.get(status.gateway)?.healthy === false);
  if (ill.length > 0)
    return {
      holds: true,
      reason: 'GatewayUnhealthy',
      message: `answered by gateways that report to be unhealthy: ${namesOf(ill)}`,
    };
  const starved = [...new Set(served.flatMap(({ plan }) => plan.exhausted))].toSorted();
  if (starved.length > 0)
    return {
      holds: true,
      reason: PORTS_EXHAUSTED,
      message: `no free ports for nodes ${shorten(starved, NODES_SHOWN_MAX)}`,
    };
  const single = served.filter(({ status }) => status.standbys.length === 0);
  if (single.length > 0)
    return {
      holds: true,
      reason: 'SingleGateway',
      message: `no other gateway could take over ${namesOf(single)}`,
    };
  return { holds: true, reason: 'Redundant', message: 'each address has a gateway and a standby' };
}

function namesOf(served: readonly ServedAddress[]): string {
  return shorten(
    served.map(({ plan }) => formatAddress(plan.claim.address)),
    ADDRESSES_SHOWN_MAX,
  );
}

function describeEgress(served: readonly ServedAddress[]): string {
  const texts = served.map(({ plan, status }) => {
    const address = formatAddress(plan.claim.address);
    return status.gateway === '' ? address : `${address}@${status.gateway}`;
  });
  return shorten(texts, ADDRESSES_SHOWN_MAX);
}

function shorten(texts: readonly string[], max: number): string {
  const shown = texts.slice(0, max).join(', ');
  return texts.length > max ? `${shown} and ${texts.length - max} more` : shown;
}

function renderCondition(
  { status, generation }: PolicyObject,
  type: string,
  { holds, reason, message }: Finding,
  time: string,
): Condition {
  const before = status?.conditions.find((it) => it.type === type);
  const value = holds ? 'True' : 'False';
  const lastTransitionTime = before?.status === value ? before.lastTransitionTime : time;
  return { type, status: value, reason, message, observedGeneration: generation, lastTransitionTime };
}
