/** The report for a terminal: a line a finding in the form that editors know (`file:line:column: error: …`), then a summary. */
import { kindOf, type Report } from './report.ts';

export function renderReportText(report: Report): string {
  const findings = report.policies.flatMap((policy) =>
    policy.findings.map(({ line, column, verdict, path, message, code }) => {
      const level = verdict === 'deny' ? 'error' : 'warning';
      const what = `${kindOf(policy)} ${policy.name || '(without a name)'}`;
      return `${policy.file}:${line}:${column}: ${level}: ${what}: ${path === '' ? '' : `${path}: `}${message} (${code})`;
    }),
  );
  return [...findings, summary(report), ...unjudged(report)].map((line) => `${line}\n`).join('');
}

function summary({ policies, denied, warnings, documents, files, ignored }: Report): string {
  const where = `${count(documents, 'document')} of ${count(files, 'file')}`;
  const others = ignored === 0 ? '' : `, ${ignored} of other kinds ignored`;
  if (policies.length === 0) return `no policy in ${where}${others}`;
  const counts = `${denied} would be refused, ${count(warnings, 'warning')}`;
  return `${count(policies.length, 'policy', 'policies')} in ${where}${others}: ${counts}`;
}

function unjudged({ policies, notJudged, amongFilesOnly }: Report): readonly string[] {
  if (policies.length === 0 || notJudged.length + amongFilesOnly.length === 0) return [];
  return [
    `not judged, for want of a cluster's facts: ${notJudged.join(', ')}`,
    `judged among these files alone: ${amongFilesOnly.join(', ')}`,
    'for the rest add --live, or --cluster-facts with what `sallyport facts` wrote',
  ];
}

function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}
