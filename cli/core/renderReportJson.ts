/** The report for programs. Its shape is in docs/cli.md and stays: fields are added, none is changed or taken away. */
import { apiVersionOf, type FactsOrigin, kindOf, type Report } from './report.ts';

/** Raised where a field had to change its meaning. */
const FORMAT_VERSION = 1;

export function renderReportJson(report: Report): string {
  const document = {
    formatVersion: FORMAT_VERSION,
    facts: renderOrigin(report.origin),
    notJudged: report.notJudged,
    judgedAmongFilesOnly: report.amongFilesOnly,
    summary: {
      files: report.files,
      documents: report.documents,
      ignored: report.ignored,
      policies: report.policies.length,
      denied: report.denied,
      violations: report.violations,
      warnings: report.warnings,
    },
    policies: report.policies.map((policy) => {
      const { file, document, line, column, name, verdict } = policy;
      return {
        file,
        document,
        line,
        column,
        apiVersion: apiVersionOf(policy),
        kind: kindOf(policy),
        name,
        verdict,
      };
    }),
    violations: report.policies.flatMap((policy) =>
      policy.findings.map(({ line, column, path, code, verdict, message }) => ({
        ...{ file: policy.file, line, column, kind: kindOf(policy), name: policy.name },
        ...{ path, code, verdict, message },
      })),
    ),
  };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

function renderOrigin(origin: FactsOrigin): unknown {
  switch (origin.kind) {
    case 'none':
      return { source: 'none' };
    case 'file':
      return { source: 'file', name: origin.name };
    case 'live':
      return { source: 'live', server: origin.server };
    default:
      return origin satisfies never;
  }
}
