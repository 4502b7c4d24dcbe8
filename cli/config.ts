/** The command's settings from its environment: read once, here and nowhere else. */
import path from 'node:path';

export interface CliConfig {
  /** KUBECONFIG, its files separated as PATH is; else ~/.kube/config. */
  readonly kubeconfigPaths: readonly string[];
  /** In a pod without a kubeconfig: KUBERNETES_SERVICE_HOST and _PORT. */
  readonly inCluster?: { readonly host: string; readonly port: string };
}

type Environment = Readonly<Record<string, string | undefined>>;

export function readCliConfig(env: Environment = process.env): CliConfig {
  const named = (env.KUBECONFIG ?? '').split(path.delimiter).filter((it) => it !== '');
  const [host, port] = [env.KUBERNETES_SERVICE_HOST ?? '', env.KUBERNETES_SERVICE_PORT ?? ''];
  return {
    kubeconfigPaths: named.length > 0 ? named : [path.join(env.HOME ?? '', '.kube', 'config')],
    ...(host === '' || port === '' ? {} : { inCluster: { host, port } }),
  };
}
