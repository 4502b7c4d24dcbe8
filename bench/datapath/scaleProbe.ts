/**
 * One node's agent in a large cluster, as far as its data plane goes, in a process of its own so that its memory is its
 * own: decides with the product's core and programs with the product's adapter the kernel of the namespace that it is run in.
 * Prints one line of JSON. Arguments: the uplink, how many pods change, how many addresses move.
 */

import { stepAgent } from '../../failover/core/agent/agentCore.ts';
import { type AgentState, initialAgent } from '../../failover/core/agent/agentState.ts';
import type { AgentView } from '../../failover/core/agent/agentView.ts';
import type { KernelOutcome } from '../../failover/core/dataPlane.ts';
import { soleUplink } from '../../failover/core/uplinks.ts';
import { createKernelDataPlane } from '../../failover/io/kernelDataPlane.ts';
import { bigClusterView, EGRESS_IPS, moved, waitingPod } from './bigCluster.ts';

export interface ScaleSample {
  readonly fullSyncMs: number;
  readonly planMs: number;
  /** An agent that starts on a node that is programmed: all is read back, nothing is written. */
  readonly restartMs: number;
  /** A pod's change that comes while the kernel is compared with the plan, as it is every 30 seconds. */
  readonly resyncMs: number;
  readonly podChangeMs: readonly number[];
  readonly ipMoveMs: readonly number[];
  /** Of this process in user and kernel space for a change of a pod, without nft's. */
  readonly podChangeCpuMs: number;
  readonly rssMb: number;
}

const TOKEN = Uint8Array.from({ length: 16 }, (_, index) => index + 1);

/** Core and kernel as the runner connects them; each view is in the kernel when `show` resolves. */
class Agent {
  planMs = 0;
  readonly #plane;
  #state: AgentState;

  constructor(view: AgentView, uplink: string) {
    const { address: self } = view.self;
    this.#plane = createKernelDataPlane({
      uplink,
      self,
      tunnelPort: 4790,
      tunnelVni: 7777,
      token: TOKEN,
    });
    this.#state = initialAgent({
      interfaces: [],
      onLink: [],
      nextHops: [],
      uplinks: soleUplink(uplink),
      ownAddresses: [],
      capacity: EGRESS_IPS,
      versions: { agent: '', kernel: '', nftables: '' },
      dataPlaneReady: true,
      dataPlaneMessage: '',
    });
  }

  /** How long it took from the event until the kernel had confirmed, milliseconds. */
  async show(view: AgentView): Promise<number> {
    const start = performance.now();
    const step = stepAgent(this.#state, { kind: 'viewed', view });
    this.planMs = performance.now() - start;
    const outcomes = step.effects.map(
      (effect): Promise<KernelOutcome> =>
        effect.kind === 'apply' ? this.#plane.apply(effect.plan) : Promise.resolve({ kind: 'ok' }),
    );
    for (const outcome of await Promise.all(outcomes))
      if (outcome.kind !== 'ok') throw new Error(`programming ${outcome.kind}: ${outcome.message}`);
    const tookMs = performance.now() - start;
    this.#state = stepAgent(step.state, { kind: 'applied', ok: true, message: '' }).state;
    return tookMs;
  }

  forget(): void {
    this.#plane.forget();
  }

  end(): Promise<void> {
    return this.#plane.close();
  }
}

async function measure(uplink: string, podChanges: number, ipMoves: number): Promise<ScaleSample> {
  let view = bigClusterView(uplink);
  const first = new Agent(view, uplink);
  const fullSyncMs = await first.show(view);
  const { planMs } = first;
  await first.end();
  const agent = new Agent(view, uplink);
  const restartMs = await agent.show(view);

  const [name, pod] = waitingPod();
  const { pods } = view;
  const podChangeMs: number[] = [];
  const cpuBefore = process.cpuUsage();
  for (let turn = 0; turn < podChanges; turn += 1) {
    view = { ...view, pods: turn % 2 === 0 ? new Map(pods).set(name, pod) : new Map(pods) };
    podChangeMs.push(await agent.show(view));
  }
  const { user, system } = process.cpuUsage(cpuBefore);
  agent.forget();
  view = { ...view, pods: new Map(pods) };
  const resyncMs = await agent.show(view);
  const ipMoveMs: number[] = [];
  for (let turn = 0; turn < ipMoves; turn += 1) {
    view = moved(view, turn % EGRESS_IPS);
    ipMoveMs.push(await agent.show(view));
  }
  const rssMb = process.memoryUsage().rss / 2 ** 20;
  await agent.end();
  const podChangeCpuMs = (user + system) / 1000 / podChanges;
  return { fullSyncMs, planMs, restartMs, resyncMs, podChangeMs, ipMoveMs, podChangeCpuMs, rssMb };
}

const [uplink = '', podChanges = '0', ipMoves = '0'] = process.argv.slice(2);
if (uplink !== '')
  process.stdout.write(`${JSON.stringify(await measure(uplink, Number(podChanges), Number(ipMoves)))}\n`);
