/**
 * One node's agent in a large cluster, as far as its data plane goes, in a process of its own so that its memory is its
 * own: plans with the product's planner and programs with the product's adapter the kernel of the namespace that it is run in.
 * Prints one line of JSON. Arguments: the uplink, how many pods change, how many addresses move.
 */

import type { AgentView } from '../../failover/core/agent/agentView.ts';
import { type KnownAnswers, planNode } from '../../failover/core/agent/planNode.ts';
import { selectPods } from '../../failover/core/agent/selectPods.ts';
import { createKernelDataPlane } from '../../failover/io/kernelDataPlane.ts';
import { bigClusterView, EGRESS_IPS, gatewayName, holdersOf } from './bigCluster.ts';

export interface ScaleSample {
  readonly fullSyncMs: number;
  readonly planMs: number;
  readonly podChangeMs: readonly number[];
  readonly ipMoveMs: readonly number[];
  readonly rssMb: number;
}

async function measure(uplink: string, podChanges: number, ipMoves: number): Promise<ScaleSample> {
  const view = bigClusterView(uplink);
  const known: KnownAnswers = {
    holdings: [],
    heard: new Map(),
    holders: holdersOf(view),
    recalled: new Map(),
    givenBack: new Map(),
  };
  const token = Uint8Array.from({ length: 16 }, (_, index) => index + 1);
  const plane = createKernelDataPlane({
    uplink,
    self: view.self.address,
    tunnelPort: 4790,
    tunnelVni: 7777,
    token,
  });
  const sync = async (of: AgentView, answers: KnownAnswers): Promise<number> => {
    const start = performance.now();
    const { dataPlane } = planNode(of, selectPods(of), answers);
    const outcome = await plane.apply(dataPlane);
    if (outcome.kind !== 'ok') throw new Error(`programming ${outcome.kind}: ${outcome.message}`);
    return performance.now() - start;
  };
  const start = performance.now();
  planNode(view, selectPods(view), known);
  const planMs = performance.now() - start;
  const fullSyncMs = await sync(view, known);
  const podChangeMs: number[] = [];
  const ipMoveMs: number[] = [];
  const [changing] = view.pods.keys();
  const without = { ...view, pods: new Map([...view.pods].filter(([name]) => name !== changing)) };
  for (let turn = 0; turn < podChanges; turn += 1)
    podChangeMs.push(await sync(turn % 2 === 0 ? without : view, known));
  if (podChanges % 2 === 1) await sync(view, known);
  let holders = known.holders;
  for (let turn = 0; turn < ipMoves; turn += 1) {
    const name = [...view.egressIps.keys()][turn % EGRESS_IPS] ?? '';
    holders = new Map(holders).set(name, { node: gatewayName((turn % EGRESS_IPS) + 1), blocksVersion: 1 });
    ipMoveMs.push(await sync(view, { ...known, holders }));
  }
  const rssMb = process.memoryUsage().rss / 2 ** 20;
  await plane.close();
  return { fullSyncMs, planMs, podChangeMs, ipMoveMs, rssMb };
}

const [uplink = '', podChanges = '0', ipMoves = '0'] = process.argv.slice(2);
if (uplink !== '')
  process.stdout.write(`${JSON.stringify(await measure(uplink, Number(podChanges), Number(ipMoves)))}\n`);
