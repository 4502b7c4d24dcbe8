/**
 * Decides whether a gateway is fit to hold addresses, from the outcomes of its checks: a check fails after so many failures
 * in a row, and passes again after so many successes in a row. A gateway is healthy while none of its checks fails.
 *
 * Relies on whoever probes to say `unknown` where it could not ask: that is no word about the network and moves nothing.
 * Leaves to `healthChecks` what is checked, and to the controller what an unhealthy gateway's addresses do.
 */

/** In the order in which they are said: the first explains those after it. */
const CHECK_REASONS = ['NoCarrier', 'NextHopSilent', 'ProbeFailed'] as const;
/** `Rechecking`: a former agent found it unhealthy, and what runs now has not yet seen enough to contradict. */
export const HEALTH_REASONS = [...CHECK_REASONS, 'Rechecking'] as const;
export type CheckReason = (typeof CHECK_REASONS)[number];
export type HealthReason = (typeof HEALTH_REASONS)[number];

export type ProbeOutcome =
  | { readonly kind: 'ok' }
  | { readonly kind: 'failed'; readonly detail: string }
  | { readonly kind: 'unknown'; readonly detail: string };

export interface CheckRule {
  /** The same id is the same check: its past counts. */
  readonly id: string;
  readonly reason: CheckReason;
  /** What is looked at, as the message begins: `the next hop 203.0.113.1`. */
  readonly subject: string;
  /** In a row, before it fails. */
  readonly failures: number;
  /** In a row, before it passes again. */
  readonly successes: number;
}

export interface Health {
  readonly healthy: boolean;
  /** Of all that fails, each once. */
  readonly reasons: readonly HealthReason[];
  /** Why it is unhealthy, for people; empty when healthy. */
  readonly message: string;
}

export const HEALTHY: Health = { healthy: true, reasons: [], message: '' };

interface Check {
  readonly rule: CheckRule;
  readonly verdict: 'passing' | 'failing' | 'pending';
  /** Outcomes of one kind in a row, up to now. */
  readonly streak: { readonly kind: ProbeOutcome['kind']; readonly length: number };
  /** Of the failure that made it fail: a wording that changes each time is not worth a report. */
  readonly detail: string;
}

export interface HealthState {
  /** What a former agent said of this gateway; counts until every check has a verdict of its own. */
  readonly recalled: Health;
  readonly checks: ReadonlyMap<string, Check>;
}

export type HealthEvent =
  /** What is checked from now on. */
  | { readonly kind: 'checks'; readonly rules: readonly CheckRule[] }
  | { readonly kind: 'probed'; readonly id: string; readonly outcome: ProbeOutcome };

/**
 * @param recalled what this gateway's status says at the start. An agent that is replaced must neither move the addresses
 * of a healthy gateway nor bring addresses to a broken one until it has noticed.
 */
export function initialHealth(recalled: {
  readonly healthy: boolean;
  readonly message: string;
}): HealthState {
  const { healthy, message } = recalled;
  return {
    recalled: healthy ? HEALTHY : { healthy, reasons: ['Rechecking'], message },
    checks: new Map(),
  };
}

export function stepHealth(state: HealthState, event: HealthEvent): HealthState {
  switch (event.kind) {
    case 'checks':
      return { ...state, checks: new Map(event.rules.map((rule) => [rule.id, adopt(state, rule)])) };
    case 'probed':
      return absorbOutcome(state, event.id, event.outcome);
    default:
      return event satisfies never;
  }
}

export function judgeHealth({ recalled, checks }: HealthState): Health {
  const failing = [...checks.values()].filter(({ verdict }) => verdict === 'failing');
  if (failing.length === 0) return recalled;
  const ranked = CHECK_REASONS.flatMap((reason) => failing.filter(({ rule }) => rule.reason === reason));
  return {
    healthy: false,
    reasons: CHECK_REASONS.filter((reason) => failing.some(({ rule }) => rule.reason === reason)),
    message: ranked.map(({ rule, detail }) => `${rule.subject}: ${detail}`).join('; '),
  };
}

function adopt({ checks, recalled }: HealthState, rule: CheckRule): Check {
  const known = checks.get(rule.id);
  if (known !== undefined) return { ...known, rule };
  const verdict = recalled.healthy ? 'passing' : 'pending';
  return { rule, verdict, streak: { kind: 'ok', length: 0 }, detail: '' };
}

function absorbOutcome(state: HealthState, id: string, outcome: ProbeOutcome): HealthState {
  const check = state.checks.get(id);
  if (check === undefined) return state;
  const checks = new Map(state.checks).set(id, judge(check, outcome));
  const decided = [...checks.values()].every(({ verdict }) => verdict !== 'pending');
  return { recalled: decided ? HEALTHY : state.recalled, checks };
}

function judge(check: Check, outcome: ProbeOutcome): Check {
  const { rule, verdict, streak } = check;
  const { kind } = outcome;
  // A verdict that stands is not shaken, nor is what counts towards the next; but nobody waits for one for ever.
  if (kind === 'unknown' && verdict !== 'pending') return check;
  const length = streak.kind === kind ? streak.length + 1 : 1;
  const next = { ...check, streak: { kind, length } };
  if (kind !== 'failed') return length >= rule.successes ? { ...next, verdict: 'passing' } : next;
  if (verdict === 'failing' || length < rule.failures) return next;
  return { ...next, verdict: 'failing', detail: outcome.detail };
}
