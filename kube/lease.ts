/**
 * The Lease object (coordination.k8s.io/v1) as text on the wire and as a record. Times stay strings: a MicroTime needs
 * exactly six fractional digits (a Date, or 0, 3 or 9 digits, is answered with 400), and nobody may compare it with the
 * local clock.
 */
import { FieldReader } from '../policy/fieldReader.ts';

export interface LeaseRecord {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  /** Empty on a create. */
  readonly resourceVersion: string;
  /** Empty: nobody holds it. */
  readonly holder: string;
  readonly durationSeconds: number;
  readonly acquireTime: string;
  readonly renewTime: string;
  readonly transitions: number;
}

export function leasePath(namespace: string, name?: string): string {
  const collection = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
  return name === undefined ? collection : `${collection}/${name}`;
}

/** RFC 3339 in UTC with six fractional digits. */
export function formatMicroTime(epochMs: number): string {
  const whole = Math.floor(epochMs);
  const micros = Math.floor((epochMs - whole) * 1000);
  return new Date(whole).toISOString().replace('Z', `${String(micros).padStart(3, '0')}Z`);
}

/** Undefined for anything that is no Lease. Fields that nobody wrote yet read as empty or 0. */
export function parseLease(raw: unknown): LeaseRecord | undefined {
  const lease = new FieldReader(raw, '', []);
  const metadata = lease.child('metadata');
  const spec = lease.child('spec');
  const [name, namespace] = [metadata.optionalText('name'), metadata.optionalText('namespace')];
  if (name === undefined || namespace === undefined) return undefined;
  return {
    name,
    namespace,
    uid: metadata.optionalText('uid') ?? '',
    resourceVersion: metadata.optionalText('resourceVersion') ?? '',
    holder: spec.optionalText('holderIdentity') ?? '',
    durationSeconds: spec.optionalInteger('leaseDurationSeconds') ?? 0,
    acquireTime: spec.optionalText('acquireTime') ?? '',
    renewTime: spec.optionalText('renewTime') ?? '',
    transitions: spec.optionalInteger('leaseTransitions') ?? 0,
  };
}

/**
 * With a resourceVersion the write is a compare-and-swap.
 * @param over the object of that version: labels, annotations, finalizers and owners that somebody gave it stay
 */
export function renderLease(record: LeaseRecord, over?: unknown): unknown {
  const { name, namespace, uid, resourceVersion } = record;
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      ...metadataOfOthers(over),
      name,
      namespace,
      ...(uid === '' ? {} : { uid }),
      ...(resourceVersion === '' ? {} : { resourceVersion }),
    },
    spec: {
      holderIdentity: record.holder,
      leaseDurationSeconds: record.durationSeconds,
      leaseTransitions: record.transitions,
      acquireTime: record.acquireTime,
      renewTime: record.renewTime,
    },
  };
}

const FOREIGN_METADATA = ['labels', 'annotations', 'finalizers', 'ownerReferences'];

function metadataOfOthers(object: unknown): Readonly<Record<string, unknown>> {
  const { metadata } = Object(object) as { readonly metadata?: unknown }; // Any value's property is unknown or absent.
  return Object.fromEntries(
    Object.entries(Object(metadata)).filter(([name]) => FOREIGN_METADATA.includes(name)),
  );
}
