/**
 * A real API server and two webhook programs behind one address, with the rights that the chart gives them and no more, and people who
 * use the command.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import path from 'node:path';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { createRestClient } from '../../kube/restClient.ts';
import {
  CERTIFICATES_ANNOTATION,
  CILIUM_EGRESS_GATEWAY_POLICY,
  collectionPath,
  EGRESS_IP,
  EGRESS_POLICY,
  GATEWAY_NODE,
} from '../../policy/names.ts';
import { DEFINITIONS, renderCrd } from '../../policy/schema/crds.ts';
import { runCommand } from '../cluster/command.ts';
import { waitUntil } from '../cluster/waitUntil.ts';
import { type ApiServer, startApiServer } from '../contract/apiServer.ts';
import {
  createConfigurations,
  createGateway,
  HOST,
  must,
  NAMESPACE,
  startWebhookProgram,
  type WebhookProgram,
  waitUntilInForce,
} from '../contract/webhookProgram.ts';
import { collectOutput, type Ended } from '../lab/collectOutput.ts';
import { freePort } from '../lab/freePort.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
/** As the chart names things where the release is called sallyport. */
export const WEBHOOK = 'sallyport-webhook';
export const CERT_SECRET = `${WEBHOOK}-cert`;
/** One API server learns of a bundle in milliseconds; the rest is for a machine with other things to do. */
const PROPAGATION_MS = 2000;
const SERVES = '"serving a certificate"';
const REPLICAS = ['webhook-0', 'webhook-1'];

export interface Release {
  readonly release: string;
  /** Settings of the chart, as `--set` takes them. */
  readonly values: readonly string[];
  /** Of the chart, beside what the rights are in. */
  readonly templates?: readonly string[];
}

export interface CertificateGround {
  readonly api: ApiServer;
  readonly client: KubeClient;
  readonly programs: readonly WebhookProgram[];
  kubectl(...args: readonly string[]): Promise<string>;
  sallyport(...words: readonly string[]): Promise<Ended>;
  /** Another program with the rights of a release, and settings beside the usual. */
  startProgram(
    name: string,
    kubeconfigPath: string,
    settings: Readonly<Record<string, string>>,
  ): Promise<WebhookProgram>;
  /** Path of a kubeconfig with the rights of that release's webhook. */
  grant(release: Release): Promise<string>;
  stop(): Promise<void>;
}

export async function openCertificateGround(onProgress: (line: string) => void): Promise<CertificateGround> {
  const api = await startApiServer({ onProgress });
  const client = createRestClient(api.access);
  const programs: WebhookProgram[] = [];
  const servers: Server[] = [];
  const stop = async (): Promise<void> => {
    for (const server of servers) server.close();
    await Promise.all(programs.map((program) => program.stop()));
    await client.close();
    await api.stop();
  };
  try {
    await installKinds(client);
    await createGateway(client);
    const startProgram: CertificateGround['startProgram'] = async (name, kubeconfigPath, settings) => {
      const program = await startWebhookProgram({ kubeconfigPath }, name, {
        ...{ CERT_SECRET, CERT_PROPAGATION_MILLISECONDS: String(PROPAGATION_MS) },
        ...{ VALIDATING_CONFIGURATION: WEBHOOK, MUTATING_CONFIGURATION: WEBHOOK },
        POD_SELECTOR: 'app.kubernetes.io/component=webhook',
        ...settings,
      });
      programs.push(program);
      return program;
    };
    const granted = await grant(api, { release: 'sallyport', values: [] });
    for (const name of REPLICAS) await startProgram(name, granted, {});
    const port = await freePort();
    servers.push(await startBalancer(port, [...programs]));
    await createConfigurations(client, port, {
      name: WEBHOOK,
      labels: { 'app.kubernetes.io/name': 'sallyport' },
      annotations: { [CERTIFICATES_ANNOTATION]: `selfManaged ${NAMESPACE}/${CERT_SECRET}` },
    });
    await waitUntilInForce(client);
    await waitUntil(
      'all to serve',
      async () => programs.every((it) => it.log().includes(SERVES)) || undefined,
    );
    return {
      ...{ api, client, programs, startProgram, stop },
      kubectl: async (...args) => (await runKubectl(api, args)).stdout,
      sallyport: (...words) => sallyport(api, words),
      grant: (release) => grant(api, release),
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function installKinds(client: KubeClient): Promise<void> {
  for (const definition of DEFINITIONS)
    must(
      await client.create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', renderCrd(definition)),
    );
  for (const kind of [CILIUM_EGRESS_GATEWAY_POLICY, EGRESS_POLICY, GATEWAY_NODE, EGRESS_IP])
    await waitUntil(
      kind.plural,
      async () => (await client.get(collectionPath(kind))).kind === 'ok' || undefined,
    );
}

function runKubectl({ binaries, kubeconfigPath }: ApiServer, args: readonly string[], stdin = '') {
  const cache = ['--cache-dir', `${kubeconfigPath}-cache`];
  const argv = [path.join(binaries, 'kubectl'), '--kubeconfig', kubeconfigPath, ...cache, ...args];
  return runCommand(`kubectl ${args[0]}`, argv, { stdin });
}

/** A kubeconfig with the rights of the webhook of a release with these values. What is rendered for it is applied. */
async function grant(api: ApiServer, { release, values, templates = [] }: Release): Promise<string> {
  const sets = values.flatMap((value) => ['--set', value]);
  const shown = ['webhook', 'webhookRbac', ...templates].flatMap((file) => [
    '--show-only',
    `templates/${file}.yaml`,
  ]);
  const chart = ['template', release, path.join(ROOT, 'charts/sallyport'), '--namespace', NAMESPACE];
  const helm = [path.join(api.binaries, 'helm'), ...chart, '--kube-version', '1.37.2', ...shown, ...sets];
  const { stdout } = await runCommand('rendering the chart', helm);
  await runKubectl(api, ['apply', '-f', '-'], stdout);
  const token = await runKubectl(api, ['create', 'token', `${release}-webhook`, '-n', NAMESPACE]);
  const config = JSON.parse((await runKubectl(api, ['config', 'view', '--raw', '-o', 'json'])).stdout);
  const users = [{ name: 'admin', user: { token: token.stdout.trim() } }];
  const file = `${api.kubeconfigPath}-${release}`;
  writeFileSync(file, JSON.stringify({ ...config, users }), { mode: 0o600 });
  return file;
}

function sallyport({ kubeconfigPath }: ApiServer, words: readonly string[]): Promise<Ended> {
  return collectOutput(
    spawn(process.execPath, [path.join(ROOT, 'cli/main.ts'), ...words], {
      env: { HOME: path.dirname(kubeconfigPath), KUBECONFIG: kubeconfigPath },
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  );
}

/** Connections in turn, as a Service deals them out. */
async function startBalancer(port: number, targets: readonly WebhookProgram[]): Promise<Server> {
  let turn = 0;
  const server = createServer((incoming: Socket) => {
    const outgoing = connect({ host: HOST, port: targets[turn++ % targets.length]?.port ?? 0 });
    for (const [from, to] of [[incoming, outgoing] as const, [outgoing, incoming] as const]) {
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(port, HOST, resolve));
  return server;
}
