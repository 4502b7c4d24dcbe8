/** What a cluster says of its gateways and egress IPs, as people would ask it: by kubectl, and in the nodes' kernels. */
import type { Cluster } from '../cluster/cluster.ts';
import { until } from './installedCluster.ts';

export interface EgressIpState {
  readonly gateway: string;
  readonly standbys: readonly string[];
  readonly epoch: number;
  readonly home: string;
  readonly message: string;
  /** The newest move, in words: `gw-1 → gw-2 (drained)`. */
  readonly moved: string;
}

export async function readEgressIp(cluster: Cluster, address: string): Promise<EgressIpState> {
  const { spec, status } = await readObject(cluster, 'eip', address);
  const { from = '', to = '', reason = '' } = status?.lastFailover ?? {};
  return {
    gateway: status?.gateway ?? '',
    standbys: (status?.standbyNames ?? '').split(',').filter((name) => name !== ''),
    epoch: spec?.epoch ?? 0,
    home: spec?.home ?? '',
    message: status?.message ?? '',
    moved: `${from} → ${to} (${reason})`,
  };
}

export interface GatewayState {
  readonly session: number;
  readonly holding: number;
  readonly signingKey: number;
  /** Undefined: it says nothing of its health. */
  readonly health: { readonly status: string; readonly reason: string; readonly message: string } | undefined;
}

export async function readGateway(cluster: Cluster, node: string): Promise<GatewayState> {
  const { status } = await readObject(cluster, 'gwn', node);
  return {
    session: status?.session ?? 0,
    holding: status?.holding ?? 0,
    signingKey: status?.peerSigningKey ?? 0,
    health: status?.conditions?.find(({ type }) => type === 'Healthy'),
  };
}

/** A gateway that states itself to answer for the address, other than these; undefined: none does. */
export async function answererStated(
  cluster: Cluster,
  address: string,
  not: readonly string[],
): Promise<string | undefined> {
  const { stdout } = await cluster.kubectl(['get', 'gwn', '-o', 'json']);
  const { items } = JSON.parse(stdout) as { readonly items: readonly Stating[] };
  return items.find(
    ({ metadata, status }) =>
      !not.includes(metadata.name) &&
      status?.addresses?.some((it) => it.address === address && it.state === 'Answering'),
  )?.metadata.name;
}

interface Stating {
  readonly metadata: { readonly name: string };
  readonly status?: {
    readonly addresses?: readonly { readonly address: string; readonly state: string }[];
  };
}

interface Listed {
  readonly spec?: { readonly epoch?: number; readonly home?: string };
  readonly status?: {
    readonly gateway?: string;
    readonly standbyNames?: string;
    readonly message?: string;
    readonly lastFailover?: { readonly from?: string; readonly to?: string; readonly reason?: string };
    readonly session?: number;
    readonly holding?: number;
    readonly peerSigningKey?: number;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason: string;
      readonly message: string;
    }[];
  };
}

async function readObject(cluster: Cluster, kind: string, name: string): Promise<Listed> {
  return JSON.parse((await cluster.kubectl(['get', kind, name, '-o', 'json'])).stdout) as Listed;
}

/** Waits for an Event on the EgressIP that says all of these. Of many moves within minutes not each has one. */
export function waitEvent(cluster: Cluster, address: string, says: readonly string[]): Promise<void> {
  return until(cluster, `an Event on ${address} that says: ${says.join(', ')}`, async () => {
    const about = `involvedObject.kind=EgressIP,involvedObject.name=${address},reason=Moved`;
    const messages = 'jsonpath={range .items[*]}{.message}{"\\n"}{end}';
    const { stdout } = await cluster.kubectl([
      'get',
      'events',
      '-A',
      '--field-selector',
      about,
      '-o',
      messages,
    ]);
    return stdout.split('\n').some((message) => says.every((words) => message.includes(words)));
  });
}

/**
 * What a node's kernel has that makes it answer for the address, or ready to: each a line. The node's part in forwarding,
 * which every node has, is none of it.
 */
export async function answeringState(
  cluster: Cluster,
  node: string,
  address: string,
): Promise<readonly string[]> {
  const looks = [
    ['ip', 'address', 'show', 'dev', 'eth0'],
    ['ip', 'neighbour', 'show', 'proxy'],
    ['ip', 'route', 'show', 'table', 'all'],
    ['nft', 'list', 'table', 'netdev', 'sallyport_guard'],
  ];
  const seen = await Promise.all(looks.map((argv) => cluster.nodeExec(node, argv, { allowFailure: true })));
  const mentions = new RegExp(`\\b${address.replaceAll('.', '\\.')}\\b`);
  return seen.flatMap(({ stdout }, look) =>
    stdout
      .split('\n')
      .flatMap((line) => (mentions.test(line) ? [`${looks[look]?.join(' ')}: ${line.trim()}`] : [])),
  );
}
