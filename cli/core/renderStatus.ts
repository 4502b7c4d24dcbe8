/** The cluster's status as tables for people or JSON for programs. */
import type { ClusterStatus } from './clusterStatus.ts';
import type { StatusFormat } from './command.ts';
import { renderTable } from './renderTable.ts';

/** Raised where a field had to change its meaning; docs/cli.md has the shape. */
const FORMAT_VERSION = 1;

export function renderStatus(status: ClusterStatus, format: StatusFormat): string {
  if (format === 'json') return `${JSON.stringify(renderDocument(status), undefined, 2)}\n`;
  return [renderEgressIps(status), renderGateways(status), renderPolicies(status)].join('\n');
}

function renderDocument({ egressIps, gateways, policies }: ClusterStatus): unknown {
  return {
    formatVersion: FORMAT_VERSION,
    egressIps: egressIps.map(({ fence: _fence, ...line }) => line),
    gateways: gateways.map((line) => ({ ...line, leaves: line.leaves ?? null })),
    policies: policies.map(({ rebalanced: _rebalanced, ...line }) => line),
  };
}

function renderEgressIps({ egressIps }: ClusterStatus): string {
  if (egressIps.length === 0) return 'no egress IPs\n';
  return renderTable(
    ['EGRESS IP', 'GATEWAY', 'HEALTHY', 'STANDBYS', 'PHASE', 'SINCE', 'POLICIES', 'WHY'],
    egressIps.map((it) => [
      ...[it.address, it.gateway, it.healthy, it.standbys.join(','), it.phase, it.since],
      ...[it.policies.join(','), it.message],
    ]),
  );
}

function renderGateways({ gateways }: ClusterStatus): string {
  if (gateways.length === 0) return 'no gateways; label nodes sallyport.dev/gateway=true\n';
  return renderTable(
    ['GATEWAY', 'HOLDS', 'CAPACITY', 'READY', 'HEALTHY', 'LEAVES', 'WHY'],
    gateways.map((it) => [
      ...[it.node, String(it.holding), String(it.capacity), yesNo(it.ready), yesNo(it.healthy)],
      ...[it.leaves ?? '', it.message],
    ]),
  );
}

function renderPolicies({ policies }: ClusterStatus): string {
  if (policies.length === 0) return 'no policies\n';
  return renderTable(
    ['POLICY', 'ACCEPTED', 'PROGRAMMED', 'AVAILABLE', 'PODS', 'WHY'],
    policies.map((it) => [
      ...[`${it.kind}/${it.name}`, it.accepted, it.programmed, it.available, String(it.pods), it.message],
    ]),
  );
}

function yesNo(value: boolean): string {
  return value ? 'yes' : 'no';
}
