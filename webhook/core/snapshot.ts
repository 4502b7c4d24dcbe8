/** What reviews are decided by: the cluster as it is known at the moment, and the settings. */
import type { ClusterFacts } from '../../policy/facts.ts';
import { createFactIndex, type FactIndex } from '../../policy/index/factIndex.ts';
import type { StatusWriters } from '../../policy/rules/statusRules.ts';
import { DEFAULT_RULE_SETTINGS, type RuleSettings } from '../../policy/rules.ts';

export interface ReviewSettings {
  readonly settings: RuleSettings;
  readonly writers: StatusWriters;
}

/** The index follows the cluster: a snapshot is good for one decision, and is asked for anew for the next. */
export interface Snapshot extends ReviewSettings {
  readonly index: FactIndex;
}

export const DEFAULT_REVIEW_SETTINGS: ReviewSettings = {
  settings: DEFAULT_RULE_SETTINGS,
  writers: {
    controller: 'system:serviceaccount:sallyport:sallyport-controller',
    agent: 'system:serviceaccount:sallyport:sallyport-agent',
  },
};

/** Of facts that do not change. */
export function createSnapshot(
  facts: ClusterFacts,
  settings: ReviewSettings = DEFAULT_REVIEW_SETTINGS,
): Snapshot {
  return { ...settings, index: createFactIndex(facts) };
}
