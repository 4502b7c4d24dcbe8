/**
 * Wrongs that the checker must find: a simulator that finds none of them shows nothing. Most are a patch of one line of
 * the core, some are wrongs of the world around it (`WorldBug`).
 */

import type { WorldBug } from './ground.ts';
import type { Scenario } from './playScenario.ts';
import {
  A_STALL_MEETS_EVERY_STANDBY,
  A_VOTER_FORGETS_ITS_VERDICT,
  AN_ARMING_FAILS_AND_ITS_RIGHT_GOES,
  CALLED_DEAD_BY_ONE_AND_LATER_BY_ANOTHER,
  ENDED_WHILE_ITS_LEASE_IS_RENEWED,
  GRANTED_AT_THE_LAST_MOMENT_AND_NOT_HEARD_AGAIN,
  HEARD_BY_ONE_THAT_CALLED_IT_DEAD,
  NOBODY_HEARS_THE_STANDBYS,
  OLD_VOTERS_LEARN_AT_THE_LAST_MOMENT,
  ONE_HALF_LEARNS_OF_NEW_VOTERS,
  RESTARTED_AGENTS_KNOW_OLD_VOTERS,
  THAWED_AMONG_VOTERS_THAT_FORGOT,
  THAWED_WITH_THE_LAST_WORD,
  THE_HOLDER_IS_NOT_ANSWERED,
  THE_NEXT_HOLDER_DIES_BEFORE_IT_ASKS,
} from './scenarios.ts';

export interface Patch {
  /** In failover/core. */
  readonly file: string;
  readonly edits: readonly Edit[];
}

interface Edit {
  /** Where it is another one than the patch's. */
  readonly file?: string;
  /** Occurs exactly once there; the table is brought up to date when the core changes. */
  readonly find: string;
  readonly replace: string;
}

export type PlantedBug = {
  readonly name: string;
  /** The seed that found it last is tried before all others; it goes stale when the world changes. */
  readonly lastSeen?: number;
} & (
  | { readonly patch: Patch; readonly world?: never }
  /** The patch takes away a rule that stands behind what is wrong. */
  | { readonly world: WorldBug; readonly patch?: Patch }
);

/** Seeds that found a bug last, where the first does not; `hunt.ts` prints them. */
const LAST_SEEN: Readonly<Record<string, number>> = {
  'names instead of sessions': 12,
  'no fence': 2,
  'margin 0': 42,
  'margin 1+ρ without g': 80,
  'revival without generations': 6,
  'fence not inherited': 167,
  'fence of the old owner only': 47,
  'who was heard to answer is not asked': 77,
  'epochs that were lost are given again': 92,
  'statements never expire': 397,
  'no retraction wait': 90,
  'a right that was given up is used': 2,
  'a gateway names itself first': 13,
  'whom a lost assignment names is not fenced': 77,
  'release before the kernel confirmed': 3,
  're-arming with the remaining time': 42,
  'no flush before a new session': 19,
  'blind write': 14,
  'epochs begin anew with a new object': 12,
  'a lease that stood still proves a death': 29,
  'an address is announced once': 27,
};

function patched(name: string, file: string, find: string, replace: string): PlantedBug {
  return { name, patch: { file, edits: [{ find, replace }] }, ...lastSeen(name) };
}

/** Of a rule that another one stands behind, which goes as well. */
function patchedTwice(name: string, file: string, ...edits: readonly Edit[]): PlantedBug {
  return { name, patch: { file, edits }, ...lastSeen(name) };
}

function lastSeen(name: string): Pick<PlantedBug, 'lastSeen'> {
  const seed = LAST_SEEN[name];
  return seed === undefined ? {} : { lastSeen: seed };
}

function wrongWorld(world: WorldBug): PlantedBug {
  return { name: world, world, ...lastSeen(world) };
}

const ADDRESSES = 'ownership/addresses.ts';
const CANDIDACY = 'ownership/candidacy.ts';
const DEATHS = 'ownership/deaths.ts';
const DURATIONS = 'ownership/durations.ts';
const EXTENSION = 'ownership/sessionExtension.ts';
const PEER_SESSION = 'ownership/peerSession.ts';
const VOTER = 'ownership/voter.ts';
const VOTER_ENTRY = 'ownership/voterEntry.ts';
// biome-ignore lint/suspicious/noTemplateCurlyInString: source text.
const GENERATION = 'generation: `${incarnation}.${retractions}`';
const PLAN = 'controller/planEgressIp.ts';

const PROMISE = 'return (sessionMs + 2 * KERNEL_TIMER_MS) * CLOCK_RATE_MARGIN;';
const MARGIN_WITHOUT_G = 'return sessionMs * (1 + CLOCK_RATE_ERROR);';
const FRESH = 'nowMs < it.freshUntilMs && it.configVersion <= config.version';
const HEARD = 'who was heard to answer is not asked';
/** Stands behind every fence. */
const UNHEARD: Edit = {
  file: CANDIDACY,
  find: 'withHeard(fence, others.heard?.session)',
  replace: 'withHeard(fence, undefined)',
};
/** Whoever hears of a higher right lets go: what would be two answerers for long is two for a message's way. */
const DEAF: Edit = {
  file: ADDRESSES,
  find: 'if (isOvertaken(state, gateway)) return',
  replace: 'if (gateway.nowMs < 0) return',
};
const LOST = 'const lost = proofs.statedAbove(current);';
const FENCE_OF_THE_ORDER = 'const entries = [...order];';
const FENCE = 'const entries = [...fence, ...order, ...(lost?.sessions ?? [])];';

/** Found by seeds drawn at random. */
export const PLANTED_BUGS: readonly PlantedBug[] = [
  patched(
    'names instead of sessions',
    CANDIDACY,
    'return a.gateway === b.gateway && a.session === b.session;',
    'return a.gateway === b.gateway;',
  ),
  patched(
    'no fence',
    CANDIDACY,
    'return withHeard(fence, others.heard?.session).filter(',
    'return fence.slice(0, 0).filter(',
  ),
  patched(
    'one voter suffices',
    'ownership/voterConfig.ts',
    'return Math.floor(set.length / 2) + 1;',
    'return Math.min(set.length, 1);',
  ),
  patched('margin 0', DURATIONS, PROMISE, 'return sessionMs;'),
  patched('margin 1+ρ without g', DURATIONS, PROMISE, MARGIN_WITHOUT_G),
  patched(
    'revival without generations',
    EXTENSION,
    'baseline !== undefined && now !== undefined && baseline.grants.get(voter)?.generation !== now.generation',
    'false',
  ),
  patchedTwice('fence not inherited', PLAN, { find: FENCE, replace: FENCE_OF_THE_ORDER }, UNHEARD),
  patchedTwice(
    'fence of the old owner only',
    PLAN,
    { find: FENCE, replace: 'const entries = [...fence, ...order.slice(0, 1)];' },
    UNHEARD,
  ),
  patchedTwice(
    HEARD,
    CANDIDACY,
    UNHEARD,
    // After a restore the fence has whoever is named in what was lost.
    { file: PLAN, find: FENCE, replace: 'const entries = [...fence, ...order];' },
  ),
  patched('epochs that were lost are given again', PLAN, LOST, 'const lost = undefined;'),
  patchedTwice(
    'whom a lost assignment names is not fenced',
    PLAN,
    { find: FENCE, replace: 'const entries = [...fence, ...order];' },
    UNHEARD,
    DEAF,
  ),
  patchedTwice(
    'statements never expire',
    DEATHS,
    { find: FRESH, replace: 'it.configVersion <= config.version' },
    UNHEARD,
    DEAF,
  ),
  patchedTwice(
    'no retraction wait',
    VOTER,
    {
      find: 'const untilMs = nowMs + state.durations.retractionMs;',
      replace: 'const untilMs = nowMs;',
    },
    { find: GENERATION, replace: 'generation: incarnation' },
  ),
  patched(
    'a right that was given up is used',
    ADDRESSES,
    'if (candidacy === undefined || candidacy.right.epoch < state.releasedEpoch)',
    'if (candidacy === undefined)',
  ),
  patchedTwice(
    'a gateway names itself first',
    'agent/joinOrders.ts',
    { find: 'order: [...egressIp.order, self]', replace: 'order: [self, ...egressIp.order]' },
    // Agents would not take another order of the epoch that they know.
    {
      file: 'ownership/assignment.ts',
      find: 'if (epoch !== known.epoch) return epoch > known.epoch;',
      replace: 'return epoch >= known.epoch;',
    },
    UNHEARD,
    DEAF,
  ),
  wrongWorld('user-space fence only'),
  wrongWorld('release before the kernel confirmed'),
  wrongWorld('validity from the answer'),
  wrongWorld('re-arming with the remaining time'),
  wrongWorld('no flush before a new session'),
  wrongWorld('blind write'),
  wrongWorld('epochs begin anew with a new object'),
  {
    ...wrongWorld('a lease that stood still proves a death'),
    patch: { file: ADDRESSES, edits: [UNHEARD, DEAF] },
  },
  wrongWorld('an address is announced once'),
];

/** Found by the scenario that is made for them; a few clock rates and delays are tried. */
export const DIRECTED_BUGS: readonly { readonly bug: PlantedBug; readonly scenario: Scenario }[] = [
  {
    scenario: A_VOTER_FORGETS_ITS_VERDICT,
    bug: patchedTwice(
      'no start silence',
      VOTER,
      {
        find: 'const silentUntilMs = nowMs + options.durations.startSilenceMs;',
        replace: 'const silentUntilMs = nowMs;',
      },
      { find: GENERATION, replace: 'generation: String(retractions)' },
    ),
  },
  {
    scenario: GRANTED_AT_THE_LAST_MOMENT_AND_NOT_HEARD_AGAIN,
    bug: patched('margin 1+ρ without g, extreme clocks', DURATIONS, PROMISE, MARGIN_WITHOUT_G),
  },
  {
    scenario: GRANTED_AT_THE_LAST_MOMENT_AND_NOT_HEARD_AGAIN,
    bug: patched(
      'margin with one g of two',
      DURATIONS,
      PROMISE,
      'return (sessionMs + KERNEL_TIMER_MS) * CLOCK_RATE_MARGIN;',
    ),
  },
  {
    scenario: THE_NEXT_HOLDER_DIES_BEFORE_IT_ASKS,
    bug: patchedTwice(
      'fence not inherited, two moves',
      PLAN,
      { find: FENCE, replace: FENCE_OF_THE_ORDER },
      UNHEARD,
    ),
  },
  {
    scenario: CALLED_DEAD_BY_ONE_AND_LATER_BY_ANOTHER,
    bug: patched(
      'statements never expire, one voter after another',
      DEATHS,
      FRESH,
      'it.configVersion <= config.version',
    ),
  },
  {
    scenario: ENDED_WHILE_ITS_LEASE_IS_RENEWED,
    bug: {
      ...wrongWorld('the Lease is closed before the hand-over'),
      patch: { file: ADDRESSES, edits: [UNHEARD, DEAF] },
    },
  },
  { scenario: ONE_HALF_LEARNS_OF_NEW_VOTERS, bug: wrongWorld('no wait for the old voters') },
  { scenario: ONE_HALF_LEARNS_OF_NEW_VOTERS, bug: wrongWorld('no joint configuration') },
  { scenario: OLD_VOTERS_LEARN_AT_THE_LAST_MOMENT, bug: wrongWorld('no final wait') },
  { scenario: RESTARTED_AGENTS_KNOW_OLD_VOTERS, bug: wrongWorld('older configuration after a restart') },
  {
    scenario: HEARD_BY_ONE_THAT_CALLED_IT_DEAD,
    bug: patchedTwice(
      'the kernel hangs on whatever a majority granted',
      EXTENSION,
      { find: 'wasCalledDead(session, voter) ? undefined : granted(voter);', replace: 'granted(voter);' },
      DEAF,
    ),
  },
  {
    scenario: THAWED_AMONG_VOTERS_THAT_FORGOT,
    bug: patchedTwice(
      'generations are asked for only after a lapse',
      PEER_SESSION,
      {
        find: 'decideExtension(peer, config)',
        replace:
          'decideExtension(nowMs <= peer.validUntilMs ? { ...peer, baseline: undefined } : peer, config)',
      },
      DEAF,
    ),
  },
  {
    scenario: A_STALL_MEETS_EVERY_STANDBY,
    bug: patched(
      'whoever is not heard is called dead',
      VOTER_ENTRY,
      'if (awaits === undefined) byAll',
      'if (awaits === undefined || awaits.length >= 0) byAll',
    ),
  },
  {
    scenario: A_STALL_MEETS_EVERY_STANDBY,
    bug: patched(
      'nobody is waited for',
      ADDRESSES,
      'if (first !== undefined) return [first];',
      'if (first !== undefined) return [];',
    ),
  },
  {
    scenario: THE_HOLDER_IS_NOT_ANSWERED,
    bug: patched(
      'a session that is not answered goes on beating',
      PEER_SESSION,
      '? 2 * durations.promiseMs :',
      '? durations.heartbeatMs :',
    ),
  },
  {
    scenario: NOBODY_HEARS_THE_STANDBYS,
    bug: patched(
      'a session that is not answered ends',
      PEER_SESSION,
      'if (nowMs < peer.nextBeatMs || peer.inserting !== undefined) return stay(peer);',
      "if (isUnheard(peer, durations, nowMs)) return over(peer, 'no-majority');\n  if (nowMs < peer.nextBeatMs || peer.inserting !== undefined) return stay(peer);",
    ),
  },
  {
    scenario: AN_ARMING_FAILS_AND_ITS_RIGHT_GOES,
    bug: patched(
      'a failed arming is taken for silence',
      ADDRESSES,
      'return disarm(state, outcome.address, self);\n}\n\n/** The kernel answers no more',
      "return stay({ ...state, kernel: { kind: 'silent' } });\n}\n\n/** The kernel answers no more",
    ),
  },
  {
    scenario: THAWED_WITH_THE_LAST_WORD,
    bug: patched(
      'nobody is told again of what has not changed',
      'ownership/announceArmed.ts',
      'if (after.refreshMs === undefined || nowMs < after.refreshMs) return',
      'if (nowMs > 0) return',
    ),
  },
];
