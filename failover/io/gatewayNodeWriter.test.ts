/** The conditions that an agent writes about its own node. */
import { expect, test } from 'vitest';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { createLogger } from '../../runtime/logger.ts';
import type { Health } from '../core/agent/health.ts';
import type { NodeReport } from '../core/agent/reportNode.ts';
import { parseGatewayNode } from '../core/parseGatewayNode.ts';
import { createGatewayNodeWriter } from './gatewayNodeWriter.ts';

const report: NodeReport = {
  session: 5,
  lastSession: 5,
  interfaces: [],
  onLink: [],
  nextHops: [],
  capacity: 1,
  holding: 0,
  addresses: [],
  dead: [],
  voterConfigVersion: 0,
  voterSets: [],
  peerKeys: [],
  peerSigningKey: 0,
  demand: [],
  selected: [],
  versions: { agent: '', kernel: '', nftables: '' },
  dataPlaneReady: true,
  dataPlaneMessage: '',
  forwardingMessage: '',
};
const HEALTHY: Health = { healthy: true, reasons: [], message: '' };
const BROKEN: Health = {
  healthy: false,
  reasons: ['NoCarrier', 'NextHopSilent'],
  message: 'the uplink eth0: it has no carrier; the next hop: silent',
};

interface Status {
  readonly conditions: readonly { readonly type: string; readonly lastTransitionTime: string }[];
}

/** An API server that keeps the status it is given; each look at the clock is a second later. */
function stand() {
  let status: Status = { conditions: [] };
  let seconds = 0;
  const client: Pick<KubeClient, 'mergePatch'> = {
    mergePatch: async (_, patch) => {
      ({ status } = patch as { readonly status: Status }); // What the writer writes.
      return { kind: 'ok', value: {} };
    },
  };
  const writer = createGatewayNodeWriter({
    client: client as KubeClient, // Nothing else of it is called.
    node: 'gw-1',
    logger: createLogger({ program: 'test', level: 'error' }),
    wallClock: () => {
      seconds += 1;
      return seconds * 1000;
    },
    onFailed: () => undefined,
  });
  return {
    write: async (change: Partial<NodeReport>) => {
      writer.write({ ...report, ...change });
      await writer.drained();
      return status;
    },
    /** Seconds on that clock. */
    since: () =>
      Object.fromEntries(
        status.conditions.map(({ type, lastTransitionTime }) => [
          type,
          Date.parse(lastTransitionTime) / 1000,
        ]),
      ),
  };
}

test('a node that is no gateway has no condition Healthy, and counts as healthy', async () => {
  const status = await stand().write({});
  expect(status.conditions.map(({ type }) => type)).toEqual(['DataPlaneReady']);
  expect(parseGatewayNode({ metadata: { name: 'gw-1' }, status })).toMatchObject({ healthy: true });
});

test.each([
  { name: 'a healthy gateway', health: HEALTHY, status: 'True', reason: 'ChecksPass', message: '' },
  {
    name: 'an unhealthy gateway',
    health: BROKEN,
    status: 'False',
    reason: 'NoCarrier',
    message: BROKEN.message,
  },
])('$name says so beside its data plane, and is read back', async ({ health, ...condition }) => {
  const { name: _, ...expected } = condition;
  const status = await stand().write({ health });
  expect(status.conditions).toMatchObject([
    { type: 'DataPlaneReady' },
    { type: 'Healthy', ...expected },
    { type: 'ForwardingAllowed', status: 'True' },
  ]);
  expect(status).not.toHaveProperty('health');
  expect(parseGatewayNode({ metadata: { name: 'gw-1' }, status })).toMatchObject({
    dataPlaneReady: true,
    healthy: health.healthy,
    healthMessage: health.message,
  });
});

test('a gateway says what is in the way of its forwarding', async () => {
  const { write } = stand();
  const status = await write({ health: HEALTHY, forwardingMessage: 'the chain ip filter FORWARD drops' });
  expect(status.conditions.at(-1)).toMatchObject({
    type: 'ForwardingAllowed',
    status: 'False',
    reason: 'HostFirewall',
    message: 'the chain ip filter FORWARD drops',
  });
  expect(status).not.toHaveProperty('forwardingMessage');
});

test('each condition keeps the time of its own last change', async () => {
  const { write, since } = stand();
  await write({ health: HEALTHY });
  expect(since()).toEqual({ DataPlaneReady: 1, Healthy: 2, ForwardingAllowed: 3 });
  await write({ health: BROKEN });
  expect(since()).toEqual({ DataPlaneReady: 1, Healthy: 5, ForwardingAllowed: 3 });
  await write({ health: { ...BROKEN, message: 'other words' }, dataPlaneReady: false });
  expect(since()).toEqual({ DataPlaneReady: 7, Healthy: 5, ForwardingAllowed: 3 });
});
