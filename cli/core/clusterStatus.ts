/**
 * Reads what the controller and the agents say in the cluster into what a person asks: which egress IP, where, is it
 * healthy, who is next, which gateway leaves and why. Relies on status fields alone: it repeats, and concludes nothing.
 */
import { FieldReader } from '../../policy/fieldReader.ts';
import { isGateway, type NodeLeaveReason, whyNodeLeaves } from '../../policy/gatewayRole.ts';
import { POLICY_KINDS, type PolicyKind } from '../../policy/names.ts';
import { parseNode } from '../../policy/parseFacts.ts';

/** Unparsed objects of each collection. */
export interface StatusObjects {
  readonly egressIps: readonly unknown[];
  readonly gatewayNodes: readonly unknown[];
  readonly nodes: readonly unknown[];
  readonly policies: Readonly<Record<PolicyKind, readonly unknown[]>>;
}

export interface EgressIpLine {
  readonly address: string;
  /** Who answers; empty: nobody. */
  readonly gateway: string;
  /** Who is to answer: the first in the assignment's order. */
  readonly holder: string;
  /** What the gateway says of its own health; unknown where nobody answers. */
  readonly healthy: 'yes' | 'no' | 'unknown';
  readonly standbys: readonly string[];
  readonly phase: string;
  readonly since: string;
  readonly message: string;
  readonly policies: readonly string[];
  /** Sessions' gateways that must be gone first. */
  readonly fence: readonly string[];
}

export interface GatewayLine {
  readonly node: string;
  readonly holding: number;
  readonly capacity: number;
  readonly ready: boolean;
  readonly healthy: boolean;
  /** Why not ready or not healthy; empty where all is well. */
  readonly message: string;
  /** Why it gives up what it holds; absent: it stays. */
  readonly leaves?: NodeLeaveReason | 'unhealthy' | 'not-allowed';
}

export interface PolicyLine {
  readonly kind: PolicyKind;
  readonly name: string;
  readonly accepted: string;
  readonly programmed: string;
  readonly available: string;
  readonly pods: number;
  /** What the first condition that does not hold says; else what `Available` says. */
  readonly message: string;
  readonly rebalanced: string;
}

export interface ClusterStatus {
  readonly egressIps: readonly EgressIpLine[];
  readonly gateways: readonly GatewayLine[];
  readonly policies: readonly PolicyLine[];
}

/** More than any status has; a longer one is cut off from reading, not from being. */
const LIST_MAX = 16_384;

export function readStatus(objects: StatusObjects): ClusterStatus {
  const gateways = readGateways(objects);
  const health = new Map(gateways.map(({ node, healthy }) => [node, healthy]));
  return {
    egressIps: objects.egressIps
      .map((raw) => readEgressIp(raw, health))
      .toSorted((a, b) => compare(a.address, b.address)),
    gateways,
    policies: POLICY_KINDS.flatMap((kind) =>
      objects.policies[kind].map((raw) => readPolicy(raw, kind)),
    ).toSorted((a, b) => compare(a.name, b.name) || compare(a.kind, b.kind)),
  };
}

/** @param health gateway → whether it says that it is healthy. */
export function readEgressIp(raw: unknown, health: ReadonlyMap<string, boolean>): EgressIpLine {
  const object = new FieldReader(raw, '', []);
  const [spec, status] = [object.child('spec'), object.child('status')];
  const gateway = text(status, 'gateway');
  const healthy = health.get(gateway);
  return {
    address: text(spec, 'address') || text(object.child('metadata'), 'name'),
    gateway,
    holder: gatewaysIn(spec, 'order')[0] ?? '',
    healthy: gateway === '' || healthy === undefined ? 'unknown' : healthy ? 'yes' : 'no',
    standbys: list(status, 'standbys').flatMap((it) => it.text() ?? []),
    phase: text(status, 'phase') || 'Unknown',
    since: text(status, 'since'),
    message: text(status, 'message'),
    policies: list(spec, 'policies').map((it) => `${text(it, 'kind')}/${text(it, 'name')}`),
    fence: gatewaysIn(spec, 'fence'),
  };
}

function readGateways({ nodes, gatewayNodes }: StatusObjects): readonly GatewayLine[] {
  const facts = new Map(nodes.flatMap((raw) => parseNode(raw) ?? []).map((node) => [node.name, node]));
  const reports = new Map(
    gatewayNodes.map((raw) => {
      const object = new FieldReader(raw, '', []);
      return [text(object.child('metadata'), 'name'), object.child('status')] as const;
    }),
  );
  const names = [...new Set([...facts.keys(), ...reports.keys()])].toSorted(compare);
  return names.flatMap((name): readonly GatewayLine[] => {
    const node = facts.get(name);
    const report = reports.get(name) ?? new FieldReader({}, '', []);
    const holding = report.optionalInteger('holding') ?? 0;
    const labelled = node !== undefined && isGateway(node);
    // Every node reports; only gateways, and who still holds something, are of interest here.
    if (!labelled && holding === 0) return [];
    const { ready, healthy, message } = readHealth(report, reports.has(name));
    const why = !labelled ? 'not-allowed' : !healthy ? 'unhealthy' : whyNodeLeaves(node);
    const capacity = report.optionalInteger('capacity') ?? 0;
    return [
      {
        node: name,
        holding,
        capacity,
        ready,
        healthy,
        message,
        ...(why === undefined ? {} : { leaves: why }),
      },
    ];
  });
}

function readHealth(
  report: FieldReader,
  exists: boolean,
): Pick<GatewayLine, 'ready' | 'healthy' | 'message'> {
  const conditions = new Map(list(report, 'conditions').map((it) => [text(it, 'type'), it]));
  const [ready, health, forwarding] = ['DataPlaneReady', 'Healthy', 'ForwardingAllowed'].map((type) =>
    conditions.get(type),
  );
  const isReady = ready?.optionalText('status') === 'True';
  const isHealthy = health?.optionalText('status') !== 'False';
  const absent = exists ? 'its data plane says nothing yet' : 'no agent reports from here';
  const why = ready === undefined ? absent : text(ready, 'message');
  const reasons = [
    ...(isReady ? [] : [why]),
    ...(isHealthy || health === undefined ? [] : [text(health, 'message')]),
    ...(forwarding?.optionalText('status') === 'False' ? [text(forwarding, 'message')] : []),
  ];
  return { ready: isReady, healthy: isHealthy, message: reasons.filter((it) => it !== '').join('; ') };
}

export function readPolicy(raw: unknown, kind: PolicyKind): PolicyLine {
  const object = new FieldReader(raw, '', []);
  const status = object.child('status');
  const conditions = new Map(list(status, 'conditions').map((it) => [text(it, 'type'), it]));
  const [accepted, programmed, available] = ['Accepted', 'Programmed', 'Available'].map((type) => {
    const condition = conditions.get(type);
    return {
      value: condition === undefined ? 'Unknown' : text(condition, 'status'),
      message: condition === undefined ? 'no controller has looked at it yet' : text(condition, 'message'),
    };
  });
  const first = [accepted, programmed, available].find((it) => it?.value !== 'True') ?? available;
  return {
    kind,
    name: text(object.child('metadata'), 'name'),
    accepted: accepted?.value ?? 'Unknown',
    programmed: programmed?.value ?? 'Unknown',
    available: available?.value ?? 'Unknown',
    pods: status.optionalInteger('selectedPods') ?? 0,
    message: first?.message ?? '',
    rebalanced: text(status, 'rebalanced'),
  };
}

function gatewaysIn(spec: FieldReader, field: string): readonly string[] {
  return list(spec, field).map((it) => text(it, 'gateway'));
}

function list(reader: FieldReader, field: string): readonly FieldReader[] {
  return reader.list(field, { min: 0, max: LIST_MAX });
}

function text(reader: FieldReader, field: string): string {
  return reader.optionalText(field) ?? '';
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
