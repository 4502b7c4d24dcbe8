import { expect, test } from 'vitest';
import { readAgentConfig } from './agentConfig.ts';
import { leastPromiseMs } from './core/ownership/durations.ts';

const pod = {
  KUBERNETES_SERVICE_HOST: '10.96.0.1',
  KUBERNETES_SERVICE_PORT: '443',
  NODE_NAME: 'gw-1',
  NODE_IP: '203.0.113.11',
  SALLYPORT_NAMESPACE: 'sallyport-system',
};

test('in a pod the defaults are enough', () => {
  expect(readAgentConfig(pod)).toMatchObject({
    kind: 'ok',
    value: {
      node: 'gw-1',
      leaseMs: 3000,
      durations: { heartbeatMs: 25, sessionMs: 200, promiseMs: 213 },
      peerPort: 4792,
      tunnelPort: 4790,
      tunnelVni: 7777,
      serviceCidrs: [],
      health: { probes: [], nextHopCheck: true },
    },
  });
});

test('a heartbeat so rare that one lost and one late would silence the gateway is refused', () => {
  expect(readAgentConfig({ ...pod, HEARTBEAT_MILLISECONDS: '51' })).toMatchObject({
    kind: 'refused',
    error: [expect.stringContaining('less than 4 heartbeats')],
  });
  expect(readAgentConfig({ ...pod, HEARTBEAT_MILLISECONDS: '50' }).kind).toBe('ok');
  const longer = { ...pod, HEARTBEAT_MILLISECONDS: '51', SESSION_MILLISECONDS: '204' };
  expect(readAgentConfig(longer).kind).toBe('ok');
});

test('a promise so short that two gateways could answer at once is refused, and by default it never is', () => {
  expect(readAgentConfig({ ...pod, PROMISE_MILLISECONDS: '208' })).toMatchObject({
    kind: 'refused',
    error: [expect.stringContaining('needs at least 212.2 ms')],
  });
  expect(readAgentConfig({ ...pod, PROMISE_MILLISECONDS: '213' }).kind).toBe('ok');
  for (const session of ['100', '777', '60000']) {
    const config = readAgentConfig({ ...pod, SESSION_MILLISECONDS: session });
    expect(config).toMatchObject({ kind: 'ok', value: { durations: { sessionMs: Number(session) } } });
    const sessionMs = Number(session);
    if (config.kind === 'ok')
      expect(config.value.durations.promiseMs).toBeGreaterThanOrEqual(leastPromiseMs(sessionMs));
  }
});

test('the address of a node may be of either family', () => {
  for (const [text, family] of [
    ['203.0.113.11', 4],
    ['2001:db8::11', 6],
  ] as const)
    expect(readAgentConfig({ ...pod, NODE_IP: text })).toMatchObject({
      kind: 'ok',
      value: { nodeAddress: { family } },
    });
});

test('everything that is wrong is said at once', () => {
  const config = readAgentConfig({ NODE_IP: 'fd00::g', TUNNEL_VNI: '0' });
  expect(config.kind === 'refused' && config.error).toHaveLength(6);
});
