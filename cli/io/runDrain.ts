/** `drain` and `undrain`: the annotation on the Node, and, if asked for, a look at the EgressIPs until the gateway is empty. */
import { FieldReader } from '../../policy/fieldReader.ts';
import { isGateway } from '../../policy/gatewayRole.ts';
import { collectionPath, DRAIN_ANNOTATION, EGRESS_IP, GATEWAY_LABEL } from '../../policy/names.ts';
import { parseNode } from '../../policy/parseFacts.ts';
import { type EgressIpLine, readEgressIp } from '../core/clusterStatus.ts';
import { type Command, EXIT_FINE, EXIT_NOT_FINE } from '../core/command.ts';
import {
  type DrainProgress,
  describeHandedOver,
  describeRemaining,
  followDrain,
} from '../core/drainProgress.ts';
import { type Cluster, expectOk, listServed } from './connectCluster.ts';
import { followCollection } from './followCollection.ts';
import type { Terminal } from './terminal.ts';
import { Unusable } from './unusable.ts';

const NODES = '/api/v1/nodes';
const EGRESS_IPS = collectionPath(EGRESS_IP);

type Drain = Extract<Command, { readonly kind: 'drain' }>;

export async function runDrain(command: Drain, cluster: Cluster, terminal: Terminal): Promise<number> {
  const { node } = command;
  const facts = await readNode(cluster, node);
  const before = followDrain(node, (await listServed(cluster, EGRESS_IPS)).map(readLine));
  await annotate(cluster, node, 'true');
  if (!isGateway(facts))
    terminal.tell(`node ${node} has no label ${GATEWAY_LABEL}: it is no gateway and is given no egress IPs`);
  const addresses = before.remaining.map(({ address }) => address).join(', ');
  terminal.out(
    `node ${node} is to hold no egress IPs${addresses === '' ? '; it holds none' : `; it holds ${addresses}`}\n`,
  );
  return command.wait ? waitUntilEmpty(command, { cluster, terminal, before }) : EXIT_FINE;
}

export async function runUndrain(
  { node }: Extract<Command, { readonly kind: 'undrain' }>,
  cluster: Cluster,
  terminal: Terminal,
): Promise<number> {
  const { drained, unschedulable } = await readNode(cluster, node);
  if (!drained) terminal.tell(`node ${node} was not drained`);
  await annotate(cluster, node, null);
  terminal.out(`node ${node} may hold egress IPs again\n`);
  if (unschedulable) terminal.tell(`it is cordoned, and holds none until \`kubectl uncordon ${node}\``);
  return EXIT_FINE;
}

async function readNode(cluster: Cluster, node: string) {
  const outcome = await cluster.client.get(`${NODES}/${encodeURIComponent(node)}`);
  if (outcome.kind !== 'ok' && outcome.error.code === 'not-found') {
    const gateways = (await listServed(cluster, NODES))
      .flatMap((raw) => parseNode(raw) ?? [])
      .filter(isGateway)
      .map(({ name }) => name);
    throw new Unusable([`there is no node ${node}; the gateways are ${gateways.join(', ') || 'none'}`]);
  }
  const facts = parseNode(expectOk(`reading node ${node}`, outcome));
  if (facts === undefined) throw new Unusable([`node ${node} cannot be read`]);
  return facts;
}

async function annotate(cluster: Cluster, node: string, value: 'true' | null): Promise<void> {
  const patch = { metadata: { annotations: { [DRAIN_ANNOTATION]: value } } };
  expectOk(
    `annotating node ${node}`,
    await cluster.client.mergePatch(`${NODES}/${encodeURIComponent(node)}`, patch),
  );
}

/** Health is not asked for here. */
function readLine(raw: unknown): EgressIpLine {
  return readEgressIp(raw, new Map());
}

async function waitUntilEmpty(
  { node, timeoutMs }: Drain,
  known: { readonly cluster: Cluster; readonly terminal: Terminal; readonly before: DrainProgress },
): Promise<number> {
  const { cluster, terminal } = known;
  let progress = known.before;
  const ended = await followCollection<EgressIpLine>({
    cluster,
    path: EGRESS_IPS,
    project: (raw) => ({
      key: new FieldReader(raw, '', []).child('metadata').optionalText('name') ?? '',
      value: readLine(raw),
    }),
    isDone: (egressIps) => {
      const now = followDrain(node, egressIps);
      for (const line of describeHandedOver(progress, now, egressIps)) terminal.out(`${line}\n`);
      progress = now;
      return now.remaining.length === 0;
    },
    timeoutMs,
  });
  if (ended === 'done') {
    terminal.out(`node ${node} is empty\n`);
    return EXIT_FINE;
  }
  terminal.tell(`node ${node} was not empty in time; it stays asked to be. It keeps`);
  for (const line of describeRemaining(progress)) terminal.tell(`  ${line}`);
  return EXIT_NOT_FINE;
}
