/**
 * Judges policies in the order in which they would be applied: each against the cluster and against those before it that
 * were not refused. Fills in defaults first, then runs the parser and the rules that the webhook runs. Relies on facts
 * that somebody else read; without any, what only a cluster shows is left unjudged.
 */
import { type ClusterFacts, listed } from '../../policy/facts.ts';
import { createFactIndex, type FactIndex } from '../../policy/index/factIndex.ts';
import type { Policy, Violation } from '../../policy/model.ts';
import { CILIUM_POLICY_V2, type PolicyKind } from '../../policy/names.ts';
import { parseCiliumPolicy } from '../../policy/parseCiliumPolicy.ts';
import { parsePolicy } from '../../policy/parsePolicy.ts';
import { judgeCiliumPolicy } from '../../policy/rules/ciliumRules.ts';
import { judgePolicy, type RuleSettings } from '../../policy/rules.ts';
import { completeObject } from '../../policy/setDefaults.ts';
import type { Manifest } from './collectManifests.ts';
import type { Place } from './sourceDocument.ts';

export interface Finding extends Violation, Place {}

export interface JudgedPolicy extends Pick<Manifest, 'file' | 'document' | 'judgedAs' | 'name'>, Place {
  readonly verdict: 'allowed' | 'denied';
  /** In the order in which they stand in the file. */
  readonly findings: readonly Finding[];
}

/** What would be stored if all were applied: the cluster's policies, changed by the manifests that are not refused. */
interface Stored {
  readonly index: FactIndex;
  readonly policies: Map<string, Policy>;
  readonly ciliumPolicies: Map<string, NonNullable<ReturnType<typeof parseCiliumPolicy>>>;
}

/** @param facts of the cluster. Unknown policies count as none: the manifests are judged among themselves. */
export function judgeManifests(
  manifests: readonly Manifest[],
  facts: ClusterFacts,
  settings: RuleSettings,
): readonly JudgedPolicy[] {
  const [policies, ciliumPolicies] = [listed(facts.policies), listed(facts.ciliumPolicies)];
  const stored: Stored = {
    index: createFactIndex({ ...facts, policies, ciliumPolicies }),
    policies: new Map(policies.map((policy) => [keyOf(policy.ref.kind, policy.ref.name), policy])),
    ciliumPolicies: new Map(ciliumPolicies.map((policy) => [policy.name, policy])),
  };
  return manifests.map((manifest) => {
    const { violations, store } = judge(manifest, stored, settings);
    const all = [...manifest.problems, ...violations];
    const denied = all.some(({ verdict }) => verdict === 'deny');
    if (!denied) store();
    const { file, document, judgedAs, name } = manifest;
    return {
      ...{ file, document, judgedAs, name, ...manifest.locate('') },
      verdict: denied ? 'denied' : 'allowed',
      findings: all
        .map((violation) => ({ ...violation, ...manifest.locate(violation.path) }))
        .toSorted((a, b) => a.line - b.line || a.column - b.column),
    };
  });
}

interface Judgement {
  readonly violations: readonly Violation[];
  /** Makes it a part of what the next one is held against. */
  store(): void;
}

function judge(manifest: Manifest, stored: Stored, settings: RuleSettings): Judgement {
  return manifest.judgedAs === CILIUM_POLICY_V2
    ? judgeCilium(manifest, stored)
    : judgeOwn(manifest, manifest.judgedAs, { stored, settings });
}

function judgeOwn(
  { raw, name }: Manifest,
  kind: PolicyKind,
  { stored, settings }: { readonly stored: Stored; readonly settings: RuleSettings },
): Judgement {
  // As the mutating webhook's patch does: a bare address, which it completes, is no violation.
  const parsed = parsePolicy(completeObject(raw), kind);
  if (parsed.kind === 'refused') return { violations: parsed.error, store: () => {} };
  const key = keyOf(kind, name);
  const before = stored.policies.get(key);
  // The API server gives an update the uid and the age of what it updates.
  const policy = { ...parsed.value, ref: before?.ref ?? { ...parsed.value.ref, name } };
  const occasion =
    before === undefined ? ({ kind: 'create' } as const) : ({ kind: 'update', before } as const);
  return {
    violations: judgePolicy(policy, stored.index, { occasion, settings }),
    store: () => {
      stored.index.replace('policies', before, policy);
      stored.policies.set(key, policy);
    },
  };
}

/** Cilium's own kind: only what would quarrel with a pool here, or with another of its kind. */
function judgeCilium({ raw }: Manifest, { index, ciliumPolicies }: Stored): Judgement {
  const policy = parseCiliumPolicy(raw);
  if (policy === undefined) return { violations: [], store: () => {} };
  return {
    violations: judgeCiliumPolicy(policy, index),
    store: () => {
      index.replace('ciliumPolicies', ciliumPolicies.get(policy.name), policy);
      ciliumPolicies.set(policy.name, policy);
    },
  };
}

function keyOf(kind: PolicyKind, name: string): string {
  return `${kind}/${name}`;
}
