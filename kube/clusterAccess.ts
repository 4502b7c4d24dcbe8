/**
 * Access to a cluster from outside, by a kubeconfig: a client certificate or a token. For programs that may run on
 * either side, what a pod has is exported here too; one that only ever runs in a pod imports `inClusterAccess.ts`.
 */
import { readFileSync } from 'node:fs';
import { KubeConfig } from '@kubernetes/client-node';
import type { ClusterAccess } from './inClusterAccess.ts';

export { type ClusterAccess, inClusterAccess } from './inClusterAccess.ts';

/** Throws what client-node throws for a file that is missing or no kubeconfig. */
export function kubeconfigAccess(path: string): ClusterAccess {
  const config = new KubeConfig();
  config.loadFromFile(path);
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new Error(`${path} has no current cluster`);
  const user = config.getCurrentUser();
  const [cert, key] = [readPem(user?.certData, user?.certFile), readPem(user?.keyData, user?.keyFile)];
  const ca = readPem(cluster.caData, cluster.caFile);
  const token = user?.token;
  return {
    server: cluster.server.replace(/\/+$/, ''),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { clientCertificate: { cert, key } }),
    ...(token === undefined ? {} : { readToken: () => token }),
  };
}

export function readPem(base64: string | undefined, file: string | undefined): string | undefined {
  if (base64 !== undefined) return Buffer.from(base64, 'base64').toString('utf8');
  return file === undefined ? undefined : readFileSync(file, 'utf8');
}
