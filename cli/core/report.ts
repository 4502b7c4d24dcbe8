/** What `validate` found, before it is rendered. */
import { type ClusterFacts, listed } from '../../policy/facts.ts';
import { CILIUM_POLICY_V2, type PolicyKind } from '../../policy/names.ts';
import { unjudgedCodes } from '../../policy/rules.ts';
import type { ViolationCode } from '../../policy/violationCodes.ts';
import type { Collected } from './collectManifests.ts';
import type { ReportFormat } from './command.ts';
import { EXIT_FINE, EXIT_NOT_FINE } from './command.ts';
import type { JudgedPolicy } from './judgeManifests.ts';
import { renderReportJson } from './renderReportJson.ts';
import { renderReportSarif } from './renderReportSarif.ts';
import { renderReportText } from './renderReportText.ts';

/** Where facts came from: nowhere, a file by its name, a live cluster by its server's address. */
export type FactsOrigin =
  | { readonly kind: 'none' }
  | { readonly kind: 'file'; readonly name: string }
  | { readonly kind: 'live'; readonly server: string };

export interface Report extends Pick<Collected, 'documents' | 'ignored'> {
  readonly origin: FactsOrigin;
  readonly files: number;
  readonly policies: readonly JudgedPolicy[];
  /** What could not be judged at all, for want of facts. */
  readonly notJudged: readonly ViolationCode[];
  /** What was judged among the files' policies alone. */
  readonly amongFilesOnly: readonly ViolationCode[];
  readonly denied: number;
  readonly violations: number;
  readonly warnings: number;
}

export function createReport(
  known: Pick<Report, 'origin' | 'files' | 'policies' | 'documents' | 'ignored'>,
  facts: ClusterFacts,
): Report {
  const findings = known.policies.flatMap((policy) => policy.findings);
  return {
    ...known,
    ...gapsOf(known.policies, facts),
    denied: known.policies.filter(({ verdict }) => verdict === 'denied').length,
    violations: findings.filter(({ verdict }) => verdict === 'deny').length,
    warnings: findings.filter(({ verdict }) => verdict === 'warn').length,
  };
}

/** What the facts do not suffice for, apart from what the files' own policies make up for. */
function gapsOf(
  policies: readonly JudgedPolicy[],
  facts: ClusterFacts,
): Pick<Report, 'notJudged' | 'amongFilesOnly'> {
  const hasCiliums = policies.some(({ judgedAs }) => judgedAs === CILIUM_POLICY_V2);
  const notJudged = unjudgedCodes({ ...facts, policies: listed(facts.policies) });
  const amongFilesOnly = unjudgedCodes(facts).filter((code) => !notJudged.includes(code));
  return {
    notJudged,
    amongFilesOnly: [
      ...amongFilesOnly,
      ...(hasCiliums && facts.policies === 'unknown' ? (['cegp-v2-managed-pool'] as const) : []),
      ...(hasCiliums && facts.ciliumPolicies === 'unknown' ? (['cegp-v2-ambiguous'] as const) : []),
    ],
  };
}

export function kindOf({ judgedAs }: Pick<JudgedPolicy, 'judgedAs'>): PolicyKind {
  return judgedAs === CILIUM_POLICY_V2 ? 'CiliumEgressGatewayPolicy' : judgedAs;
}

export function apiVersionOf({ judgedAs }: Pick<JudgedPolicy, 'judgedAs'>): string {
  switch (judgedAs) {
    case 'CiliumEgressGatewayPolicy':
      return 'cilium.io/v1alpha1';
    case 'EgressPolicy':
      return 'sallyport.dev/v1alpha1';
    case CILIUM_POLICY_V2:
      return 'cilium.io/v2';
    default:
      return judgedAs satisfies never;
  }
}

export function exitCodeOf({ violations, warnings }: Report, strict: boolean): number {
  return violations > 0 || (strict && warnings > 0) ? EXIT_NOT_FINE : EXIT_FINE;
}

export function renderReport(report: Report, format: ReportFormat): string {
  switch (format) {
    case 'text':
      return renderReportText(report);
    case 'json':
      return renderReportJson(report);
    case 'sarif':
      return renderReportSarif(report);
    default:
      return format satisfies never;
  }
}
