/** The settings of the Job before an uninstall: read once from the environment, into a value or the list of everything wrong. */
import type { Result } from '../policy/result.ts';
import { LOG_LEVELS, type LogLevel } from '../runtime/logger.ts';
import { type Environment, readEnv } from '../runtime/readEnv.ts';

export interface UninstallConfig {
  /** Where the API server is: what Kubernetes puts into every pod. KUBERNETES_SERVICE_HOST and _PORT, required. */
  readonly cluster: { readonly host: string; readonly port: string };
  /** Of the Events it writes. POD_NAME, required. */
  readonly podName: string;
  /** LOG_LEVEL, default info. */
  readonly logLevel: LogLevel;
  /** How long nodes are waited for, milliseconds; those that do not answer are named. TIMEOUT_SECONDS, 30..240, default 120. */
  readonly timeoutMs: number;
  readonly names: ReleaseNames;
}

/** What the release's objects are called. */
export interface ReleaseNames {
  /** SALLYPORT_NAMESPACE, required. */
  readonly namespace: string;
  /** The Deployment and both webhook configurations. WEBHOOK, required. */
  readonly webhook: string;
  /** The webhook's Secret. CERT_SECRET, required. */
  readonly certSecret: string;
  /** The Deployment. CONTROLLER, required. */
  readonly controller: string;
  /** The DaemonSet. AGENT, required. */
  readonly agent: string;
  /** What the controller's and the agents' pods are chosen by. CONTROLLER_PODS and AGENT_PODS, label selectors, required. */
  readonly controllerPods: string;
  readonly agentPods: string;
}

export function readUninstallConfig(
  // biome-ignore lint/style/noProcessEnv: this is the config.ts of one of the folder's programs.
  env: Environment = process.env,
): Result<UninstallConfig, readonly string[]> {
  return readEnv(env, (reader) => ({
    cluster: { host: reader.text('KUBERNETES_SERVICE_HOST'), port: reader.text('KUBERNETES_SERVICE_PORT') },
    podName: reader.text('POD_NAME'),
    logLevel: reader.choice('LOG_LEVEL', LOG_LEVELS, 'info'),
    timeoutMs: reader.durationMs('TIMEOUT_SECONDS', { unit: 'seconds', min: 30, max: 240, fallback: 120 }),
    names: {
      namespace: reader.text('SALLYPORT_NAMESPACE'),
      webhook: reader.text('WEBHOOK'),
      certSecret: reader.text('CERT_SECRET'),
      controller: reader.text('CONTROLLER'),
      agent: reader.text('AGENT'),
      controllerPods: reader.text('CONTROLLER_PODS'),
      agentPods: reader.text('AGENT_PODS'),
    },
  }));
}
