import { expect, test } from 'vitest';
import { readControllerConfig } from './controllerConfig.ts';
import { deriveDurations } from './core/ownership/durations.ts';

const pod = {
  KUBERNETES_SERVICE_HOST: '10.96.0.1',
  KUBERNETES_SERVICE_PORT: '443',
  POD_NAME: 'controller-0',
  SALLYPORT_NAMESPACE: 'sallyport-system',
};

test('in a pod the defaults are enough', () => {
  expect(readControllerConfig(pod)).toEqual({
    kind: 'ok',
    value: {
      cluster: { kind: 'in-cluster', host: '10.96.0.1', port: '443' },
      podName: 'controller-0',
      namespace: 'sallyport-system',
      logLevel: 'info',
      metricsPort: 9091,
      routable: [],
      initialPorts: 512,
      quarantineMs: 240_000,
      peerKeyRotationMs: 7 * 24 * 3_600_000,
      maxGatewaysLeaving: 1,
      // The same as the agents', who read the same variables.
      durations: deriveDurations({ heartbeatMs: 25, sessionMs: 200, promiseMs: 213 }),
    },
  });
});

test('a kubeconfig stands in for the pod, and settings are read', () => {
  const config = readControllerConfig({
    KUBECONFIG: '/tmp/kubeconfig',
    POD_NAME: 'a',
    SALLYPORT_NAMESPACE: 'b',
    ROUTABLE_CIDRS: '192.0.2.0/24, 198.51.100.0/25',
    INITIAL_PORTS: '64',
    BLOCK_QUARANTINE_SECONDS: '0',
    MAX_GATEWAYS_LEAVING: '3',
    PEER_KEY_ROTATION_HOURS: '0',
    HEARTBEAT_MILLISECONDS: '10',
    SESSION_MILLISECONDS: '100',
    PROMISE_MILLISECONDS: '150',
  });
  expect(config).toMatchObject({
    kind: 'ok',
    value: {
      cluster: { kind: 'kubeconfig' },
      initialPorts: 64,
      quarantineMs: 0,
      maxGatewaysLeaving: 3,
      peerKeyRotationMs: 0,
      durations: deriveDurations({ heartbeatMs: 10, sessionMs: 100, promiseMs: 150 }),
      routable: [{ prefix: 24 }, { prefix: 25 }],
    },
  });
});

test('everything that is wrong is said at once', () => {
  const config = readControllerConfig({
    INITIAL_PORTS: '63',
    METRICS_PORT: 'x',
    MAX_GATEWAYS_LEAVING: '0',
    PEER_KEY_ROTATION_HOURS: '-1',
    ROUTABLE_CIDRS: '192.0.2.1/24',
    HEARTBEAT_MILLISECONDS: '100',
    PROMISE_MILLISECONDS: '100',
  });
  expect(config.kind === 'refused' && config.error).toHaveLength(11);
});
