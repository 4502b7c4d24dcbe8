import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Cluster } from './cluster.ts';
import {
  type ClusterState,
  cgroupsOf,
  clusterFolder,
  identifyProcess,
  type ProcessIdentity,
  readState,
  writeState,
} from './clusterState.ts';
import { ClusterError } from './command.ts';
import { writeControlPlaneFiles } from './controlPlaneBoot.ts';
import { destroyAbandoned, destroyCluster } from './destroyCluster.ts';
import { startMember, startRelay } from './members.ts';
import { attachNode, buildBackbone } from './network.ts';
import { writeNodeFiles } from './nodeBoot.ts';
import { issueCertificates, writeKubeconfig } from './pki.ts';
import { ensureToolchain, type Progress, type Toolchain } from './toolchain.ts';
import {
  type ClusterNode,
  CONTROL_PLANE,
  CONTROL_PLANE_ADDRESS,
  DEFAULT_SHAPE,
  type NodeShape,
  namespaceName,
  OUTSIDE,
  placeNodes,
  ROUTER,
  renderNodes,
} from './topology.ts';

export interface ClusterOptions {
  /** At most 20 of a-z, 0-9 and '-'; names everything on the machine that belongs to the cluster. */
  readonly id: string;
  /** Default: three gateways in two zones and two workers. */
  readonly shape?: readonly NodeShape[];
  /** Nodes, pods and services have IPv6 addresses beside those of IPv4. */
  readonly dualStack?: boolean;
  /** OCI tars every node imports whenever it starts. */
  readonly images?: readonly string[];
  /** base_reachable_time_ms of the router; Linux's default when absent. */
  readonly routerArpTimeoutMs?: number;
  /** What the API server logs to `auditLog(cluster.folder)`, an audit.k8s.io/v1 Policy; default: nothing. */
  readonly auditPolicy?: object;
  /** What the containers of a node log goes to a disk of this size, which can be full; default: to the machine's. */
  readonly logDiskMegabytes?: number;
  /** Keep the cluster when this process ends; default: the next start removes it. */
  readonly persistent?: boolean;
  readonly onProgress?: Progress;
}

function describe(id: string, nodes: readonly ClusterNode[], owner: ProcessIdentity | null): ClusterState {
  const members = [CONTROL_PLANE, ...nodes.map((node) => node.name)];
  const namespaces = ['switch', ROUTER, OUTSIDE, ...members];
  return {
    id,
    owner,
    nodes,
    networkNamespaces: namespaces.map((member) => namespaceName(id, member)),
    cgroups: members.flatMap((member) => cgroupsOf(namespaceName(id, member))),
    processes: [],
    port: 0,
  };
}

async function writeKubeconfigs(folder: string, nodes: readonly ClusterNode[], port: number): Promise<void> {
  const pkiFolder = join(folder, 'pki');
  const inside = `https://${CONTROL_PLANE_ADDRESS}:6443`;
  const names = ['controller-manager', 'scheduler', 'proxy', ...nodes.map((node) => node.name)];
  await Promise.all([
    writeKubeconfig(join(folder, 'kubeconfig'), {
      server: `https://127.0.0.1:${port}`,
      pkiFolder,
      certificate: 'admin',
    }),
    ...names.map((certificate) =>
      writeKubeconfig(join(folder, `${certificate}.kubeconfig`), { server: inside, pkiFolder, certificate }),
    ),
  ]);
}

/** Waits for all even when one fails: what still runs would make things behind the back of the tear-down. */
async function allEnded(steps: readonly Promise<void>[]): Promise<void> {
  const outcomes = await Promise.allSettled(steps);
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}

/** A wait that fails says why nobody answered: the end of the log of the program that should have. */
async function explainedBy(log: string, waiting: Promise<void>): Promise<void> {
  try {
    await waiting;
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error;
    const text = await readFile(log, 'utf8').catch(() => 'the program never started');
    throw new ClusterError(error.step, `${error.message}\nend of ${log}:`, text);
  }
}

async function start(options: ClusterOptions, state: ClusterState, toolchain: Toolchain): Promise<Cluster> {
  const { id, nodes } = state;
  const folder = clusterFolder(id);
  const progress = options.onProgress ?? (() => undefined);
  await mkdir(join(folder, 'images'), { recursive: true });
  await copyFile(toolchain.pauseImagePath, join(folder, 'images', '00-pause.tar'));
  for (const [index, image] of (options.images ?? []).entries()) {
    await copyFile(image, join(folder, 'images', `given-${index}.tar`));
  }
  progress('network and certificates');
  const arp =
    options.routerArpTimeoutMs === undefined ? {} : { routerArpTimeoutMs: options.routerArpTimeoutMs };
  await allEnded([
    issueCertificates(join(folder, 'pki'), nodes),
    buildBackbone(id, { nodes, ...arp }),
    writeControlPlaneFiles({
      folder,
      toolchain,
      dualStack: options.dualStack === true,
      auditPolicy: options.auditPolicy,
    }),
    ...nodes.map((node) =>
      writeNodeFiles({ node, folder, toolchain, logDiskMegabytes: options.logDiskMegabytes }),
    ),
  ]);
  const relay = await startRelay(id);
  await writeKubeconfigs(folder, nodes, relay.port);
  progress('control plane');
  const controlPlane = await startMember(id, CONTROL_PLANE);
  let current: ClusterState = { ...state, port: relay.port, processes: [relay.identity, controlPlane] };
  await writeState(current);
  for (const node of nodes) {
    await attachNode(id, node, nodes);
    const identity = await startMember(id, node.name);
    current = { ...current, processes: [...current.processes, identity] };
  }
  await writeState(current);
  const cluster = new Cluster(current, toolchain);
  await explainedBy(join(folder, CONTROL_PLANE, 'kube-apiserver.log'), cluster.waitForApiServer());
  progress('nodes');
  await cluster.kubectl(['create', '-f', '-'], { stdin: renderNodes(nodes) });
  await writeFile(join(folder, 'api-ready'), '');
  for (const node of nodes) {
    await explainedBy(join(folder, node.name, 'kubelet.log'), cluster.waitForNodeReady(node.name));
  }
  // Until it exists, the API server refuses every pod of the namespace.
  await cluster.waitForServiceAccount('default');
  return cluster;
}

/** A cluster with all nodes Ready. On failure everything made so far is removed and ClusterError says which step. */
export async function createCluster(options: ClusterOptions): Promise<Cluster> {
  const { id } = options;
  const nodes = placeNodes(id, options.shape ?? DEFAULT_SHAPE, { dualStack: options.dualStack === true });
  const toolchain = await ensureToolchain(
    options.onProgress === undefined ? {} : { onProgress: options.onProgress },
  );
  await destroyAbandoned();
  if (existsSync(clusterFolder(id))) {
    throw new ClusterError('creating the cluster', `'${id}' exists; take it down first`);
  }
  const owner = identifyProcess(process.pid);
  const state = describe(id, nodes, options.persistent === true ? null : (owner ?? null));
  await writeState(state);
  try {
    return await start(options, state, toolchain);
  } catch (error) {
    if (process.env.SALLYPORT_KEEP_FAILED_CLUSTER !== '1') await destroyCluster(id);
    throw error;
  }
}

/** The running cluster of that id, made by this process or another. */
export async function openCluster(id: string): Promise<Cluster> {
  const state = await readState(id);
  if (state === undefined) throw new ClusterError('opening the cluster', `there is no cluster '${id}'`);
  return new Cluster(state, await ensureToolchain());
}
