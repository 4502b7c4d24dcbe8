/**
 * The peer of the failover bench: the test cluster's topology without Kubernetes, where keepalived moves an egress
 * address between three gateways and conntrackd keeps their NAT states alike. Made of the cluster's own parts, so a power
 * cut is the same cut, and beside a running cluster, since everything carries the rig's id.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Cluster } from '../test/cluster/cluster.ts';
import { clusterFolder } from '../test/cluster/clusterState.ts';
import { ClusterError } from '../test/cluster/command.ts';
import { destroyCluster } from '../test/cluster/destroyCluster.ts';
import { findProcesses } from '../test/cluster/memberProcesses.ts';
import { DEFAULT_SHAPE, placeNodes } from '../test/cluster/topology.ts';
import { waitUntil } from '../test/cluster/waitUntil.ts';
import type { RunningClient } from '../test/probe/probeProcess.ts';
import { startPodClient } from './failover/probes.ts';
import type { System } from './failover/system.ts';
import { buildPeerNetwork, podName } from './keepalived/buildPeerNetwork.ts';
import { ensurePeerPackages } from './keepalived/ensurePeerPackages.ts';
import {
  CONNTRACKD_LOG,
  EGRESS_ADDRESS,
  INNER_ADDRESS,
  KEEPALIVED_LOG,
  writeGatewayFiles,
} from './keepalived/gatewayFiles.ts';
import { KEEPALIVED } from './keepalived/keepalivedFaults.ts';
import { destroyAbandonedRigs, isGateway, recordId, recordRig } from './keepalived/rigRecord.ts';

/** Two programs that start within a second, on a machine that does other things. */
const STABLE_TIMEOUT_MS = 60_000;
/** Where there is no Kubernetes, no tool for it is needed. */
const NO_TOOLCHAIN = { folder: '/nonexistent', pauseImagePath: '/nonexistent' };

export interface KeepalivedRig extends System {
  /** `keepalived 2.2.7 + conntrackd 1.4.7`. */
  readonly version: string;
  /** Waits until another gateway than `before` has the addresses, whatever `before` still has; says which. */
  waitMoved(before: string): Promise<string>;
}

export interface RigOptions {
  /** At most 15 of a-z, 0-9 and '-'; names everything on the machine that belongs to the rig. */
  readonly id: string;
  readonly onProgress?: (line: string) => void;
}

/** On failure everything made so far is removed. What an earlier process left behind is removed first. */
export async function openKeepalivedRig({ id: given, onProgress }: RigOptions): Promise<KeepalivedRig> {
  const id = recordId(given);
  const nodes = placeNodes(id, DEFAULT_SHAPE);
  const { version } = await ensurePeerPackages(onProgress);
  await destroyAbandonedRigs();
  const rig = new Rig(new Cluster(await recordRig(id, nodes), NO_TOOLCHAIN), version);
  try {
    onProgress?.('building the network, starting keepalived and conntrackd on three gateways');
    await rig.start();
    return rig;
  } catch (error) {
    await rig.close();
    throw error;
  }
}

class Rig implements KeepalivedRig {
  readonly name = 'keepalived';
  readonly address = EGRESS_ADDRESS;
  readonly cluster: Cluster;
  readonly pod: string;
  readonly version: string;
  readonly #gateways: readonly string[];

  constructor(cluster: Cluster, version: string) {
    this.cluster = cluster;
    this.version = version;
    this.#gateways = cluster.nodes.filter(isGateway).map(({ name }) => name);
    const worker = cluster.nodes.find((node) => !isGateway(node));
    if (worker === undefined) throw new ClusterError('placing the pod', 'there is no worker');
    this.pod = podName(worker);
  }

  async start(): Promise<void> {
    const { id, nodes } = this.cluster;
    await buildPeerNetwork(id, nodes);
    for (const [rank, node] of nodes.filter(isGateway).entries()) {
      await writeGatewayFiles(clusterFolder(id), { node, rank });
      await this.cluster.powerOn(node.name);
    }
    await this.waitWhole();
  }

  /** One gateway is master, all others are backups, and conntrackd runs everywhere. */
  async waitWhole(): Promise<void> {
    await waitUntil(
      'one master, and backups else',
      async () => {
        const holder = await this.#onlyHolder(this.#gateways);
        for (const name of this.#gateways) this.#expectReady(name, name === holder ? 'MASTER' : 'BACKUP');
        return holder;
      },
      { timeoutMs: STABLE_TIMEOUT_MS },
    );
  }

  waitMoved(before: string): Promise<string> {
    const others = this.#gateways.filter((name) => name !== before);
    return waitUntil(`another than ${before} to take over`, () => this.#onlyHolder(others), {
      timeoutMs: STABLE_TIMEOUT_MS,
    });
  }

  startTraffic(): Promise<RunningClient> {
    return startPodClient(['ip', 'netns', 'exec', this.cluster.networkNamespace(this.pod)]);
  }

  /** Leaves no namespace, process, mount or file. */
  close(): Promise<void> {
    return destroyCluster(this.cluster.id);
  }

  /** Of these, the one that has the egress and the inner address; throws where none or more than one has any of them. */
  async #onlyHolder(gateways: readonly string[]): Promise<string> {
    const has = async (name: string): Promise<boolean> => {
      const { stdout } = await this.cluster.nodeExec(name, ['ip', '-4', 'address', 'show', 'dev', 'eth0']);
      return stdout.includes(` ${EGRESS_ADDRESS}/`) || stdout.includes(` ${INNER_ADDRESS}/`);
    };
    const found = await Promise.all(gateways.map(has));
    const holders = gateways.filter((_, index) => found[index]);
    const [only] = holders;
    if (only === undefined || holders.length > 1)
      throw new ClusterError('finding the holder', `held by ${holders.join(' and ') || 'nobody'}`);
    return only;
  }

  /** Throws what is not ready yet, and its log. */
  #expectReady(name: string, expected: 'MASTER' | 'BACKUP'): void {
    const { id } = this.cluster;
    const disk = join(clusterFolder(id), name);
    const log = readFileSync(join(disk, KEEPALIVED_LOG), 'utf8');
    for (const instance of ['outer', 'inner']) {
      const states = [...log.matchAll(new RegExp(`\\(${instance}\\) Entering (\\w+) STATE`, 'g'))];
      const state = states.at(-1)?.[1] ?? 'no state';
      if (state !== expected)
        throw new ClusterError(`${instance} of ${name}`, `in ${state}, expected ${expected}`, log);
    }
    const states = readFileSync(join(disk, CONNTRACKD_LOG), 'utf8');
    const runs = (program: RegExp): boolean => findProcesses(id, name, program).length > 0;
    if (!runs(KEEPALIVED) || !runs(/^conntrackd /) || !states.includes('initialization completed'))
      throw new ClusterError(`keepalived and conntrackd of ${name}`, 'do not both run', log + states);
  }
}
