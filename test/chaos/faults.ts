/** What can happen to a cluster, one by one: each is done, and undone, the same way in tests and in the bench. */

import { type ChildProcess, spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { CONTROL_PLANE } from '../cluster/topology.ts';
import { NAMESPACE, until } from '../scenarios/installedCluster.ts';
import type { Fault, FaultContext } from './faultRun.ts';
import { leaderNode } from './leaderNode.ts';

/** The agent's process as the node runs it. */
const AGENT = /\/app\/agent\.js/;
/** Longer than any session and any statement: what was to happen meanwhile has happened. */
const FROZEN_MS = 2000;
const STARVED_MS = 8000;

export const powerCut: Fault = {
  inject: ({ cluster, holder }) => cluster.powerCut(holder),
  restore: ({ cluster, holder }) => cluster.powerOn(holder),
};

export const uplinkUnplugged: Fault = {
  inject: ({ cluster, holder }) => cluster.unplugUplink(holder),
  restore: ({ cluster, holder }) => cluster.plugUplink(holder),
};

export const agentKilled: Fault = {
  inject: ({ cluster, holder }) => cluster.kill(holder, AGENT),
};

export const agentFrozen: Fault = {
  inject: ({ cluster, holder }) => cluster.freeze(holder, AGENT),
  settled: movedAway,
  restore: async ({ cluster, holder }) => cluster.thaw(holder, AGENT),
};

/** Frozen for long, and thawed under traffic: what it believed when it froze must do no harm. */
export const agentThawed: Fault = {
  async inject(context) {
    context.cluster.freeze(context.holder, AGENT);
    await movedAway(context);
    await passed(FROZEN_MS);
    context.cluster.thaw(context.holder, AGENT);
  },
  settled: () => passed(FROZEN_MS),
};

/** Cut off from every other node, and so from the voters, but not from the router. */
export const cutOffFromVoters: Fault = {
  async inject({ cluster, holder }) {
    for (const { name } of cluster.nodes) if (name !== holder) await cluster.partition(holder, name);
  },
  settled: movedAway,
  restore: ({ cluster }) => cluster.heal(),
};

/** No voter hears it, and it hears them call it dead. */
export const unheardByVoters: Fault = {
  async inject({ cluster, holder }) {
    for (const { name } of cluster.nodes)
      if (name !== holder) await cluster.partition(holder, name, 'a-to-b');
  },
  settled: movedAway,
  restore: ({ cluster }) => cluster.heal(),
};

/** Its heartbeats go out, no answer comes back. */
export const deafToVoters: Fault = {
  async inject({ cluster, holder }) {
    for (const { name } of cluster.nodes)
      if (name !== holder) await cluster.partition(name, holder, 'a-to-b');
  },
  settled: movedAway,
  restore: ({ cluster }) => cluster.heal(),
};

export const kubeletKilled: Fault = {
  inject: ({ cluster, holder }) => cluster.kill(holder, /^\S*kubelet /),
};

export const apiServerStopped: Fault = {
  async inject({ cluster }) {
    cluster.stopApiServer();
    await passed(5000);
  },
  restore: ({ cluster }) => cluster.startApiServer(),
};

export const powerCutWithoutApi: Fault = {
  async inject({ cluster, holder }) {
    cluster.stopApiServer();
    await cluster.powerCut(holder);
  },
  async restore({ cluster, holder }) {
    await cluster.startApiServer();
    await cluster.powerOn(holder);
  },
};

export const powerCutWithoutLeader: Fault = {
  async inject({ cluster, holder }) {
    const leader = await leaderNode(cluster);
    cluster.kill(leader, /\/app\/controller\.js/);
    await cluster.powerCut(holder);
  },
  restore: ({ cluster, holder }) => cluster.powerOn(holder),
};

/** Two gateways are all there are, and one dies. */
export const powerCutOfTwo: Fault = {
  async inject(context) {
    const third = await thirdGateway(context);
    await label(context, third, 'false');
    await until(context.cluster, `${third} to stand by no more`, async () => {
      const { stdout } = await context.cluster.kubectl(['get', 'eip', context.address, '-o', STANDBYS]);
      return stdout !== '' && !stdout.split(',').includes(third);
    });
    await context.cluster.powerCut(context.holder);
  },
  async restore(context) {
    await context.cluster.powerOn(context.holder);
    for (const { name, role } of context.cluster.nodes)
      if (role === 'gateway') await label(context, name, 'true');
  },
};

const STANDBYS = 'jsonpath={.status.standbyNames}';
/** Three that want it for each processor. */
const SPINNERS = 3 * availableParallelism();

/** All processors are wanted by three times as many, and nothing else happens. */
export function starved(fault?: Fault): Fault {
  let spinners: readonly ChildProcess[] = [];
  return {
    async inject(context) {
      spinners = Array.from({ length: SPINNERS }, () =>
        spawn('sh', ['-c', 'while :; do :; done'], { stdio: 'ignore' }),
      );
      await passed(FROZEN_MS);
      await fault?.inject(context);
    },
    async settled(context) {
      if (fault === undefined) return passed(STARVED_MS);
      await fault.settled?.(context);
    },
    async restore(context) {
      for (const spinner of spinners) spinner.kill('SIGKILL');
      await fault?.restore?.(context);
    },
  };
}

export const drained: Fault = {
  inject: async ({ cluster, holder }) => {
    await cluster.kubectl(['cordon', holder]);
  },
  settled: movedAway,
  restore: async ({ cluster, holder }) => {
    await cluster.kubectl(['uncordon', holder]);
  },
};

export const labelRemoved: Fault = {
  inject: (context) => label(context, context.holder, 'false'),
  settled: movedAway,
  restore: (context) => label(context, context.holder, 'true'),
};

export const agentsReplaced: Fault = {
  async inject({ cluster }) {
    await cluster.kubectl(['-n', NAMESPACE, 'rollout', 'restart', 'ds/sallyport-agent']);
    await cluster.waitForRollout(NAMESPACE, 'ds/sallyport-agent', { timeoutMs: 120_000 });
  },
};

/** Two of three gateways within a second, the holder first and then whoever took over. */
export function twoPowerCuts(): Fault {
  let second = '';
  return {
    async inject(context) {
      const { cluster, holder } = context;
      await cluster.powerCut(holder);
      second = await movedTo(context, [holder]);
      await cluster.powerCut(second);
    },
    settled: (context) => movedTo(context, [context.holder, second]).then(() => undefined),
    async restore({ cluster, holder }) {
      await cluster.powerOn(holder);
      await cluster.powerOn(second);
    },
  };
}

/** Every gateway dies, and one comes back. */
export const allGoneOneBack: Fault = {
  async inject({ cluster, holder }) {
    const gateways = cluster.nodes.filter(({ role }) => role === 'gateway').map(({ name }) => name);
    await Promise.all(gateways.map((name) => cluster.powerCut(name)));
    await cluster.powerOn(holder);
  },
  async restore({ cluster, holder }) {
    for (const { name, role } of cluster.nodes)
      if (role === 'gateway' && name !== holder) await cluster.powerOn(name);
  },
};

export const etcdStopped: Fault = {
  async inject({ cluster }) {
    cluster.freeze(CONTROL_PLANE, /^\S*etcd /);
    await passed(5000);
  },
  restore: async ({ cluster }) => {
    cluster.thaw(CONTROL_PLANE, /^\S*etcd /);
    await cluster.waitForApiServer();
  },
};

async function label({ cluster }: FaultContext, node: string, value: 'true' | 'false'): Promise<void> {
  await cluster.kubectl(['label', 'node', node, `sallyport.dev/gateway=${value}`, '--overwrite']);
}

/** A gateway that neither holds the address nor comes next. */
async function thirdGateway({ cluster, address, holder }: FaultContext): Promise<string> {
  return cluster.waitFor('two standbys', async () => {
    const { stdout } = await cluster.kubectl(['get', 'eip', address, '-o', STANDBYS]);
    const standbys = stdout.split(',').filter((name) => name !== '' && name !== holder);
    return standbys.length < 2 ? undefined : standbys.at(-1);
  });
}

/** Time itself is what is waited for: that nothing happens within it is the claim. */
function passed(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function movedAway(context: FaultContext): Promise<void> {
  await movedTo(context, [context.holder]);
}

/** Who answers on the wire, once it is none of these. */
async function movedTo({ cluster, address }: FaultContext, not: readonly string[]): Promise<string> {
  let now = '';
  await until(cluster, `${address} to be answered by another`, async () => {
    const { stdout } = await cluster.kubectl(['get', 'eip', address, '-o', 'jsonpath={.status.gateway}']);
    now = stdout;
    return now !== '' && !not.includes(now);
  });
  return now;
}
