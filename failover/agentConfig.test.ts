import { expect, test } from 'vitest';
import { readAgentConfig } from './agentConfig.ts';

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
      lifetimeMs: 3000,
      heartbeatMs: 500,
      tunnelPort: 4790,
      tunnelVni: 7777,
      serviceCidrs: [],
    },
  });
});

test('a heartbeat so rare that one lost would silence the gateway is refused', () => {
  expect(readAgentConfig({ ...pod, HEARTBEAT_MILLISECONDS: '1001' })).toMatchObject({
    kind: 'refused',
    error: [expect.stringContaining('more than a third')],
  });
  expect(readAgentConfig({ ...pod, HEARTBEAT_MILLISECONDS: '1000' }).kind).toBe('ok');
});

test('everything that is wrong is said at once', () => {
  const config = readAgentConfig({ NODE_IP: 'fd00::1', TUNNEL_VNI: '0' });
  expect(config.kind === 'refused' && config.error).toHaveLength(6);
});
