import { spawn } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { copyFile, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type ClusterState, cgroupsOf, clusterFolder, readState, writeState } from './clusterState.ts';
import { ClusterError, type CommandOptions, type CommandResult, runCommand } from './command.ts';
import { destroyCluster, emptyCgroups } from './destroyCluster.ts';
import { findProcesses, signalProcesses } from './memberProcesses.ts';
import { startMember } from './members.ts';
import {
  attachNode,
  cutBetween,
  detachNode,
  execIn,
  healCuts,
  type PartitionDirection,
  setUplink,
} from './network.ts';
import type { Toolchain } from './toolchain.ts';
import { type ClusterNode, CONTROL_PLANE, namespaceName, OUTSIDE, ROUTER } from './topology.ts';
import { type WaitOptions, waitUntil } from './waitUntil.ts';

const API_SERVER_TIMEOUT_MS = 60_000;
const NODE_READY_TIMEOUT_MS = 90_000;
/** What comes after it is waiting, with a shorter limit of its own. */
const PROBE_TIMEOUT_MS = 5_000;

/** A running cluster: what drives it and what goes wrong in it. Methods throw ClusterError. */
export class Cluster {
  readonly id: string;
  readonly nodes: readonly ClusterNode[];
  /** Works with plain kubectl and helm from the machine's own network. */
  readonly kubeconfigPath: string;
  /** `https://127.0.0.1:<port>`. */
  readonly apiServerUrl: string;
  readonly folder: string;
  readonly #toolchain: Toolchain;

  constructor(state: ClusterState, toolchain: Toolchain) {
    this.id = state.id;
    this.nodes = state.nodes;
    this.folder = clusterFolder(state.id);
    this.kubeconfigPath = join(this.folder, 'kubeconfig');
    this.apiServerUrl = `https://127.0.0.1:${state.port}`;
    this.#toolchain = toolchain;
  }

  node(name: string): ClusterNode {
    const found = this.nodes.find((node) => node.name === name);
    if (found === undefined) throw new ClusterError('choosing a node', `there is no node '${name}'`);
    return found;
  }

  #member(name: string): string {
    return name === CONTROL_PLANE ? name : this.node(name).name;
  }

  /** Program and arguments, for a kubectl that goes on beside the caller. */
  kubectlCommand(args: readonly string[]): readonly string[] {
    return [join(this.#toolchain.folder, 'kubectl'), '--kubeconfig', this.kubeconfigPath, ...args];
  }

  kubectl(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return runCommand(`kubectl ${args[0] ?? ''}`, this.kubectlCommand(args), options);
  }

  helm(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const argv = [join(this.#toolchain.folder, 'helm'), '--kubeconfig', this.kubeconfigPath, ...args];
    return runCommand(`helm ${args[0] ?? ''}`, argv, { timeoutMs: 180_000, ...options });
  }

  /** kubectl or helm on the caller's terminal; gives its exit code. */
  runInteractively(program: 'kubectl' | 'helm', args: readonly string[]): Promise<number> {
    const argv = ['--kubeconfig', this.kubeconfigPath, ...args];
    const child = spawn(join(this.#toolchain.folder, program), argv, { stdio: 'inherit' });
    return new Promise((resolve, reject) => {
      child.once('error', reject).once('close', (code) => resolve(code ?? 1));
    });
  }

  podExec(
    namespace: string,
    pod: string,
    argv: readonly string[],
    options: CommandOptions = {},
  ): Promise<CommandResult> {
    return this.kubectl(['exec', '-i', '-n', namespace, pod, '--', ...argv], options);
  }

  /** In the node's network namespace, with the machine's own files. */
  nodeExec(node: string, argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return execIn(this.id, this.node(node).name, argv, options);
  }

  /** On the host behind the router, 198.51.100.10. */
  outsideExec(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return execIn(this.id, OUTSIDE, argv, options);
  }

  /** On the router between the nodes and the outside host. */
  routerExec(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return execIn(this.id, ROUTER, argv, options);
  }

  /** Network namespace of a node, 'outside', 'router', 'switch' or 'control-plane', for `ip netns exec`. */
  networkNamespace(member: string): string {
    return namespaceName(this.id, member);
  }

  /** Imports into every running node, and again whenever a node starts. */
  async loadImage(ociTarPath: string): Promise<void> {
    await copyFile(ociTarPath, join(this.folder, 'images', `loaded-${basename(ociTarPath)}`));
    await Promise.all(this.nodes.map((node) => this.#import(node.name, ociTarPath)));
  }

  async #import(node: string, ociTarPath: string): Promise<void> {
    const [boot] = findProcesses(this.id, node, /^sh \S+\/boot\.sh /);
    if (boot === undefined) return;
    const importing = ['images', 'import', '--local', '--snapshotter', 'overlayfs', ociTarPath];
    const ctr = [join(this.#toolchain.folder, 'ctr'), '-n', 'k8s.io', ...importing];
    await runCommand(`importing an image into ${node}`, ['nsenter', '-t', `${boot}`, '--mount', ...ctr]);
  }

  /** Stops processes of a node (its containers' too) or of 'control-plane' whose command line matches; they keep all they hold. */
  freeze(member: string, pattern: RegExp): void {
    signalProcesses(this.id, this.#member(member), pattern, 'SIGSTOP');
  }

  thaw(member: string, pattern: RegExp): void {
    signalProcesses(this.id, this.#member(member), pattern, 'SIGCONT');
  }

  kill(member: string, pattern: RegExp): void {
    signalProcesses(this.id, this.#member(member), pattern, 'SIGKILL');
  }

  /** All processes and the whole network state of the node are gone at once; its disk stays. */
  async powerCut(name: string): Promise<void> {
    const node = this.node(name);
    // First the wire: the processes of a busy node take seconds to die, and the kernel would forward meanwhile.
    await setUplink(this.id, node.name, 'down');
    signalProcesses(this.id, node.name, /^unshare /, 'SIGKILL');
    await emptyCgroups(cgroupsOf(namespaceName(this.id, node.name)));
  }

  /** Returns once the node boots; waitForNodeReady says when it is up. */
  async powerOn(name: string): Promise<void> {
    const node = this.node(name);
    // What its kernel knew goes only now: taking a namespace apart holds up every other node's kernel, which is this one too.
    await detachNode(this.id, node.name);
    await attachNode(this.id, node, this.nodes);
    const identity = await startMember(this.id, node.name);
    const state = await readState(this.id);
    if (state !== undefined) await writeState({ ...state, processes: [...state.processes, identity] });
  }

  unplugUplink(node: string): Promise<void> {
    return setUplink(this.id, this.node(node).name, 'down');
  }

  plugUplink(node: string): Promise<void> {
    return setUplink(this.id, this.node(node).name, 'up');
  }

  /** Drops frames between two of: a node, 'control-plane', 'router'. Cuts add up until heal(). */
  partition(a: string, b: string, direction: PartitionDirection = 'both'): Promise<void> {
    return cutBetween(this.id, a, b, direction);
  }

  heal(): Promise<void> {
    return healCuts(this.id);
  }

  get #apiServerStopped(): string {
    return join(this.folder, CONTROL_PLANE, 'kube-apiserver.log.stopped');
  }

  stopApiServer(): void {
    writeFileSync(this.#apiServerStopped, '');
    signalProcesses(this.id, CONTROL_PLANE, /^\S*kube-apiserver /, 'SIGKILL');
  }

  async startApiServer(): Promise<void> {
    rmSync(this.#apiServerStopped, { force: true });
    await this.waitForApiServer();
  }

  async waitForApiServer(options: WaitOptions = {}): Promise<void> {
    await this.waitFor(
      'the API server to be ready',
      async () => {
        const argv = ['get', '--raw', '/readyz'];
        const answer = await this.kubectl(argv, { allowFailure: true, timeoutMs: PROBE_TIMEOUT_MS });
        return answer.code === 0 ? true : undefined;
      },
      { timeoutMs: API_SERVER_TIMEOUT_MS, ...options },
    );
  }

  /** Ready in the boot that runs now: the status of an earlier boot does not count. */
  async waitForNodeReady(name: string, options: WaitOptions = {}): Promise<void> {
    const node = this.node(name);
    const fields = '{.status.nodeInfo.bootID} {.status.conditions[?(@.type=="Ready")].status}';
    await this.waitFor(
      `node ${name} to be Ready`,
      async () => {
        const bootId = await readFile(join(this.folder, node.name, 'masks/boot-id'), 'utf8').catch(() => '');
        const argv = ['get', 'node', node.name, '-o', `jsonpath=${fields}`];
        const { stdout } = await this.kubectl(argv, { allowFailure: true });
        return bootId !== '' && stdout === `${bootId.trim()} True` ? true : undefined;
      },
      { timeoutMs: NODE_READY_TIMEOUT_MS, ...options },
    );
  }

  /** The namespace takes pods once the controller-manager has made its default service account. */
  async waitForServiceAccount(namespace: string, options: WaitOptions = {}): Promise<void> {
    await this.waitFor(
      `the default service account of ${namespace}`,
      async () => {
        const argv = ['get', 'serviceaccount', '-n', namespace, 'default'];
        const { code } = await this.kubectl(argv, { allowFailure: true });
        return code === 0 ? true : undefined;
      },
      options,
    );
  }

  async waitForRollout(namespace: string, resource: string, options: WaitOptions = {}): Promise<void> {
    const timeoutMs = options.timeoutMs ?? NODE_READY_TIMEOUT_MS;
    const argv = [
      'rollout',
      'status',
      '-n',
      namespace,
      resource,
      `--timeout=${Math.ceil(timeoutMs / 1000)}s`,
    ];
    await this.kubectl(argv, { timeoutMs: timeoutMs + PROBE_TIMEOUT_MS });
  }

  async waitForPodReady(namespace: string, pod: string, options: WaitOptions = {}): Promise<void> {
    const timeoutMs = options.timeoutMs ?? NODE_READY_TIMEOUT_MS;
    const limit = `--timeout=${Math.ceil(timeoutMs / 1000)}s`;
    const argv = ['wait', '--for=condition=Ready', '-n', namespace, `pod/${pod}`, limit];
    await this.kubectl(argv, { timeoutMs: timeoutMs + PROBE_TIMEOUT_MS });
  }

  /** Polls the probe until it gives a value; at the deadline the error says what was awaited. */
  waitFor<T>(what: string, probe: () => Promise<T | undefined>, options: WaitOptions = {}): Promise<T> {
    return waitUntil(what, probe, options);
  }

  destroy(): Promise<void> {
    return destroyCluster(this.id);
  }
}
