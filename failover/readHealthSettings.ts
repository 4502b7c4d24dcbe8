/** What gateways check, from the environment; the probes as the chart writes them, a list in JSON. */
import { makeAddress, parseAddress } from '../policy/address.ts';
import { FieldReader } from '../policy/fieldReader.ts';
import type { Address, Violation } from '../policy/model.ts';
import { parseLabelSelector } from '../policy/parseSelector.ts';
import type { EnvReader } from '../runtime/readEnv.ts';
import type { HealthProbe, HealthSettings, ProbeMethod } from './core/agent/healthChecks.ts';
import { isLinkLocal } from './core/agent/probeSource.ts';

/** Every gateway asks each of them all the time. */
export const PROBES_MAX = 8;
const NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
/** What a request line takes as it is; no spaces, which would end it. */
const PATH = /^\/[\x21-\x7e]{0,1023}$/;
const TYPES = ['tcp', 'http', 'icmp'] as const;
const FIELDS = ['name', 'type', 'target', 'port', 'path', 'intervalSeconds', 'timeoutSeconds'];
const RULES = ['failures', 'successes', 'nodeSelector'];
const HTTP_PORT = 80;
const PORT_MAX = 65_535;
const STREAK_MAX = 20;
/** A gateway that looks less often than every five minutes is not looked at. */
const INTERVAL_SECONDS = { max: 300, fallback: 5 } as const;
const TIMEOUT_SECONDS = { max: 60, fallback: 2 } as const;
const FAILURES = { max: STREAK_MAX, fallback: 3 } as const;
const SUCCESSES = { max: STREAK_MAX, fallback: 2 } as const;

/**
 * NEXT_HOP_CHECK, on or off, default on: off where next hops answer nobody. HEALTH_PROBES, a JSON list of at most
 * 8, default none; `charts/sallyport/values.yaml` describes the fields.
 */
export function readHealthSettings(env: EnvReader): HealthSettings {
  const nextHopCheck = env.choice('NEXT_HOP_CHECK', ['on', 'off'], 'on') === 'on';
  return { probes: readProbes(env), nextHopCheck };
}

function readProbes(env: EnvReader): readonly HealthProbe[] {
  const text = env.text('HEALTH_PROBES', '[]');
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (error) {
    env.refuse(`HEALTH_PROBES is no JSON: ${error instanceof Error ? error.message : error}`);
    return [];
  }
  const problems: Violation[] = [];
  const probes = new FieldReader({ HEALTH_PROBES: list }, '', problems)
    .list('HEALTH_PROBES', { min: 0, max: PROBES_MAX })
    .map(parseProbe);
  for (const { path, message } of problems) env.refuse(`${path}: ${message}`);
  const names = probes.map(({ name }) => name);
  for (const name of new Set(names.filter((it, index) => names.indexOf(it) !== index)))
    env.refuse(`HEALTH_PROBES: more than one is named ${name}; give each a name of its own`);
  return probes;
}

function parseProbe(entry: FieldReader): HealthProbe {
  entry.allow([...FIELDS, ...RULES]);
  const name = entry.requiredText('name') ?? '';
  if (entry.has('name') && !NAME.test(name))
    entry.refuse('schema', `${JSON.stringify(name)} is no name; use lower case, digits and '-'`, 'name');
  const [interval, timeout] = [
    integer(entry, 'intervalSeconds', INTERVAL_SECONDS),
    integer(entry, 'timeoutSeconds', TIMEOUT_SECONDS),
  ];
  if (timeout > interval) {
    const message = `the timeout of ${timeout} s is longer than the interval of ${interval} s; make it at most as long`;
    entry.refuse('schema', message, 'timeoutSeconds');
  }
  return {
    name,
    method: parseMethod(entry),
    target: parseTarget(entry),
    intervalMs: interval * 1000,
    timeoutMs: timeout * 1000,
    failures: integer(entry, 'failures', FAILURES),
    successes: integer(entry, 'successes', SUCCESSES),
    nodes: entry.has('nodeSelector') ? parseLabelSelector(entry.child('nodeSelector')) : { requirements: [] },
  };
}

function parseMethod(entry: FieldReader): ProbeMethod {
  if (!entry.has('type')) entry.requiredText('type');
  const kind = entry.choice('type', TYPES);
  const absent = (field: string): void => {
    if (entry.has(field)) entry.refuse('schema', `a probe of type ${kind} has no ${field}; remove it`, field);
  };
  if (kind !== 'http') absent('path');
  if (kind === 'icmp') {
    absent('port');
    return { kind };
  }
  if (kind === 'tcp' && entry.has('type') && !entry.has('port'))
    entry.refuse('schema', 'port is missing', 'port');
  const port = integer(entry, 'port', { max: PORT_MAX, fallback: HTTP_PORT });
  if (kind === 'tcp') return { kind, port };
  const path = entry.optionalText('path') ?? '/';
  if (!PATH.test(path)) {
    const message = `${JSON.stringify(path)} is no path; begin with / and write printable ASCII without spaces`;
    entry.refuse('schema', message, 'path');
  }
  return { kind, port, path };
}

/** No names: a gateway whose name resolution is down is not for that reason unfit. */
function parseTarget(entry: FieldReader): Address {
  const text = entry.requiredText('target') ?? '';
  const parsed = parseAddress(text);
  if (parsed.kind === 'ok' && !isLinkLocal(parsed.value)) return parsed.value;
  if (text !== '') entry.refuse('schema', whyNoTarget(text, parsed), 'target');
  return makeAddress(4, 0n); // Never seen: with a problem on record the value is thrown away.
}

function whyNoTarget(text: string, parsed: ReturnType<typeof parseAddress>): string {
  if (parsed.kind === 'ok')
    return `${text} is link-local: another host on each link; the next hop is checked without a probe`;
  const { canonical, message } = parsed.error;
  return canonical === undefined ? `${message}; names are not resolved` : message;
}

function integer(
  entry: FieldReader,
  field: string,
  { max, fallback }: { readonly max: number; readonly fallback: number },
): number {
  const value = entry.optionalInteger(field) ?? fallback;
  if (value >= 1 && value <= max) return value;
  entry.refuse('schema', `${field} is ${value}; use a whole number from 1 to ${max}`, field);
  return fallback;
}
