/** The controller's settings: read once from the environment, into a value or the list of everything wrong with them. */

import type { Cidr } from '../policy/model.ts';
import type { Result } from '../policy/result.ts';
import { LOG_LEVELS, type LogLevel } from '../runtime/logger.ts';
import { type Environment, type EnvReader, readEnv } from '../runtime/readEnv.ts';
import { FIRST_PORT, GRANULE_PORTS, LAST_PORT } from './core/controller/portBlocks.ts';
import type { Durations } from './core/ownership/durations.ts';
import { readDurations } from './readDurations.ts';

export type ClusterPlace =
  | { readonly kind: 'in-cluster'; readonly host: string; readonly port: string }
  | { readonly kind: 'kubeconfig'; readonly path: string };

export interface ControllerConfig {
  /** KUBECONFIG (one file) where it is set, else what Kubernetes puts into every pod: KUBERNETES_SERVICE_HOST and _PORT. */
  readonly cluster: ClusterPlace;
  /** Name of this pod: log lines, the leader's identity, the source of Events. POD_NAME, required. */
  readonly podName: string;
  /** Where the leader's Lease and the gateways' Leases are. SALLYPORT_NAMESPACE, required. */
  readonly namespace: string;
  /** LOG_LEVEL, default info. */
  readonly logLevel: LogLevel;
  /** Plain HTTP for kubelet and Prometheus, 0..65535; 0 takes a free one. METRICS_PORT, default 9091. */
  readonly metricsPort: number;
  /**
   * Networks routed to the gateways although on-link at none; any gateway may hold an address of theirs. ROUTABLE_CIDRS,
   * separated by commas, default none: addresses outside every gateway's subnets are then placed nowhere.
   */
  readonly routable: readonly Cidr[];
  /** Ports a node starts with on an egress IP, 64..64512. INITIAL_PORTS, default 512. More: fewer nodes fit on one address. */
  readonly initialPorts: number;
  /**
   * How long ports that came back rest, milliseconds. BLOCK_QUARANTINE_SECONDS, 0..3600, default 240: longer than peers
   * keep a closed connection (TIME_WAIT). Shorter: a peer may still refuse a connection from a port used before.
   */
  readonly quarantineMs: number;
  /**
   * How long agents sign with one key, milliseconds. PEER_KEY_ROTATION_HOURS, 0..8760, default 168; 0: a new one is made only
   * when the Secret's annotation asks. Shorter: a key that leaked is of use for less time; each change is a few writes.
   */
  readonly peerKeyRotationMs: number;
  /**
   * Gateways that hand their addresses over at a time because they are cordoned, drained, unhealthy or lost their label;
   * others wait. MAX_GATEWAYS_LEAVING, 1..100, default 1. More: a whole drain is faster, and fewer gateways are left meanwhile.
   */
  readonly maxGatewaysLeaving: number;
  /** Of the agents: how long what was granted under one set of voters may count. readDurations.ts has the variables. */
  readonly durations: Durations;
}

/** A port of an egress IP is one of these. */
const PORTS_MAX = LAST_PORT + 1 - FIRST_PORT;
const HOUR_MS = 3_600_000;
/** A year. */
const ROTATION_HOURS_MAX = 8760;

export function readControllerConfig(
  // biome-ignore lint/style/noProcessEnv: this is the config.ts of one of the folder's two programs.
  env: Environment = process.env,
): Result<ControllerConfig, readonly string[]> {
  return readEnv(env, (reader) => ({
    cluster: readCluster(reader, env),
    podName: reader.text('POD_NAME'),
    namespace: reader.text('SALLYPORT_NAMESPACE'),
    logLevel: reader.choice('LOG_LEVEL', LOG_LEVELS, 'info'),
    metricsPort: reader.integer('METRICS_PORT', { min: 0, max: 65_535, fallback: 9091 }),
    routable: reader.cidrs('ROUTABLE_CIDRS', ''),
    initialPorts: reader.integer('INITIAL_PORTS', { min: GRANULE_PORTS, max: PORTS_MAX, fallback: 512 }),
    quarantineMs: reader.durationMs('BLOCK_QUARANTINE_SECONDS', {
      unit: 'seconds',
      min: 0,
      max: 3600,
      fallback: 240,
    }),
    peerKeyRotationMs:
      HOUR_MS * reader.integer('PEER_KEY_ROTATION_HOURS', { min: 0, max: ROTATION_HOURS_MAX, fallback: 168 }),
    maxGatewaysLeaving: reader.integer('MAX_GATEWAYS_LEAVING', { min: 1, max: 100, fallback: 1 }),
    durations: readDurations(reader),
  }));
}

function readCluster(reader: EnvReader, env: Environment): ClusterPlace {
  const path = env.KUBECONFIG?.trim() ?? '';
  if (path !== '') return { kind: 'kubeconfig', path };
  return {
    kind: 'in-cluster',
    host: reader.text('KUBERNETES_SERVICE_HOST'),
    port: reader.text('KUBERNETES_SERVICE_PORT'),
  };
}
