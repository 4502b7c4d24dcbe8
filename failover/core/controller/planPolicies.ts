/**
 * Decides what is written to each policy: the finalizer while it is served, its status, and the finalizer's end once
 * nothing of a deleted policy is left: no EgressIP names it, and nobody may still answer for an address of it alone.
 */
import { rangeContains } from '../../../policy/cidr.ts';
import { RangeIndex } from '../../../policy/index/rangeIndex.ts';
import type { Address } from '../../../policy/model.ts';
import { FINALIZER, REBALANCE_ANNOTATION } from '../../../policy/names.ts';
import type { Verdict } from './acceptance.ts';
import { isReleased, namings } from './claims.ts';
import type { ControllerEffect, WriteEffect } from './controllerEvents.ts';
import type { ControllerView, EgressIpStatus, PolicyObject, PolicyStatus } from './controllerView.ts';
import type { AddressPlan } from './planAddresses.ts';
import { decidePolicyStatus, PORTS_EXHAUSTED, type ServedAddress } from './policyStatus.ts';

export interface PolicyWrite {
  readonly uid: string;
  readonly write: WriteEffect;
  /** To be recorded when the write is asked for. */
  readonly events: readonly ControllerEffect[];
}

interface Known {
  readonly view: ControllerView;
  readonly verdicts: ReadonlyMap<string, Verdict>;
  readonly plans: readonly AddressPlan[];
  /** EgressIP name → its status as it should be. */
  readonly statuses: ReadonlyMap<string, EgressIpStatus>;
  /** Policies, by uid, that asked for an even spread and do not have it yet. */
  readonly uneven: ReadonlySet<string>;
  readonly wallMs: number;
}

/** At most one write a policy: the rest follows when that was answered. */
export function planPolicies(known: Known): readonly PolicyWrite[] {
  const served = servedByPolicy(known);
  const remnants = remnantsIn(known.view);
  return known.view.policies.flatMap((object): readonly PolicyWrite[] => {
    const verdict = known.verdicts.get(object.uid);
    const finalizers = planFinalizers(object, verdict, remnants);
    if (finalizers !== undefined)
      return [
        { uid: object.uid, write: { kind: 'write-finalizers', ...refOf(object), finalizers }, events: [] },
      ];
    const status = decidePolicyStatus(object, { verdict, served: served.get(object.uid) ?? [] }, known);
    if (JSON.stringify(status) === JSON.stringify(object.status)) return [];
    return [
      {
        uid: object.uid,
        write: { kind: 'write-policy-status', ...refOf(object), status },
        events: [
          ...refusalEvents(object, status),
          ...contestEvents(object, status),
          ...rebalanceEvents(object, status),
          ...exhaustionEvents(object, status),
        ],
      },
    ];
  });
}

function refOf({ kind, name, resourceVersion }: PolicyObject) {
  return { policyKind: kind, name, resourceVersion };
}

/** The list as it should be, or undefined where it is right. */
function planFinalizers(
  object: PolicyObject,
  verdict: Verdict | undefined,
  remnants: Remnants,
): readonly string[] | undefined {
  const { finalizers, deleting } = object;
  const present = finalizers.includes(FINALIZER);
  if (!deleting) return verdict?.kind === 'accepted' && !present ? [...finalizers, FINALIZER] : undefined;
  if (!present || !hasLetGo(object, remnants)) return undefined;
  return finalizers.filter((it) => it !== FINALIZER);
}

/** What EgressIPs have of policies that may be on their way out: there may be thousands of both. */
interface Remnants {
  /** Uids of policies that an EgressIP names. */
  readonly named: ReadonlySet<string>;
  /** Nobody owns them any more, and somebody may answer still. */
  readonly unreleased: RangeIndex<Address>;
}

function remnantsIn(view: ControllerView): Remnants {
  const egressIps = view.policies.some(({ deleting }) => deleting) ? namings(view) : [];
  const unreleased = egressIps.filter((it) => it.policies.length === 0 && !isReleased(it));
  return {
    named: new Set(egressIps.flatMap(({ policies }) => policies.map(({ uid }) => uid))),
    unreleased: new RangeIndex(
      ({ family, value }) => ({ family, first: value, last: value }),
      unreleased.map(({ address }) => address),
    ),
  };
}

function hasLetGo({ uid, parsed }: PolicyObject, { named, unreleased }: Remnants): boolean {
  const pools = parsed.kind === 'ok' ? parsed.value.pools : [];
  return !named.has(uid) && !pools.some(({ range }) => unreleased.overlaps(range));
}

/** Addresses that name the policy, in the order of its pools. */
function servedByPolicy({ plans, statuses, view }: Known): ReadonlyMap<string, readonly ServedAddress[]> {
  const served = new Map<string, ServedAddress[]>();
  for (const plan of plans) {
    const status = statuses.get(plan.claim.name);
    if (status === undefined) continue;
    for (const { uid } of plan.claim.current?.policies ?? []) {
      const list = served.get(uid);
      if (list === undefined) served.set(uid, [{ plan, status }]);
      else list.push({ plan, status });
    }
  }
  for (const { uid, parsed } of view.policies) {
    const pools = parsed.kind === 'ok' ? parsed.value.pools : [];
    const rank = ({ plan }: ServedAddress): number =>
      pools.findIndex(({ range }) => rangeContains(range, plan.claim.address));
    served
      .get(uid)
      ?.sort(
        (a, b) => rank(a) - rank(b) || (a.plan.claim.address.value < b.plan.claim.address.value ? -1 : 1),
      );
  }
  return served;
}

/** Says once why a policy is not served, again where that changes; the status that was written is what "once" goes by. */
function refusalEvents(object: PolicyObject, status: PolicyStatus): readonly ControllerEffect[] {
  const accepted = status.conditions.find(({ type }) => type === 'Accepted');
  const before = object.status?.conditions.find(({ type }) => type === 'Accepted');
  const refused = accepted?.reason === 'Conflicting' || accepted?.reason === 'Invalid';
  const told = before?.reason === accepted?.reason && before?.message === accepted?.message;
  if (!refused || told) return [];
  const { kind, name, uid } = object;
  return [
    {
      kind: 'record-event',
      regarding: { kind, name, uid },
      type: 'Warning',
      reason: accepted.reason,
      message: accepted.message,
    },
  ];
}

/** Says once that something else in the cluster has an address of a policy that is served. */
function contestEvents(object: PolicyObject, status: PolicyStatus): readonly ControllerEffect[] {
  const contested = status.conditions.find(({ type }) => type === 'Contested');
  const before = object.status?.conditions.some(({ type }) => type === 'Contested') === true;
  if (contested === undefined || before) return [];
  const { kind, name, uid } = object;
  const { message } = contested;
  return [
    { kind: 'record-event', regarding: { kind, name, uid }, type: 'Warning', reason: 'Contested', message },
  ];
}

/** Says once that nodes want more ports than the policy's addresses have. */
function exhaustionEvents(object: PolicyObject, status: PolicyStatus): readonly ControllerEffect[] {
  const isExhausted = ({ reason }: PolicyStatus['conditions'][number]): boolean => reason === PORTS_EXHAUSTED;
  const now = status.conditions.find(isExhausted);
  if (now === undefined || object.status?.conditions.some(isExhausted) === true) return [];
  const { kind, name, uid } = object;
  const { reason, message } = now;
  return [{ kind: 'record-event', regarding: { kind, name, uid }, type: 'Warning', reason, message }];
}

function rebalanceEvents(object: PolicyObject, { rebalanced }: PolicyStatus): readonly ControllerEffect[] {
  if (rebalanced === '' || rebalanced === object.status?.rebalanced) return [];
  const { kind, name, uid } = object;
  const message = `its addresses are spread evenly over their gateways, as asked by ${REBALANCE_ANNOTATION}: ${rebalanced}`;
  return [
    { kind: 'record-event', regarding: { kind, name, uid }, type: 'Normal', reason: 'Rebalanced', message },
  ];
}
