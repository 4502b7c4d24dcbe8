/** The report as SARIF 2.1.0 (OASIS, https://docs.oasis-open.org/sarif/sarif/v2.1.0/), which code scanning services read. */
import { VIOLATION_CODES, type ViolationCode } from '../../policy/violationCodes.ts';
import type { Finding, JudgedPolicy } from './judgeManifests.ts';
import { kindOf, type Report } from './report.ts';
import { RULES } from './ruleCatalogue.ts';
import { VERSION } from './version.ts';

const SCHEMA = 'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json';

export function renderReportSarif(report: Report): string {
  const log = {
    $schema: SCHEMA,
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: { name: 'sallyport', semanticVersion: VERSION, rules: VIOLATION_CODES.map(renderRule) },
        },
        invocations: [{ executionSuccessful: true, toolExecutionNotifications: renderUnjudged(report) }],
        columnKind: 'utf16CodeUnits',
        results: report.policies.flatMap((policy) =>
          policy.findings.map((finding) => renderResult(policy, finding)),
        ),
      },
    ],
  };
  return `${JSON.stringify(log, undefined, 2)}\n`;
}

function renderRule(code: ViolationCode): unknown {
  const { title, help } = RULES[code];
  return {
    id: code,
    shortDescription: { text: `${title}.` },
    help: { text: help },
    defaultConfiguration: { level: 'error' },
  };
}

function renderResult(policy: JudgedPolicy, finding: Finding): unknown {
  const { code, verdict, path, message, line, column } = finding;
  const subject = `${kindOf(policy)}/${policy.name}`;
  return {
    ruleId: code,
    ruleIndex: VIOLATION_CODES.indexOf(code),
    level: verdict === 'deny' ? 'error' : 'warning',
    message: { text: path === '' ? message : `${path}: ${message}` },
    locations: [
      {
        physicalLocation: {
          artifactLocation: { uri: renderUri(policy.file) },
          region: { startLine: line, startColumn: column },
        },
        logicalLocations: [{ fullyQualifiedName: path === '' ? subject : `${subject}/${path}` }],
      },
    ],
    // What stays the same when lines are added above: the object, its field and the rule.
    partialFingerprints: { 'sallyport/v1': `${subject}/${path}/${code}` },
  };
}

/** A relative reference by RFC 3986, so that services find the file in the repository; standard input has no file. */
function renderUri(file: string): string {
  if (file === '-') return 'stdin';
  const segments = file
    .replace(/^(?:\.\/)+/, '')
    .split('/')
    .map(encodeURIComponent)
    .join('/');
  return file.startsWith('/') ? `file://${segments}` : segments;
}

function renderUnjudged({ notJudged, amongFilesOnly }: Report): readonly unknown[] {
  if (notJudged.length + amongFilesOnly.length === 0) return [];
  const text = `Not judged, for want of a cluster's facts: ${notJudged.join(', ')}. Judged among these files alone: ${amongFilesOnly.join(', ')}.`;
  return [{ level: 'note', message: { text } }];
}
