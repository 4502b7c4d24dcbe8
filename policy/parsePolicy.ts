/**
 * Reads a policy object of either kind into the one model, or says everything that is wrong with it. Decides syntax and
 * limits of the object by itself; what depends on other objects is rules.ts. Strict: a field it does not know is
 * refused, with the nearest one it knows. Webhook and controller run this same parser.
 */

import { parseAddress } from './address.ts';
import { cidrRange, formatRange, parseCidr } from './cidr.ts';
import { FieldReader } from './fieldReader.ts';
import type { AddressRange, Cidr, Policy, PoolEntry, Violation } from './model.ts';
import { FORCE_RELEASE_ANNOTATION, type PolicyKind, REBALANCE_ANNOTATION } from './names.ts';
import { parseLabelSelector, parseWorkloadSelector } from './parseSelector.ts';
import { ok, type Result, refused } from './result.ts';
import { parseTimestampMs } from './timestamp.ts';

/** A selector is matched against every pod of a node: enough for people, bounded for agents. */
export const SELECTORS_MAX = 64;
export const DESTINATIONS_MAX = 1000;
export const POOL_ENTRIES_MAX = 64;
/** Every address is an object, a Lease-guarded right and a row in each gateway's map. Admission's limit may be set. */
export const POLICY_ADDRESSES_DEFAULT = 256;
/** No setting goes beyond this, and no controller serves more of one policy. */
export const POLICY_ADDRESSES_MAX = 1024;

const DEFAULT_RETURN_AFTER_MS = 5 * 60_000;
/** A gateway that was stable for a week has recovered; timers of 32 bits end at 24.8 days. */
export const RETURN_AFTER_MAX_MS = 7 * 24 * 3_600_000;
/** Room for every unit with its largest count; the schema says the same. */
export const RETURN_AFTER_LENGTH_MAX = 32;
/** One Go duration after the other: `90s`, `1h30m`. */
export const RETURN_AFTER = '^(?:[0-9]{1,9}(?:[.][0-9]{1,9})?(?:ms|s|m|h))+$';
/** The value goes into the status; a time, which people will write, is shorter. */
export const REBALANCE_LENGTH_MAX = 64;
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

export function parsePolicy(raw: unknown, kind: PolicyKind): Result<Policy, readonly Violation[]> {
  const problems: Violation[] = [];
  const object = new FieldReader(raw, '', problems);
  object.expectObject();
  const metadata = object.child('metadata');
  metadata.expectObject();
  const spec = object.child('spec');
  spec.allow(['selectors', 'destinationCIDRs', 'excludedCIDRs', 'egressGateway']);
  const gateway = spec.child('egressGateway');
  gateway.allow([
    'ippools',
    'nodeSelector',
    'strategy',
    'affinity',
    'failureMode',
    'returnPolicy',
    'returnAfter',
  ]);
  const selectors = spec.list('selectors', { min: 1, max: SELECTORS_MAX }).map(parseWorkloadSelector);
  const destinations = parseDestinations(spec, 'destinationCIDRs', 1);
  const excluded = parseDestinations(spec, 'excludedCIDRs', 0);
  const pools = parsePools(gateway);
  const gatewaySelector = gateway.has('nodeSelector')
    ? parseLabelSelector(gateway.child('nodeSelector'))
    : undefined;
  const created = metadata.optionalText('creationTimestamp');
  const annotations = new Map(metadata.textMap('annotations'));
  const rebalance = annotations.get(REBALANCE_ANNOTATION);
  const policy: Policy = {
    ref: {
      kind,
      name: metadata.optionalText('name') ?? '',
      uid: metadata.optionalText('uid') ?? '',
      createdAtMs:
        (created === undefined ? undefined : parseTimestampMs(created)) ?? Number.POSITIVE_INFINITY,
    },
    generation: metadata.optionalInteger('generation') ?? 0,
    deleting: metadata.has('deletionTimestamp'),
    selectors,
    destinations,
    excluded,
    pools,
    ...(gatewaySelector === undefined ? {} : { gatewaySelector }),
    strategy: gateway.choice('strategy', ['Distribute', 'Failover']),
    affinity: gateway.choice('affinity', ['Pod', 'Connection']),
    failureMode: gateway.choice('failureMode', ['Closed', 'Open']),
    returnPolicy: gateway.choice('returnPolicy', ['Stay', 'Return']),
    returnAfterMs: parseReturnAfter(gateway),
    ...(annotations.get(FORCE_RELEASE_ANNOTATION) === 'true' ? { forceRelease: true } : {}),
    ...(rebalance === undefined ? {} : { rebalance: rebalance.slice(0, REBALANCE_LENGTH_MAX) }),
  };
  return problems.length === 0 ? ok(policy) : refused(problems);
}

function parseDestinations(spec: FieldReader, field: string, min: number): readonly Cidr[] {
  const seen = new Set<string>();
  const entries = spec.list(field, { min: 0, max: DESTINATIONS_MAX });
  if (min > 0 && spec.isEmptyList(field))
    return spec.refuse(
      'destination-syntax',
      `${field} is empty; list at least ${min}, such as 0.0.0.0/0`,
      field,
    );
  return entries.flatMap((entry) => {
    const text = entry.text();
    if (text === undefined) return [];
    const parsed = parseCidr(text);
    if (parsed.kind === 'refused') return entry.refuse('destination-syntax', parsed.error.message);
    if (seen.has(text)) return entry.refuse('destination-syntax', `${text} is listed twice; list it once`);
    seen.add(text);
    return [parsed.value];
  });
}

function parsePools(gateway: FieldReader): readonly PoolEntry[] {
  return gateway.list('ippools', { min: 1, max: POOL_ENTRIES_MAX }).flatMap(parsePoolEntry);
}

function parsePoolEntry(entry: FieldReader): readonly PoolEntry[] {
  entry.allow(['cidr', 'from', 'to', 'shared']);
  const shared = entry.flag('shared');
  const isRange = entry.has('from') || entry.has('to');
  if (isRange && entry.has('cidr')) {
    return entry.refuse('range-syntax', 'the entry has both cidr and a range; keep cidr, or from and to');
  }
  const path = isRange ? entry.path : `${entry.path}.cidr`;
  if (!isRange) {
    const text = entry.requiredText('cidr');
    if (text === undefined) return [];
    const parsed = parseCidr(text);
    if (parsed.kind === 'refused') return entry.refuse(parsed.error.code, parsed.error.message, 'cidr');
    return [{ range: cidrRange(parsed.value), shared, text, path }];
  }
  const range = parseFromTo(entry);
  return range === undefined ? [] : [{ range, shared, text: formatRange(range), path }];
}

function parseFromTo(entry: FieldReader): AddressRange | undefined {
  const [fromText, toText] = [entry.requiredText('from'), entry.requiredText('to')];
  if (fromText === undefined || toText === undefined) return undefined;
  const [from, to] = [parseAddress(fromText), parseAddress(toText)];
  if (from.kind === 'refused') entry.refuse('range-syntax', from.error.message, 'from');
  if (to.kind === 'refused') entry.refuse('range-syntax', to.error.message, 'to');
  if (from.kind === 'refused' || to.kind === 'refused') return undefined;
  if (from.value.family !== to.value.family) {
    entry.refuse(
      'range-syntax',
      `${fromText} and ${toText} are of different families; use one range for each`,
    );
    return undefined;
  }
  if (from.value.value > to.value.value) {
    entry.refuse('range-syntax', `from ${fromText} comes after to ${toText}; exchange them`);
    return undefined;
  }
  return { family: from.value.family, first: from.value.value, last: to.value.value };
}

/** A Go duration of at most a week, as Kubernetes writes them: `90s`, `5m`, `1.5h`. Returns milliseconds. */
function parseReturnAfter(gateway: FieldReader): number {
  const text = gateway.optionalText('returnAfter');
  if (text === undefined) return DEFAULT_RETURN_AFTER_MS;
  if (text.length > RETURN_AFTER_LENGTH_MAX || !new RegExp(RETURN_AFTER).test(text)) {
    gateway.refuse(
      'schema',
      `returnAfter ${JSON.stringify(text)} is no duration; write for example 5m or 90s`,
      'returnAfter',
    );
    return DEFAULT_RETURN_AFTER_MS;
  }
  const durationMs = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)].reduce(
    (sum, [, count, unit]) => sum + Number(count) * (UNIT_MS[unit ?? ''] ?? 0),
    0,
  );
  if (durationMs > RETURN_AFTER_MAX_MS)
    gateway.refuse('limits', `returnAfter ${text} is over a week; write at most 168h`, 'returnAfter');
  return Math.round(durationMs);
}
