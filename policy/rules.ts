/**
 * The rules that a policy is judged by beyond its own syntax, against facts about the cluster. Webhook, controller and
 * `validate` run the same ones; whoever calls passes the facts it has. A rule whose facts are unknown says nothing.
 */
import type { ClusterFacts } from './facts.ts';
import { createFactIndex, type FactIndex, type FactSource } from './index/factIndex.ts';
import type { Policy, Violation } from './model.ts';
import {
  checkClusterNetwork,
  checkEdgeAddress,
  checkLoadBalancer,
  checkNodeAddress,
  checkRouterAddress,
} from './rules/addressRules.ts';
import { checkClusterDestinations, checkExclusions, checkFamilies } from './rules/destinationRules.ts';
import {
  checkAnyGateway,
  checkGatewayCapacity,
  checkRoutable,
  checkSingleGateway,
} from './rules/gatewayRules.ts';
import { checkOverlap, checkSelfOverlap, checkSpecialUse, checkTooLarge } from './rules/poolRules.ts';
import { DEFAULT_RULE_SETTINGS, type Occasion, type Rule, type RuleSettings } from './rules/ruleContext.ts';
import { checkAmbiguous, checkSelectorEmpty } from './rules/selectorRules.ts';
import { checkInUse, checkPorts } from './rules/useRules.ts';
import type { ViolationCode } from './violationCodes.ts';

export { DEFAULT_RULE_SETTINGS, type Occasion, type RuleSettings } from './rules/ruleContext.ts';

/** Each with what it needs: without one of these sources it says nothing. One of a nested list is enough. */
const RULES: readonly {
  readonly code: ViolationCode;
  readonly check: Rule;
  readonly needs: readonly (FactSource | readonly FactSource[])[];
}[] = [
  { code: 'special-use', check: checkSpecialUse, needs: [] },
  { code: 'pool-overlap-self', check: checkSelfOverlap, needs: [] },
  { code: 'pool-too-large', check: checkTooLarge, needs: [] },
  { code: 'pool-overlap', check: checkOverlap, needs: ['policies'] },
  { code: 'pool-node-address', check: checkNodeAddress, needs: [['nodes', 'gateways']] },
  { code: 'pool-cluster-network', check: checkClusterNetwork, needs: [['networks', 'nodes']] },
  { code: 'pool-router-address', check: checkRouterAddress, needs: ['gateways'] },
  { code: 'pool-edge-address', check: checkEdgeAddress, needs: ['nodes', 'gateways'] },
  { code: 'pool-load-balancer', check: checkLoadBalancer, needs: ['loadBalancers'] },
  { code: 'pool-unroutable', check: checkRoutable, needs: ['nodes', 'gateways'] },
  { code: 'no-gateway', check: checkAnyGateway, needs: ['nodes', 'gateways'] },
  { code: 'pool-single-gateway', check: checkSingleGateway, needs: ['nodes', 'gateways'] },
  { code: 'pool-capacity', check: checkGatewayCapacity, needs: ['nodes', 'gateways'] },
  { code: 'pool-capacity', check: checkPorts, needs: ['pods', 'namespaces', 'nodes'] },
  { code: 'pool-in-use', check: checkInUse, needs: ['egressIps', 'gateways'] },
  { code: 'family-mismatch', check: checkFamilies, needs: [] },
  { code: 'excluded-outside', check: checkExclusions, needs: [] },
  { code: 'destination-cluster', check: checkClusterDestinations, needs: [['networks', 'nodes']] },
  { code: 'selector-empty', check: checkSelectorEmpty, needs: [] },
  { code: 'policy-ambiguous', check: checkAmbiguous, needs: ['policies'] },
];

export interface CheckOptions {
  /** Default: somebody asks to create it. */
  readonly occasion?: Occasion;
  readonly settings?: RuleSettings;
}

/** All violations, denials and warnings, by rule and then in the order of the policy's fields. */
export function checkPolicy(
  policy: Policy,
  facts: ClusterFacts,
  options: CheckOptions = {},
): readonly Violation[] {
  return judgePolicy(policy, createFactIndex(facts), options);
}

/** The same for whoever asks often: an index is made once and follows the cluster. */
export function judgePolicy(
  policy: Policy,
  index: FactIndex,
  { occasion = { kind: 'create' }, settings = DEFAULT_RULE_SETTINGS }: CheckOptions = {},
): readonly Violation[] {
  const context = { index, settings, occasion, gateways: index.nodes.choose(policy.gatewaySelector) };
  const knows = (source: FactSource): boolean => index.known.has(source);
  return RULES.flatMap((rule) => (canJudge(rule, knows) ? rule.check(policy, context) : []));
}

/** Codes of rules that say nothing because what they need is unknown: "no violation" does not mean them. */
export function unjudgedCodes(facts: ClusterFacts): readonly ViolationCode[] {
  const known = (source: FactSource): boolean => facts[source] !== 'unknown';
  return [...new Set(RULES.filter((rule) => !canJudge(rule, known)).map(({ code }) => code))];
}

function canJudge({ needs }: (typeof RULES)[number], known: (source: FactSource) => boolean): boolean {
  return needs.every((need) => (typeof need === 'string' ? known(need) : need.some(known)));
}
