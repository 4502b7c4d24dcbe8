/** The agent's settings: read once from the environment, into a value or the list of everything wrong with them. */
import { parseAddress } from '../policy/address.ts';
import type { Address, Cidr } from '../policy/model.ts';
import type { Result } from '../policy/result.ts';
import { LOG_LEVELS, type LogLevel } from '../runtime/logger.ts';
import { type Environment, type EnvReader, readEnv } from '../runtime/readEnv.ts';
import type { HealthSettings } from './core/agent/healthChecks.ts';
import type { Durations } from './core/ownership/durations.ts';
import { readDurations } from './readDurations.ts';
import { readHealthSettings } from './readHealthSettings.ts';

export interface AgentConfig {
  /** Where the API server is: what Kubernetes puts into every pod. KUBERNETES_SERVICE_HOST and _PORT, required. */
  readonly cluster: { readonly host: string; readonly port: string };
  /** The node this agent speaks for. NODE_NAME, required. */
  readonly node: string;
  /** The node's address: end of its tunnel, and on its device egress IPs are answered. IPv4. NODE_IP, required. */
  readonly nodeAddress: Address;
  /** Where the gateways' Leases are. SALLYPORT_NAMESPACE, required. */
  readonly namespace: string;
  /** LOG_LEVEL, default info. */
  readonly logLevel: LogLevel;
  /** Plain HTTP for kubelet and Prometheus on the node, 0..65535. METRICS_PORT, default 9092. */
  readonly metricsPort: number;
  /**
   * How long a gateway's Lease counts without being renewed, milliseconds: after it the controller gives the gateway no
   * addresses. Who is alive is decided by the sessions below. GATEWAY_LEASE_SECONDS, 1..300, default 3.
   */
  readonly leaseMs: number;
  /**
   * How often gateways heartbeat, how long they may answer after it, and what follows from that: readDurations.ts has the
   * variables.
   */
  readonly durations: Durations;
  /** What gateways check beside their carrier; one that fails hands its addresses over: readHealthSettings.ts has the variables. */
  readonly health: HealthSettings;
  /**
   * Gateways forward what they can past routing and connection tracking, and past firewall rules of the node's own. `off`: the
   * IP stack forwards all. A kernel that cannot do it does without by itself. FAST_PATH, on or off, default off.
   */
  readonly fastPath: boolean;
  /** UDP port on which agents speak to each other. PEER_PORT, default 4792. */
  readonly peerPort: number;
  /** Networks of Services beside those that the cluster's ServiceCIDRs name. SERVICE_CIDRS, by commas, default none. */
  readonly serviceCidrs: readonly Cidr[];
  /** Where /proc/sys/net can be written. SYSCTL_DIR, default /proc/sys/net. */
  readonly sysctlDir: string;
  /** Where what is to be held after the next boot is kept, on the node's disk. STATE_DIR, default empty: nowhere. */
  readonly stateDir: string;
  /** UDP port of the tunnel, the same on every node, not the CNI's. TUNNEL_PORT, default 4790. */
  readonly tunnelPort: number;
  /** VXLAN network identifier of the tunnel, 1..16777215. TUNNEL_VNI, default 7777. */
  readonly tunnelVni: number;
}

const VNI_MAX = 2 ** 24 - 1;

export function readAgentConfig(
  // biome-ignore lint/style/noProcessEnv: this is the config.ts of one of the folder's two programs.
  env: Environment = process.env,
): Result<AgentConfig, readonly string[]> {
  return readEnv(env, (reader) => {
    const leaseMs = reader.durationMs('GATEWAY_LEASE_SECONDS', {
      unit: 'seconds',
      min: 1,
      max: 300,
      fallback: 3,
    });
    return {
      cluster: { host: reader.text('KUBERNETES_SERVICE_HOST'), port: reader.text('KUBERNETES_SERVICE_PORT') },
      node: reader.text('NODE_NAME'),
      nodeAddress: readNodeAddress(reader),
      namespace: reader.text('SALLYPORT_NAMESPACE'),
      logLevel: reader.choice('LOG_LEVEL', LOG_LEVELS, 'info'),
      metricsPort: reader.integer('METRICS_PORT', { min: 0, max: 65_535, fallback: 9092 }),
      leaseMs,
      durations: readDurations(reader),
      health: readHealthSettings(reader),
      fastPath: reader.choice('FAST_PATH', ['on', 'off'], 'off') === 'on',
      peerPort: reader.integer('PEER_PORT', { min: 1, max: 65_535, fallback: 4792 }),
      serviceCidrs: reader.cidrs('SERVICE_CIDRS', ''),
      sysctlDir: reader.text('SYSCTL_DIR', '/proc/sys/net'),
      stateDir: reader.text('STATE_DIR', ''),
      tunnelPort: reader.integer('TUNNEL_PORT', { min: 1, max: 65_535, fallback: 4790 }),
      tunnelVni: reader.integer('TUNNEL_VNI', { min: 1, max: VNI_MAX, fallback: 7777 }),
    };
  });
}

function readNodeAddress(reader: EnvReader): Address {
  const text = reader.text('NODE_IP');
  const parsed = parseAddress(text === '' ? '0.0.0.0' : text);
  if (parsed.kind === 'ok') return parsed.value;
  reader.refuse(`NODE_IP is ${text}; the tunnel needs the node's address: ${parsed.error.message}`);
  return stand();
}

/** Never seen: with a problem on record the value is thrown away. */
function stand(): Address {
  const parsed = parseAddress('0.0.0.0');
  if (parsed.kind === 'refused') throw new Error(parsed.error.message);
  return parsed.value;
}
