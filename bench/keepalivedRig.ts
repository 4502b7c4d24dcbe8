/**
 * The peer of the failover bench: the test cluster's topology without Kubernetes, where keepalived moves an egress
 * address between three gateways and conntrackd keeps their NAT states alike. Made of the cluster's own parts, so a power
 * cut is the same cut, and beside a running cluster, since everything carries the rig's id.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cgroupsOf, clusterFolder } from '../test/cluster/clusterState.ts';
import { ClusterError, runCommand } from '../test/cluster/command.ts';
import { destroyCluster, emptyCgroups } from '../test/cluster/destroyCluster.ts';
import { findProcesses, signalProcesses } from '../test/cluster/memberProcesses.ts';
import { startMember } from '../test/cluster/members.ts';
import { attachNode, detachNode, setUplink } from '../test/cluster/network.ts';
import {
  type ClusterNode,
  DEFAULT_SHAPE,
  namespaceName,
  OUTSIDE,
  OUTSIDE_ADDRESS,
  placeNodes,
} from '../test/cluster/topology.ts';
import { type WaitOptions, waitUntil } from '../test/cluster/waitUntil.ts';
import {
  LOCAL_CLIENT,
  LOCAL_SERVER,
  type RunningClient,
  type RunningServer,
  startClient,
  startServer,
} from '../test/probe/probeProcess.ts';
import type { ServerReport } from '../test/probe/report.ts';
import { buildPeerNetwork, podName } from './keepalived/buildPeerNetwork.ts';
import { ensurePeerPackages } from './keepalived/ensurePeerPackages.ts';
import {
  CONNTRACKD_LOG,
  EGRESS_ADDRESS,
  INNER_ADDRESS,
  KEEPALIVED_LOG,
  writeGatewayFiles,
} from './keepalived/gatewayFiles.ts';
import { destroyAbandonedRigs, isGateway, recordId, recordRig } from './keepalived/rigRecord.ts';

/** Two programs that start within a second, on a machine that does other things. */
const STABLE_TIMEOUT_MS = 30_000;

/** As in test/scenarios: connections of each kind, and UDP packets a second each way. */
export interface RigTraffic {
  readonly podPush: number;
  readonly serverPush: number;
  readonly udpRate: number;
}

export interface KeepalivedRig {
  /** `keepalived 2.2.7 + conntrackd 1.4.7`. */
  readonly version: string;
  /** The one gateway that has the addresses; throws where none or more than one has any. */
  holder(): Promise<string>;
  /** Waits until one gateway is master, all others that have power are backups, and conntrackd runs everywhere. */
  waitStable(): Promise<string>;
  /** Waits until another gateway than `before` has the addresses. */
  waitMoved(before: string): Promise<string>;
  /** All processes and the whole network state of the gateway are gone at once; its disk stays. */
  powerCut(gateway: string): Promise<void>;
  /** Returns once it boots; waitStable says when it is back as a backup. */
  powerOn(gateway: string): Promise<void>;
  /** From the pod on worker-1 to the outside host; ended by close() at the latest. */
  startTraffic(traffic: RigTraffic): Promise<RunningClient>;
  /** What the outside host saw; its last flow is the youngest traffic's. */
  outsideReport(): Promise<ServerReport>;
  /** Leaves no namespace, process, mount or file. */
  close(): Promise<void>;
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
  await recordRig(id, nodes);
  const rig = new Rig(id, version, nodes);
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
  readonly version: string;
  readonly #id: string;
  readonly #nodes: readonly ClusterNode[];
  #powered: readonly string[] = [];
  #clients: readonly RunningClient[] = [];
  #server: RunningServer | undefined;

  constructor(id: string, version: string, nodes: readonly ClusterNode[]) {
    this.#id = id;
    this.version = version;
    this.#nodes = nodes;
  }

  async start(): Promise<void> {
    await buildPeerNetwork(this.#id, this.#nodes);
    for (const [rank, node] of this.#nodes.filter(isGateway).entries()) {
      await writeGatewayFiles(clusterFolder(this.#id), { node, rank });
      await this.powerOn(node.name);
    }
    this.#server = await startServer([...this.#enter(OUTSIDE), ...LOCAL_SERVER]);
    await this.waitStable();
  }

  async holder(): Promise<string> {
    const holders = await this.#holders();
    const [only] = holders;
    if (only === undefined || holders.length > 1)
      throw new ClusterError('finding the holder', `held by ${holders.join(' and ') || 'nobody'}`);
    return only;
  }

  waitStable(): Promise<string> {
    return this.#wait('one master, and backups else', async () => {
      const holder = await this.holder();
      for (const name of this.#powered) this.#expectReady(name, name === holder ? 'MASTER' : 'BACKUP');
      return holder;
    });
  }

  waitMoved(before: string): Promise<string> {
    return this.#wait(`the address to leave ${before}`, async () => {
      const holder = await this.holder();
      return holder === before ? undefined : holder;
    });
  }

  async powerCut(gateway: string): Promise<void> {
    const { name } = this.#gateway(gateway);
    // As the test cluster does it: first the wire, then everything behind it.
    await setUplink(this.#id, name, 'down');
    this.#powered = this.#powered.filter((powered) => powered !== name);
    signalProcesses(this.#id, name, /^unshare /, 'SIGKILL');
    await emptyCgroups(cgroupsOf(namespaceName(this.#id, name)));
    await detachNode(this.#id, name);
  }

  async powerOn(gateway: string): Promise<void> {
    const node = this.#gateway(gateway);
    await attachNode(this.#id, node, this.#nodes);
    await startMember(this.#id, node.name);
    this.#powered = [...this.#powered, node.name];
  }

  async startTraffic({ podPush, serverPush, udpRate }: RigTraffic): Promise<RunningClient> {
    const counts = { '--pod-push': podPush, '--server-push': serverPush, '--udp-rate': udpRate };
    const options = Object.entries(counts).flatMap(([name, count]) => [name, String(count)]);
    const [worker] = this.#nodes.filter((node) => !isGateway(node));
    if (worker === undefined) throw new ClusterError('starting traffic', 'there is no worker');
    const place = this.#enter(podName(worker));
    const client = await startClient([...place, ...LOCAL_CLIENT, '--server', OUTSIDE_ADDRESS, ...options]);
    this.#clients = [...this.#clients, client];
    return client;
  }

  outsideReport(): Promise<ServerReport> {
    if (this.#server === undefined) throw new ClusterError('asking the outside host', 'it does not run');
    return this.#server.report();
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.kill();
    await this.#server?.stop();
    await destroyCluster(this.#id);
  }

  #enter(member: string): readonly string[] {
    return ['ip', 'netns', 'exec', namespaceName(this.#id, member)];
  }

  #gateway(name: string): ClusterNode {
    const found = this.#nodes.filter(isGateway).find((node) => node.name === name);
    if (found === undefined) throw new ClusterError('choosing a gateway', `there is no gateway '${name}'`);
    return found;
  }

  #wait<T>(
    what: string,
    probe: () => Promise<T | undefined>,
    options: WaitOptions = { timeoutMs: STABLE_TIMEOUT_MS },
  ): Promise<T> {
    return waitUntil(what, probe, options);
  }

  /** Gateways with power that have an egress or an inner address: where one has but one of them, it counts as well. */
  async #holders(): Promise<readonly string[]> {
    const has = async (name: string): Promise<boolean> => {
      const argv = ['ip', '-n', namespaceName(this.#id, name), '-4', 'address', 'show', 'dev', 'eth0'];
      const { stdout } = await runCommand('reading addresses', argv);
      return stdout.includes(` ${EGRESS_ADDRESS}/`) || stdout.includes(` ${INNER_ADDRESS}/`);
    };
    const found = await Promise.all(this.#powered.map(has));
    return this.#powered.filter((_, index) => found[index]);
  }

  /** Throws what is not ready yet, and where its log is. */
  #expectReady(name: string, expected: 'MASTER' | 'BACKUP'): void {
    const disk = join(clusterFolder(this.#id), name);
    const log = readFileSync(join(disk, KEEPALIVED_LOG), 'utf8');
    for (const instance of ['outer', 'inner']) {
      const states = [...log.matchAll(new RegExp(`\\(${instance}\\) Entering (\\w+) STATE`, 'g'))];
      const state = states.at(-1)?.[1] ?? 'no state';
      if (state !== expected)
        throw new ClusterError(`${instance} of ${name}`, `in ${state}, expected ${expected}`, log);
    }
    const states = readFileSync(join(disk, CONNTRACKD_LOG), 'utf8');
    const runs = (program: RegExp): boolean => findProcesses(this.#id, name, program).length > 0;
    if (!runs(/^keepalived /) || !runs(/^conntrackd /) || !states.includes('initialization completed'))
      throw new ClusterError(`keepalived and conntrackd of ${name}`, 'do not both run', log + states);
  }
}
