/** The webhook's settings: read once from the environment, into a value or the list of everything wrong with them. */
import { parseCidr } from '../policy/cidr.ts';
import type { ClusterNetwork } from '../policy/facts.ts';
import type { Cidr } from '../policy/model.ts';
import { POLICY_ADDRESSES_DEFAULT, POLICY_ADDRESSES_MAX } from '../policy/parsePolicy.ts';
import { ok, type Result, refused } from '../policy/result.ts';
import { DEFAULT_RULE_SETTINGS } from '../policy/rules.ts';
import { LOG_LEVELS, type LogLevel } from '../runtime/logger.ts';
import { type CertificateSettings, readCertificateSettings } from './certificateSettings.ts';

export type ClusterPlace =
  | { readonly kind: 'in-cluster'; readonly host: string; readonly port: string }
  | { readonly kind: 'kubeconfig'; readonly path: string };

export interface WebhookConfig {
  /** KUBECONFIG (one file) where it is set, else what Kubernetes puts into every pod: KUBERNETES_SERVICE_HOST and _PORT. */
  readonly cluster: ClusterPlace;
  /** Name of this pod, for log lines and for what it states of its certificate. POD_NAME, required. */
  readonly podName: string;
  /** Where the Secret and the Service are. SALLYPORT_NAMESPACE, required. */
  readonly namespace: string;
  /** LOG_LEVEL, default info. */
  readonly logLevel: LogLevel;
  /** HTTPS, 1..65535. WEBHOOK_PORT, default 9443. */
  readonly port: number;
  /** The Service that API servers call; certificates carry its names. WEBHOOK_SERVICE, required. */
  readonly serviceName: string;
  /** The Secret with the certificates, and who makes them. */
  readonly certificates: CertificateSettings;
  /** Those that send reviews here. VALIDATING_CONFIGURATION and MUTATING_CONFIGURATION, required. */
  readonly validatingConfiguration: string;
  readonly mutatingConfiguration: string;
  /**
   * Networks routed to the gateways although on-link at none; pools may lie in them. ROUTABLE_CIDRS, separated by
   * commas, default none: a routed pool is then refused as unroutable.
   */
  readonly routable: readonly Cidr[];
  /**
   * The cluster's own networks beside what nodes and ServiceCIDR objects show; pools may not lie in them. POD_CIDRS and
   * SERVICE_CIDRS, separated by commas, default none: where the cluster does not show them, pools in them are not refused.
   */
  readonly networks: readonly ClusterNetwork[];
  /** Addresses over all entries of one policy, 1..1024. POOL_ADDRESSES_MAX, default 256. */
  readonly poolAddressesMax: number;
  /** What the controller has under this name: how many nodes fit on an address follows from it. INITIAL_PORTS, default 512. */
  readonly initialPorts: number;
  /**
   * Who may write statuses, by name in the same namespace. CONTROLLER_SERVICE_ACCOUNT, default sallyport-controller, and
   * AGENT_SERVICE_ACCOUNT, default sallyport-agent. Wrong: our own programs would be denied theirs.
   */
  readonly controllerAccount: string;
  readonly agentAccount: string;
  /**
   * Set: reviews are answered only to who shows a client certificate of this authority with one of these names, and API
   * servers have to be told to show theirs. CLIENT_CA_FILE, default none; CLIENT_NAMES, separated by commas, then required.
   */
  readonly clients?: ClientCheck;
}

export interface ClientCheck {
  /** Path of a file of PEM certificates. */
  readonly bundlePath: string;
  /** At least one; common names or DNS names. */
  readonly names: readonly string[];
}

/** All ports of an egress IP. */
const PORTS_MAX = 64_512;
const PORTS_MIN = 64;

type Environment = Readonly<Record<string, string | undefined>>;

export function readWebhookConfig(env: Environment = process.env): Result<WebhookConfig, readonly string[]> {
  const problems: string[] = [];
  const required = (name: string): string => {
    const value = env[name]?.trim() ?? '';
    if (value === '') problems.push(`${name} is not set`);
    return value;
  };
  const config: WebhookConfig = {
    cluster: readCluster(env, required),
    podName: required('POD_NAME'),
    namespace: required('SALLYPORT_NAMESPACE'),
    logLevel: readLogLevel(env, problems),
    port: readPort(env, problems),
    serviceName: required('WEBHOOK_SERVICE'),
    certificates: readCertificateSettings(env, problems, required('CERT_SECRET')),
    validatingConfiguration: required('VALIDATING_CONFIGURATION'),
    mutatingConfiguration: required('MUTATING_CONFIGURATION'),
    routable: readCidrs(env, 'ROUTABLE_CIDRS', problems),
    networks: [
      ...readNetworks(env, { variable: 'POD_CIDRS', use: 'pods' }, problems),
      ...readNetworks(env, { variable: 'SERVICE_CIDRS', use: 'services' }, problems),
    ],
    poolAddressesMax: readCount(env, 'POOL_ADDRESSES_MAX', problems, {
      min: 1,
      max: POLICY_ADDRESSES_MAX,
      fallback: POLICY_ADDRESSES_DEFAULT,
    }),
    initialPorts: readCount(env, 'INITIAL_PORTS', problems, {
      min: PORTS_MIN,
      max: PORTS_MAX,
      fallback: DEFAULT_RULE_SETTINGS.initialPorts,
    }),
    controllerAccount: env.CONTROLLER_SERVICE_ACCOUNT || 'sallyport-controller',
    agentAccount: env.AGENT_SERVICE_ACCOUNT || 'sallyport-agent',
    ...readClients(env, problems),
  };
  return problems.length === 0 ? ok(config) : refused(problems);
}

function readCluster(env: Environment, required: (name: string) => string): ClusterPlace {
  const path = env.KUBECONFIG ?? '';
  if (path !== '') return { kind: 'kubeconfig', path };
  return {
    kind: 'in-cluster',
    host: required('KUBERNETES_SERVICE_HOST'),
    port: required('KUBERNETES_SERVICE_PORT'),
  };
}

function readLogLevel(env: Environment, problems: string[]): WebhookConfig['logLevel'] {
  const text = env.LOG_LEVEL || 'info';
  const level = LOG_LEVELS.find((known) => known === text);
  if (level === undefined) problems.push(`LOG_LEVEL is ${text}; use one of ${LOG_LEVELS.join(', ')}`);
  return level ?? 'info';
}

function readPort(env: Environment, problems: string[]): number {
  const text = env.WEBHOOK_PORT || '9443';
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65_535)
    problems.push(`WEBHOOK_PORT is ${text}; use a port from 1 to 65535`);
  return port;
}

function readNetworks(
  env: Environment,
  { variable, use }: { readonly variable: string; readonly use: ClusterNetwork['use'] },
  problems: string[],
): readonly ClusterNetwork[] {
  const source = `the setting ${variable}`;
  return readCidrs(env, variable, problems).map((cidr) => ({ cidr, use, source }));
}

function readCount(
  env: Environment,
  variable: string,
  problems: string[],
  { min, max, fallback }: { readonly min: number; readonly max: number; readonly fallback: number },
): number {
  const text = env[variable] || String(fallback);
  const value = Number(text);
  if (/^\d{1,9}$/.test(text) && value >= min && value <= max) return value;
  problems.push(`${variable} is ${text}; use a whole number from ${min} to ${max}`);
  return fallback;
}

function readCidrs(env: Environment, variable: string, problems: string[]): readonly Cidr[] {
  return splitList(env[variable]).flatMap((text) => {
    const parsed = parseCidr(text);
    if (parsed.kind === 'ok') return [parsed.value];
    problems.push(`${variable}: ${parsed.error.message}`);
    return [];
  });
}

/** A cluster's authority signs kubelets and people too, so its word alone says little: names are required. */
function readClients(env: Environment, problems: string[]): Pick<WebhookConfig, 'clients'> {
  const bundlePath = env.CLIENT_CA_FILE ?? '';
  const names = splitList(env.CLIENT_NAMES);
  if (bundlePath === '' && names.length === 0) return {};
  if (bundlePath === '') problems.push('CLIENT_CA_FILE is not set, but CLIENT_NAMES is');
  if (names.length === 0) problems.push('CLIENT_NAMES is empty; name who may ask, as CLIENT_CA_FILE is set');
  return { clients: { bundlePath, names } };
}

function splitList(text = ''): readonly string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}
