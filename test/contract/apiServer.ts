/**
 * A real etcd and kube-apiserver on loopback, without controllers or nodes: enough to hold our REST client, our CRDs
 * and our webhook against the real thing. Everything lives in one temporary folder and ends with `stop`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { ClusterAccess } from '../../kube/clusterAccess.ts';
import { createRestClient } from '../../kube/restClient.ts';
import { ensureToolchain } from '../cluster/toolchain.ts';
import { waitUntil } from '../cluster/waitUntil.ts';
import { freePort } from '../lab/freePort.ts';

export interface ApiServer {
  readonly access: ClusterAccess;
  readonly kubeconfigPath: string;
  /** Folder of the built binaries, kubectl among them. */
  readonly binaries: string;
  /** Ends kube-apiserver alone and starts it again on the same port over the same etcd. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

const READY_DEADLINE_MS = 60_000;

export async function startApiServer(
  options: { readonly onProgress?: (line: string) => void } = {},
): Promise<ApiServer> {
  const { folder: binaries } = await ensureToolchain(options);
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-apiserver-'));
  const file = (name: string): string => path.join(folder, name);
  const [client, peer, port] = [await freePort(), await freePort(), await freePort()];
  const token = randomBytes(16).toString('hex');
  const keys = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  writeFileSync(file('sa.pub'), keys.publicKey);
  writeFileSync(file('sa.key'), keys.privateKey, { mode: 0o600 });
  writeFileSync(file('tokens.csv'), `${token},admin,admin,system:masters\n`, { mode: 0o600 });

  const children = new Set<ChildProcess>();
  const run = (name: string, args: readonly string[]): ChildProcess => {
    const log = openSync(file(`${name}.log`), 'a');
    const child = spawn(path.join(binaries, name), args, { stdio: ['ignore', log, log] });
    children.add(child);
    child.once('exit', () => children.delete(child));
    return child;
  };
  const etcdUrl = `http://127.0.0.1:${client}`;
  const etcd = run('etcd', [
    ...['--data-dir', file('etcd'), '--unsafe-no-fsync', '--log-level', 'error'],
    ...['--listen-client-urls', etcdUrl, '--advertise-client-urls', etcdUrl],
    ...['--listen-peer-urls', `http://127.0.0.1:${peer}`],
  ]);
  const serve = (): ChildProcess =>
    run('kube-apiserver', [
      ...['--etcd-servers', etcdUrl, '--bind-address', '127.0.0.1', '--secure-port', String(port)],
      ...['--cert-dir', folder, '--token-auth-file', file('tokens.csv'), '--authorization-mode', 'RBAC'],
      ...['--service-account-key-file', file('sa.pub'), '--service-account-signing-key-file', file('sa.key')],
      ...[
        '--service-account-issuer',
        'https://kubernetes.default.svc',
        '--service-cluster-ip-range',
        '10.96.0.0/16',
      ],
    ]);
  const server = `https://127.0.0.1:${port}`;
  /** Asks until the program answers; when it has ended or never does, throws with the last it wrote. */
  const answering = async <T>(name: string, child: ChildProcess, probe: () => Promise<T | undefined>) => {
    const given = await waitUntil(
      name,
      async () => {
        if (hasEnded(child)) return { ended: true as const };
        const value = await probe();
        return value === undefined ? undefined : { ended: false as const, value };
      },
      { timeoutMs: READY_DEADLINE_MS },
    ).catch((error: unknown) => {
      throw new Error(`${name} does not answer:\n${tail(file(`${name}.log`))}`, { cause: error });
    });
    if (given.ended) throw new Error(`${name} ended with ${child.exitCode}:\n${tail(file(`${name}.log`))}`);
    return given.value;
  };
  const ready = (apiServer: ChildProcess): Promise<ClusterAccess> =>
    answering('kube-apiserver', apiServer, async () => {
      const access = tryAccess(server, file('apiserver.crt'), token);
      return access !== undefined && (await isReady(access)) ? access : undefined;
    });
  const stop = async (): Promise<void> => {
    await Promise.all([...children].map(end));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    // An API server that finds no etcd for twenty seconds ends for good.
    await answering('etcd', etcd, () => accepts(client));
    let apiServer = serve();
    const access = await ready(apiServer);
    writeFileSync(file('kubeconfig'), renderKubeconfig(server, access.ca ?? '', token), { mode: 0o600 });
    return {
      access,
      kubeconfigPath: file('kubeconfig'),
      binaries,
      async restart() {
        await end(apiServer);
        apiServer = serve();
        await ready(apiServer);
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function tryAccess(server: string, certificate: string, token: string): ClusterAccess | undefined {
  try {
    return { server, ca: readFileSync(certificate, 'utf8'), readToken: () => token };
  } catch {
    return undefined;
  }
}

async function isReady(access: ClusterAccess): Promise<boolean> {
  const client = createRestClient(access);
  try {
    return (
      (await client.get('/readyz')).kind === 'ok' &&
      (await client.get('/api/v1/namespaces/default')).kind === 'ok'
    );
  } finally {
    await client.close();
  }
}

function accepts(port: number): Promise<true | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('error', () => resolve(undefined));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

async function end(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exited;
}

function tail(file: string): string {
  return readFileSync(file, 'utf8').split('\n').slice(-20).join('\n');
}

function renderKubeconfig(server: string, ca: string, token: string): string {
  const cluster = { server, 'certificate-authority-data': Buffer.from(ca).toString('base64') };
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster }],
    users: [{ name: 'admin', user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
    'current-context': 'test',
  });
}
