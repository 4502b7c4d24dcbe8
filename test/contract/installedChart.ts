/** The chart, installed on a lone API server: accounts, roles and limits are in force, and nothing runs. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { createRestClient } from '../../kube/restClient.ts';
import type { ApiServer } from './apiServer.ts';
import { runKubectl } from './runKubectl.ts';
import { must } from './webhookProgram.ts';

export const NAMESPACE = 'sallyport-system';
export const AGENT = 'sallyport-agent';
const CHART = path.resolve(import.meta.dirname, '../../charts/sallyport');

export function installChart(api: ApiServer, settings: readonly string[] = []): void {
  const sets = settings.flatMap((setting) => ['--set', setting]);
  const place = ['--kubeconfig', api.kubeconfigPath, '--namespace', NAMESPACE];
  const argv = [...place, 'install', 'sallyport', CHART, '--create-namespace', ...sets];
  const done = spawnSync(path.join(api.binaries, 'helm'), argv, { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`helm install: ${done.stderr}`);
  // Nobody is there to answer a review, and no request shall wait for that.
  const removed = runKubectl(api, [
    'delete',
    'validatingwebhookconfiguration,mutatingwebhookconfiguration',
    'sallyport-webhook',
  ]);
  if (removed.code !== 0) throw new Error(removed.output);
}

/** A node with a pod of the account on it, as far as the API server is concerned. Returns a token bound to that pod. */
export async function tokenOnNode(admin: KubeClient, node: string, account = AGENT): Promise<string> {
  must(await admin.create('/api/v1/nodes', { metadata: { name: node } }));
  const created = must(
    await admin.create(`/api/v1/namespaces/${NAMESPACE}/pods`, {
      metadata: { name: `agent-${node}` },
      spec: { serviceAccountName: account, nodeName: node, containers: [{ name: 'agent', image: 'none' }] },
    }),
  );
  const { metadata } = created as { readonly metadata: { readonly name: string; readonly uid: string } };
  return token(admin, account, { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', ...named(metadata) } });
}

function named({ name, uid }: { readonly name: string; readonly uid: string }) {
  return { name, uid };
}

/** One that is bound to nothing, unless `spec` says otherwise. */
export async function token(admin: KubeClient, account: string, spec: object = {}): Promise<string> {
  const path = `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/${account}/token`;
  const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec };
  const { status } = must(await admin.create(path, request)) as {
    readonly status: { readonly token: string };
  };
  return status.token;
}

export function clientWith(api: ApiServer, bearer: string): KubeClient {
  return createRestClient({ ...api.access, readToken: () => bearer });
}
