/** What can happen to a cluster, one by one: each is done, and undone, the same way in tests and in the bench. */

import { CONTROLLER_LEASE } from '../../policy/names.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { CONTROL_PLANE } from '../cluster/topology.ts';
import { NAMESPACE, until } from '../scenarios/installedCluster.ts';
import type { Fault, FaultContext } from './faultRun.ts';

/** The agent's process as the node runs it. */
const AGENT = /\/app\/agent\.js/;
/** Longer than any session and any statement: what was to happen meanwhile has happened. */
const FROZEN_MS = 2000;

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
  inject: async ({ cluster, holder }) => {
    await cluster.kubectl(['label', 'node', holder, 'sallyport.dev/gateway=false', '--overwrite']);
  },
  settled: movedAway,
  restore: async ({ cluster, holder }) => {
    await cluster.kubectl(['label', 'node', holder, 'sallyport.dev/gateway=true', '--overwrite']);
  },
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

/** The node on which the controller that leads runs. */
async function leaderNode(cluster: Cluster): Promise<string> {
  const fields = ['-n', NAMESPACE, '-o'];
  const lease = await cluster.kubectl([
    'get',
    'lease',
    CONTROLLER_LEASE,
    ...fields,
    'jsonpath={.spec.holderIdentity}',
  ]);
  const pod = lease.stdout.split('_')[0] ?? '';
  return (await cluster.kubectl(['get', 'pod', pod, ...fields, 'jsonpath={.spec.nodeName}'])).stdout;
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
