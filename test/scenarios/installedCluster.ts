/**
 * A real cluster with the image from our Dockerfile and our chart in it, the outside probe server running, and what a
 * test asks of it: pods, policies, who holds an address, traffic. Shared by the end-to-end suite and the demo.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import type { Cluster } from '../cluster/cluster.ts';
import { createCluster } from '../cluster/createCluster.ts';
import { ensureToolchain } from '../cluster/toolchain.ts';
import { type NodeShape, OUTSIDE_ADDRESS } from '../cluster/topology.ts';
import { buildImage } from '../image/buildImage.ts';
import { buildProbeImage } from '../image/buildProbeImage.ts';
import {
  IMAGE_CLIENT,
  LOCAL_CLIENT,
  LOCAL_SERVER,
  type RunningClient,
  type RunningServer,
  startClient,
  startServer,
} from '../probe/probeProcess.ts';
import { type ClientReport, DEFAULT_PORTS, type ProbePorts } from '../probe/report.ts';

export const NAMESPACE = 'sallyport-system';
export const CHART = path.resolve(import.meta.dirname, '../../charts/sallyport');
/** Hardware routers keep ARP entries for 20 minutes to 4 hours; a Linux router's half minute would blur API outages. */
const ROUTER_ARP_MS = 1_200_000;

/** The manifest of the README, verbatim. */
export const MANIFEST = `apiVersion: cilium.io/v1alpha1
kind: CiliumEgressGatewayPolicy
metadata:
  name: egress-gateway-policy
spec:
  selectors:
  - matchLabels: {app: my-app}
  destinationCIDRs: ["0.0.0.0/0"]
  egressGateway:
    ippools:
    - cidr: "203.0.113.10/32"
`;

export interface InstalledCluster {
  readonly cluster: Cluster;
  readonly server: RunningServer;
  destroy(): Promise<void>;
}

/**
 * For tests: five nodes and their control plane share a machine of two cores, where a fault that ends thirty processes at
 * once stalls all agents for longer than the chart's 200 ms. The bench and the demo use the chart's own.
 */
export const PATIENT_SESSION_MS = 600;

export async function installCluster(options: {
  readonly id: string;
  readonly onProgress: (line: string) => void;
  /** The cluster outlives this process. */
  readonly persistent?: boolean;
  /** How long a gateway's session lives; default: the chart's own. */
  readonly sessionMilliseconds?: number;
  /** Installs the chart and waits for it, with these values for `--set`; default: by helm, as it is in the repository. */
  readonly install?: (cluster: Cluster, settings: string) => Promise<void>;
  /** Default: three gateways and two workers. */
  readonly shape?: readonly NodeShape[];
  readonly dualStack?: boolean;
  /** What of the API server's requests is logged (createCluster.ts); default: nothing. */
  readonly auditPolicy?: object;
  /** Of what each node's containers log (createCluster.ts). */
  readonly logDiskMegabytes?: number;
}): Promise<InstalledCluster> {
  const { id, onProgress, shape, auditPolicy, logDiskMegabytes } = options;
  await ensureToolchain({ onProgress });
  const [product, probe] = [await buildImage({ onProgress }), await buildProbeImage({ onProgress })];
  const images = [product.ociTarPath, probe.ociTarPath];
  const cluster = await createCluster({
    id,
    images,
    routerArpTimeoutMs: ROUTER_ARP_MS,
    persistent: options.persistent ?? false,
    dualStack: options.dualStack ?? false,
    ...(shape === undefined ? {} : { shape }),
    ...(auditPolicy === undefined ? {} : { auditPolicy }),
    ...(logDiskMegabytes === undefined ? {} : { logDiskMegabytes }),
    onProgress,
  });
  let server: RunningServer | undefined;
  const destroy = async (): Promise<void> => {
    await server?.stop();
    await cluster.destroy();
  };
  try {
    onProgress('installing the chart');
    const [repository, tag] = product.reference.split(':');
    const { sessionMilliseconds } = options;
    const session =
      sessionMilliseconds === undefined ? '' : `,failover.sessionMilliseconds=${sessionMilliseconds}`;
    const settings = `image.repository=${repository},image.tag=${tag},image.pullPolicy=Never${session}`;
    await (options.install ?? installChart)(cluster, settings);
    for (const workload of [
      'ds/sallyport-agent',
      'deploy/sallyport-controller',
      'deploy/sallyport-webhook',
    ]) {
      await cluster.waitForRollout(NAMESPACE, workload);
    }
    server = await startServer([...enter(cluster, 'outside'), ...LOCAL_SERVER]);
    return { cluster, server, destroy };
  } catch (error) {
    await destroy();
    throw error;
  }
}

async function installChart(cluster: Cluster, settings: string): Promise<void> {
  const names = ['sallyport', CHART, '-n', NAMESPACE, '--create-namespace'];
  await cluster.helm(['install', ...names, '--set', settings]);
}

export function enter(cluster: Cluster, member: string): readonly string[] {
  return ['ip', 'netns', 'exec', cluster.networkNamespace(member)];
}

/** Creates a pod of the probe image that sleeps, and waits until it is ready. */
export async function createPod(
  cluster: Cluster,
  pod: { readonly name: string; readonly app: string; readonly node: string },
): Promise<void> {
  const manifest = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: pod.name, labels: { app: pod.app } },
    spec: {
      nodeName: pod.node,
      terminationGracePeriodSeconds: 0,
      tolerations: [{ operator: 'Exists' }],
      containers: [{ name: 'probe', image: 'sallyport.test/probe:dev', imagePullPolicy: 'Never' }],
    },
  };
  await apply(cluster, manifest);
  await cluster.waitForPodReady('default', pod.name);
}

export async function apply(cluster: Cluster, manifest: unknown): Promise<void> {
  await cluster.kubectl(['apply', '-f', '-'], {
    stdin: typeof manifest === 'string' ? manifest : JSON.stringify(manifest),
  });
}

/** What kubectl printed as it was refused; throws where it was not. */
export async function refusal(cluster: Cluster, manifest: unknown): Promise<string> {
  const result = await cluster.kubectl(['apply', '-f', '-'], {
    stdin: JSON.stringify(manifest),
    allowFailure: true,
  });
  if (result.code === 0) throw new Error('it was accepted');
  return result.stderr;
}

export interface PolicyManifest {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly egressGateway: object };
}

export function policy(name: string, app: string, cidrs: readonly string[]): PolicyManifest {
  const manifest = {
    apiVersion: 'cilium.io/v1alpha1',
    kind: 'CiliumEgressGatewayPolicy',
    metadata: { name },
    spec: {
      selectors: [{ matchLabels: { app } }],
      destinationCIDRs: ['0.0.0.0/0'],
      egressGateway: { ippools: cidrs.map((cidr) => ({ cidr })) },
    },
  };
  return manifest;
}

const SOURCE_SCRIPT = `require('http').get({host:process.argv[1],port:process.argv[2],path:'/source',timeout:3000},r=>r.pipe(process.stdout)).on('error',e=>{console.error(e.message);process.exit(1)})`;

/** The address that the outside sees of a new connection from the pod; a refused one throws. */
export async function sourceOf(
  cluster: Cluster,
  pod: string,
  host = OUTSIDE_ADDRESS,
  port = 7080,
): Promise<string> {
  const result = await cluster.podExec('default', pod, [
    '/usr/bin/node',
    '-e',
    SOURCE_SCRIPT,
    host,
    String(port),
  ]);
  return result.stdout.trim();
}

/** Waits until the policy is programmed, and says what kubectl shows of it. */
export async function waitProgrammed(cluster: Cluster, name: string): Promise<string> {
  const type = 'ciliumegressgatewaypolicies.cilium.io';
  await cluster.kubectl(['wait', `${type}/${name}`, '--for=condition=Programmed', '--timeout=30s']);
  return (await cluster.kubectl(['get', type, name, '-o', 'jsonpath={.status.egress}'])).stdout;
}

/** Polls until the condition holds; a probe that throws counts as "not yet". */
export async function until(cluster: Cluster, what: string, holds: () => Promise<boolean>): Promise<void> {
  await cluster.waitFor(what, async () => ((await holds()) ? true : undefined));
}

/** The node that states that it answers for the address. */
export async function holderOf(cluster: Cluster, address: string): Promise<string> {
  return (await cluster.kubectl(['get', 'eip', address, '-o', 'jsonpath={.status.gateway}'])).stdout;
}

/** Waits until another gateway than `before` states that it answers for the address; returns it. */
export async function waitMoved(cluster: Cluster, address: string, before: string): Promise<string> {
  return cluster.waitFor(`${address} to leave ${before}`, async () => {
    const now = await holderOf(cluster, address);
    return now === before || now === '' ? undefined : now;
  });
}

/** Gives a gateway its power back and waits until it stands by for the address. */
export async function powerOnToStandby(cluster: Cluster, address: string, node: string): Promise<void> {
  await cluster.powerOn(node);
  await until(cluster, `${node} to stand by for ${address}`, async () => {
    const standbys = await cluster.kubectl(['get', 'eip', address, '-o', 'jsonpath={.status.standbyNames}']);
    return standbys.stdout.split(',').includes(node);
  });
}

/** A connection is alive that was heard within the last second: this long after a gap, that says nothing of the time before. */
const ALIVE_WINDOW_SECONDS = 1.1;

/** The final report, once data flows again on every connection: TCP retries with growing pauses after a gap. */
export async function stopWhenFlowing(cluster: Cluster, traffic: RunningClient): Promise<ClientReport> {
  const { seconds: from } = await traffic.snapshot();
  await until(cluster, 'all connections to carry data again', async () => {
    const { podPush, serverPush, seconds } = await traffic.snapshot();
    const fresh = seconds - from >= ALIVE_WINDOW_SECONDS;
    return fresh && podPush.alive === podPush.asked && serverPush.alive === serverPush.asked;
  });
  return traffic.stop();
}

const SERVE_SCRIPT =
  "require('http').createServer((q,s)=>s.end(q.socket.remoteAddress.replace('::ffff:',''))).listen(8080)";

/** What a pod `peer` sees of `pod`, directly and through a Service of its own; both should be the pod's own address. */
export async function seenByPeer(
  cluster: Cluster,
  pod: string,
): Promise<{ readonly own: string; readonly direct: string; readonly service: string }> {
  await cluster.podExec('default', 'peer', [
    'sh',
    '-c',
    `/usr/bin/node -e "${SERVE_SCRIPT}" >/dev/null 2>&1 &`,
  ]);
  await cluster.kubectl(['expose', 'pod', 'peer', '--port=80', '--target-port=8080']);
  const read = async (kind: string, name: string, field: string): Promise<string> =>
    (await cluster.kubectl(['get', kind, name, '-o', `jsonpath=${field}`])).stdout;
  const peer = await read('pod', 'peer', '{.status.podIP}');
  const service = await read('service', 'peer', '{.spec.clusterIP}');
  const own = await read('pod', pod, '{.status.podIP}');
  const answer = (host: string, port: number): Promise<string> =>
    cluster.waitFor(`${host} to answer ${pod}`, () => sourceOf(cluster, pod, host, port));
  return { own, direct: await answer(peer, 8080), service: await answer(service, 80) };
}

export interface Traffic {
  readonly podPush?: number;
  readonly serverPush?: number;
  readonly idle?: number;
  readonly udpRate?: number;
  /** Between two lines on a connection. */
  readonly intervalMs?: number;
  /** Default: the outside host's IPv4 address. */
  readonly server?: string;
  /** Of the outside server; default: those of the one that the cluster has. */
  readonly ports?: ProbePorts;
}

function clientArguments(traffic: Traffic): readonly string[] {
  const { podPush = 0, serverPush = 0, idle = 0, udpRate = 0 } = traffic;
  const { intervalMs = 50, server = OUTSIDE_ADDRESS, ports = DEFAULT_PORTS } = traffic;
  const counts = {
    '--pod-push': podPush,
    '--server-push': serverPush,
    '--idle': idle,
    '--udp-rate': udpRate,
    '--interval-ms': intervalMs,
    '--ports': Object.values(ports).join(','),
  };
  return ['--server', server, ...Object.entries(counts).flatMap(([name, count]) => [name, String(count)])];
}

/** Traffic by a process inside the pod, started through `kubectl exec`: ends when the API server does. */
export function startPodTraffic(cluster: Cluster, pod: string, traffic: Traffic): Promise<RunningClient> {
  const exec = ['exec', '-i', pod, '--', ...IMAGE_CLIENT, ...clientArguments(traffic)];
  return startClient(cluster.kubectlCommand(exec));
}

/** Traffic from the pod's own network namespace, started from outside of Kubernetes: lives on without the API server. */
export async function startNamespaceTraffic(
  cluster: Cluster,
  pod: string,
  traffic: Traffic,
): Promise<RunningClient> {
  const pid = findProcessIn(await namespaceOf(cluster, pod));
  if (pid === undefined) throw new Error(`no process of pod ${pod} was found`);
  return startClient([
    'nsenter',
    '--net',
    '--target',
    String(pid),
    ...LOCAL_CLIENT,
    ...clientArguments(traffic),
  ]);
}

/** The pod's network namespace as the kernel names it: `net:[4026532…]`. */
async function namespaceOf(cluster: Cluster, pod: string): Promise<string> {
  return (await cluster.podExec('default', pod, ['readlink', '/proc/self/ns/net'])).stdout.trim();
}

function findProcessIn(namespace: string): number | undefined {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .find((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/ns/net`) === namespace;
      } catch {
        return false; // It ended meanwhile.
      }
    });
}

/** Conntrack entries that mention the address on a node. */
export async function conntrackEntries(cluster: Cluster, node: string, address: string): Promise<number> {
  const { stdout } = await cluster.nodeExec(node, [
    'conntrack',
    '-L',
    '-f',
    address.includes(':') ? 'ipv6' : 'ipv4',
  ]);
  return stdout.split('\n').filter((line) => line.includes(address)).length;
}
