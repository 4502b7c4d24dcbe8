/**
 * A person's access to a cluster, as kubectl finds it: several kubeconfig files merged, a context by name, and whatever
 * the user's entry asks for: certificate, token, or a program that gives one (clouds do that). For commands, which end
 * before a credential does.
 */
import { existsSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { type Cluster, KubeConfig } from '@kubernetes/client-node';
import { readPem } from './clusterAccess.ts';
import type { ClusterAccess } from './inClusterAccess.ts';

export interface UserAccessOptions {
  /** In the order of KUBECONFIG; those that do not exist are passed over, as kubectl does. */
  readonly paths: readonly string[];
  /** Absent: the current one of the first file that has any. */
  readonly context?: string;
}

/** Throws one sentence where there is no usable file, context or credential. */
export async function userAccess({ paths, context }: UserAccessOptions): Promise<ClusterAccess> {
  const config = mergeFiles(paths);
  if (context !== undefined) {
    const known = config.getContexts().map(({ name }) => name);
    if (!known.includes(context))
      throw new Error(`there is no context ${context}; there are ${known.join(', ') || 'none'}`);
    config.setCurrentContext(context);
  }
  const cluster = config.getCurrentCluster();
  if (cluster === null)
    throw new Error(`${paths.join(':')} has no current cluster; choose one with --context`);
  refuseUnsupported(cluster, config.getCurrentUser()?.impersonateUser);
  return renderAccess(cluster, await readCredentials(config));
}

function mergeFiles(paths: readonly string[]): KubeConfig {
  const [first, ...others] = paths.filter((path) => existsSync(path));
  if (first === undefined) throw new Error(`there is no kubeconfig at ${paths.join(' or ')}`);
  const config = new KubeConfig();
  config.loadFromFile(first);
  for (const path of others) {
    const other = new KubeConfig();
    other.loadFromFile(path);
    config.mergeConfig(other, config.getCurrentContext() !== '');
  }
  return config;
}

/** To act as somebody else, or past a proxy, silently as oneself or directly would be worse than to refuse. */
function refuseUnsupported({ proxyUrl }: Cluster, impersonated: string | undefined): void {
  if (proxyUrl !== undefined && proxyUrl !== null)
    throw new Error(
      'the cluster has a proxy-url, which is not supported; use kubectl proxy or a direct route',
    );
  if (impersonated !== undefined)
    throw new Error("the user's entry impersonates another one, which is not supported");
}

/** client-node runs the user's program where there is one, and fills in what it gave. */
async function readCredentials(config: KubeConfig): Promise<RequestOptions> {
  const options: RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  return options;
}

function renderAccess(cluster: Cluster, { cert, key, headers }: RequestOptions): ClusterAccess {
  const ca = readPem(cluster.caData, cluster.caFile);
  // Made by client-node as a plain object.
  const authorization = new Map(Object.entries(headers ?? {})).get('Authorization');
  const token = /^Bearer (.+)$/.exec(String(authorization ?? ''))?.[1];
  return {
    server: cluster.server.replace(/\/+$/, ''),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined
      ? {}
      : { clientCertificate: { cert: String(cert), key: String(key) } }),
    ...(token === undefined ? {} : { readToken: () => token }),
    ...(cluster.tlsServerName === undefined ? {} : { serverName: cluster.tlsServerName }),
    ...(cluster.skipTLSVerify === true ? { unverified: true } : {}),
  };
}
