/** `rebalance`: a new value of the annotation, and, if asked for, a look at the policy until it was carried out. */
import {
  CILIUM_EGRESS_GATEWAY_POLICY,
  collectionPath,
  EGRESS_POLICY,
  POLICY_KINDS,
  type PolicyKind,
  REBALANCE_ANNOTATION,
} from '../../policy/names.ts';
import { type PolicyLine, readPolicy } from '../core/clusterStatus.ts';
import { type Command, EXIT_FINE, EXIT_NOT_FINE, type PolicyName } from '../core/command.ts';
import { type Cluster, expectOk } from './connectCluster.ts';
import { followCollection } from './followCollection.ts';
import type { Terminal } from './terminal.ts';
import { Unusable } from './unusable.ts';

type Rebalance = Extract<Command, { readonly kind: 'rebalance' }>;

export const POLICY_PATHS: Readonly<Record<PolicyKind, string>> = {
  EgressPolicy: collectionPath(EGRESS_POLICY),
  CiliumEgressGatewayPolicy: collectionPath(CILIUM_EGRESS_GATEWAY_POLICY),
};

/** @param wallClock milliseconds since the epoch: the value tells people when it was asked for. */
export async function runRebalance(
  command: Rebalance,
  { cluster, terminal }: { readonly cluster: Cluster; readonly terminal: Terminal },
  wallClock: () => number = Date.now,
): Promise<number> {
  const kind = await findKind(cluster, command.policy);
  const { name } = command.policy;
  const wish = new Date(wallClock()).toISOString();
  const patch = { metadata: { annotations: { [REBALANCE_ANNOTATION]: wish } } };
  const path = `${POLICY_PATHS[kind]}/${encodeURIComponent(name)}`;
  expectOk(`annotating ${kind} ${name}`, await cluster.client.mergePatch(path, patch));
  terminal.out(`${kind} ${name}: its addresses are to be spread evenly\n`);
  return command.wait ? waitUntilEven(command, { cluster, terminal, kind, wish }) : EXIT_FINE;
}

async function findKind({ client }: Cluster, policy: PolicyName): Promise<PolicyKind> {
  const asked = policy.kind === undefined ? POLICY_KINDS : [policy.kind];
  const found: PolicyKind[] = [];
  for (const kind of asked) {
    const outcome = await client.get(`${POLICY_PATHS[kind]}/${encodeURIComponent(policy.name)}`);
    if (outcome.kind === 'refused' && outcome.error.code === 'not-found') continue;
    expectOk(`reading ${kind} ${policy.name}`, outcome);
    found.push(kind);
  }
  const [kind, other] = found;
  if (kind === undefined)
    throw new Unusable([
      `there is no policy ${policy.name}; \`sallyport status\` lists those that there are`,
    ]);
  if (other !== undefined)
    throw new Unusable([
      `there are two policies ${policy.name}; write cegp/${policy.name} or egresspolicy/${policy.name}`,
    ]);
  return kind;
}

async function waitUntilEven(
  { policy: { name }, timeoutMs }: Rebalance,
  known: {
    readonly cluster: Cluster;
    readonly terminal: Terminal;
    readonly kind: PolicyKind;
    readonly wish: string;
  },
): Promise<number> {
  const { cluster, terminal, kind, wish } = known;
  let last: PolicyLine | undefined;
  const ended = await followCollection<PolicyLine>({
    cluster,
    path: POLICY_PATHS[kind],
    query: { fieldSelector: `metadata.name=${name}` },
    project: (raw) => ({ key: name, value: readPolicy(raw, kind) }),
    isDone: ([line]) => {
      last = line;
      return line === undefined || line.rebalanced === wish;
    },
    timeoutMs,
  });
  if (last === undefined) {
    terminal.tell(`${kind} ${name} is gone`);
    return EXIT_NOT_FINE;
  }
  if (ended === 'done') {
    terminal.out(`${kind} ${name}: done\n`);
    return EXIT_FINE;
  }
  const why = last.accepted === 'True' ? 'the controller has not finished it' : last.message;
  terminal.tell(`${kind} ${name}: not even in time (${why}); it stays asked for`);
  return EXIT_NOT_FINE;
}
