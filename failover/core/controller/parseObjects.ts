/** Reads policies and EgressIPs with their status, as the controller's view keeps them, from unparsed objects. */
import { FieldReader } from '../../../policy/fieldReader.ts';
import type { PolicyKind } from '../../../policy/names.ts';
import { parsePolicy } from '../../../policy/parsePolicy.ts';
import { parseEgressIp } from '../parseEgressIp.ts';
import type {
  Condition,
  EgressIpObject,
  EgressIpStatus,
  Failover,
  Phase,
  PolicyObject,
  PolicyStatus,
} from './controllerView.ts';

/** Conditions, addresses, standbys, finalizers: a status that is longer is not ours and is written anew. */
const LIST_MAX = 4096;
const PHASES: readonly Phase[] = ['Announced', 'Moving', 'Pending', 'Unplaced'];

export function parsePolicyObject(raw: unknown, kind: PolicyKind): PolicyObject | undefined {
  const object = new FieldReader(raw, '', []);
  const metadata = object.child('metadata');
  const [name, uid] = [metadata.optionalText('name'), metadata.optionalText('uid')];
  if (name === undefined || uid === undefined) return undefined;
  return {
    kind,
    name,
    uid,
    resourceVersion: metadata.optionalText('resourceVersion') ?? '',
    generation: metadata.optionalInteger('generation') ?? 0,
    deleting: metadata.has('deletionTimestamp'),
    finalizers: texts(metadata, 'finalizers'),
    parsed: parsePolicy(raw, kind),
    status: object.has('status') ? parsePolicyStatus(object.child('status')) : undefined,
  };
}

/** Undefined where the right itself cannot be read: nobody may act on half of it. */
export function parseEgressIpObject(raw: unknown): EgressIpObject | undefined {
  const egressIp = parseEgressIp(raw);
  if (egressIp === undefined) return undefined;
  const object = new FieldReader(raw, '', []);
  return { egressIp, status: object.has('status') ? parseEgressIpStatus(object.child('status')) : undefined };
}

function parsePolicyStatus(status: FieldReader): PolicyStatus {
  return {
    observedGeneration: status.optionalInteger('observedGeneration') ?? 0,
    conditions: list(status, 'conditions').map(parseCondition),
    addresses: list(status, 'addresses').map((it) => ({
      address: text(it, 'address'),
      gateway: text(it, 'gateway'),
      standbys: texts(it, 'standbys'),
      since: text(it, 'since'),
    })),
    egress: text(status, 'egress'),
    selectedPods: status.optionalInteger('selectedPods') ?? 0,
    rebalanced: text(status, 'rebalanced'),
  };
}

function parseCondition(condition: FieldReader): Condition {
  const value = text(condition, 'status');
  return {
    type: text(condition, 'type'),
    status: value === 'True' || value === 'False' ? value : 'Unknown',
    reason: text(condition, 'reason'),
    message: text(condition, 'message'),
    observedGeneration: condition.optionalInteger('observedGeneration') ?? 0,
    lastTransitionTime: text(condition, 'lastTransitionTime'),
  };
}

function parseEgressIpStatus(status: FieldReader): EgressIpStatus {
  const phase = text(status, 'phase');
  return {
    gateway: text(status, 'gateway'),
    standbys: texts(status, 'standbys'),
    phase: PHASES.find((it) => it === phase) ?? 'Unplaced',
    since: text(status, 'since'),
    message: text(status, 'message'),
    lastFailover: status.has('lastFailover') ? parseFailover(status.child('lastFailover')) : undefined,
  };
}

function parseFailover(failover: FieldReader): Failover {
  return {
    from: text(failover, 'from'),
    to: text(failover, 'to'),
    reason: text(failover, 'reason'),
    detectedAt: text(failover, 'detectedAt'),
    assignedAt: text(failover, 'assignedAt'),
    announcedAt: text(failover, 'announcedAt'),
  };
}

function list(reader: FieldReader, field: string): readonly FieldReader[] {
  return reader.list(field, { min: 0, max: LIST_MAX });
}

function text(reader: FieldReader, field: string): string {
  return reader.optionalText(field) ?? '';
}

function texts(reader: FieldReader, field: string): readonly string[] {
  return list(reader, field).flatMap((it) => it.text() ?? []);
}
