/** The webhook's certificates as tables for people or JSON for programs. */
import type { CertsStatus } from './certsStatus.ts';
import type { StatusFormat } from './command.ts';
import { renderTable } from './renderTable.ts';

/** Raised where a field had to change its meaning; docs/cli.md has the shape. */
const FORMAT_VERSION = 1;

export function renderCerts(status: CertsStatus, format: StatusFormat): string {
  if (format === 'json')
    return `${JSON.stringify({ formatVersion: FORMAT_VERSION, ...status }, undefined, 2)}\n`;
  const parts = [renderHead(status), renderCertificates(status), renderWebhooks(status)];
  if (status.replicas.length > 0) parts.push(renderReplicas(status));
  if (status.problems.length > 0) parts.push(status.problems.map((problem) => `${problem}\n`).join(''));
  return parts.join('\n');
}

function renderHead({ mode, namespace, secret, phase, since, asked }: CertsStatus): string {
  const wish = asked === '' ? '' : `; a new ${asked} is asked for`;
  const rotation = phase === '' ? '' : `, ${phase}${since === '' ? '' : ` since ${since}`}${wish}`;
  return `${mode}: Secret ${namespace}/${secret}${rotation}\n`;
}

function renderCertificates({ certificates }: CertsStatus): string {
  return renderTable(
    ['CERTIFICATE', 'ROLE', 'EXPIRES', 'SIGNED BY', 'SUBJECT'],
    certificates.map(({ id, role, expires, signedBy, subject }) => [id, role, expires, signedBy, subject]),
  );
}

function renderWebhooks({ webhooks }: CertsStatus): string {
  return renderTable(
    ['WEBHOOK', 'CONFIGURATION', 'TRUSTS THE LEAF', 'CAS'],
    webhooks.map((it) => [it.webhook, it.configuration, it.trustsLeaf, it.cas.join(',')]),
  );
}

function renderReplicas({ replicas }: CertsStatus): string {
  return renderTable(
    ['REPLICA', 'SERVES', 'THE LEAF', 'KNOWS THE CAS', 'STATED'],
    replicas.map(({ name, serves, current, trusts, stated }) => [
      name,
      serves,
      yesNo(current),
      yesNo(trusts),
      stated,
    ]),
  );
}

function yesNo(value: boolean): string {
  return value ? 'yes' : 'no';
}
