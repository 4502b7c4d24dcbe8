import { expect, test } from 'vitest';
import { readWebhookConfig } from './config.ts';

const COMPLETE = {
  KUBERNETES_SERVICE_HOST: '10.96.0.1',
  KUBERNETES_SERVICE_PORT: '443',
  POD_NAME: 'webhook-0',
  SALLYPORT_NAMESPACE: 'sallyport',
  WEBHOOK_SERVICE: 'sallyport-webhook',
  CERT_SECRET: 'sallyport-webhook-cert',
  VALIDATING_CONFIGURATION: 'sallyport',
  MUTATING_CONFIGURATION: 'sallyport',
};

test('what is required suffices, the rest has defaults', () => {
  expect(readWebhookConfig(COMPLETE)).toMatchObject({
    kind: 'ok',
    value: { port: 9443, logLevel: 'info', routable: [] },
  });
});

test.each([
  { env: {}, certificates: { mode: 'selfManaged', manageCaBundle: true, propagationMs: 15_000 } },
  { env: { CERT_MODE: 'certManager' }, certificates: { manageCaBundle: false } },
  { env: { CERT_MODE: 'existingSecret' }, certificates: { manageCaBundle: true } },
  {
    env: { CERT_MODE: 'existingSecret', MANAGE_CA_BUNDLE: 'false', POD_SELECTOR: 'a=b' },
    certificates: { manageCaBundle: false, podSelector: 'a=b' },
  },
])('certificates by $env', ({ env, certificates }) => {
  expect(readWebhookConfig({ ...COMPLETE, ...env })).toMatchObject({ kind: 'ok', value: { certificates } });
});

test.each([
  { env: { CERT_MODE: 'helm' }, said: 'CERT_MODE is helm' },
  { env: { MANAGE_CA_BUNDLE: 'true' }, said: 'for existingSecret' },
  { env: { CERT_MODE: 'existingSecret', MANAGE_CA_BUNDLE: 'yes' }, said: 'use true or false' },
  { env: { CERT_PROPAGATION_MILLISECONDS: '99' }, said: 'from 100 to 600000' },
])('$env is refused', ({ env, said }) => {
  const read = readWebhookConfig({ ...COMPLETE, ...env });
  expect(read).toMatchObject({ kind: 'refused', error: [expect.stringContaining(said)] });
});

test('a kubeconfig goes before the place that pods are told', () => {
  expect(readWebhookConfig({ ...COMPLETE, KUBECONFIG: '/etc/kubeconfig' })).toMatchObject({
    value: { cluster: { kind: 'kubeconfig', path: '/etc/kubeconfig' } },
  });
  expect(readWebhookConfig(COMPLETE)).toMatchObject({
    value: { cluster: { kind: 'in-cluster', host: '10.96.0.1', port: '443' } },
  });
});

test('routable networks are a list', () => {
  const read = readWebhookConfig({ ...COMPLETE, ROUTABLE_CIDRS: '192.0.2.0/24, 2001:db8::/32,' });
  expect(read).toMatchObject({ kind: 'ok', value: { routable: [{ prefix: 24 }, { prefix: 32 }] } });
});

test("the cluster's own networks and the limits are read", () => {
  const read = readWebhookConfig({
    ...COMPLETE,
    POD_CIDRS: '10.244.0.0/16',
    SERVICE_CIDRS: '10.96.0.0/12',
    POOL_ADDRESSES_MAX: '1024',
  });
  expect(read).toMatchObject({
    kind: 'ok',
    value: {
      networks: [
        { use: 'pods', cidr: { prefix: 16 }, source: 'the setting POD_CIDRS' },
        { use: 'services', cidr: { prefix: 12 } },
      ],
      poolAddressesMax: 1024,
      initialPorts: 512,
      controllerAccount: 'sallyport-controller',
    },
  });
});

test.each(['0', '1025', '-1', '1e2', 'many'])('%s is no limit of addresses', (text) => {
  expect(readWebhookConfig({ ...COMPLETE, POOL_ADDRESSES_MAX: text }).kind).toBe('refused');
});

test('who may ask is nobody in particular, or names under an authority', () => {
  expect(readWebhookConfig(COMPLETE)).not.toHaveProperty('value.clients');
  expect(
    readWebhookConfig({ ...COMPLETE, CLIENT_CA_FILE: '/etc/ca.crt', CLIENT_NAMES: 'kube-apiserver, b' }),
  ).toMatchObject({ value: { clients: { bundlePath: '/etc/ca.crt', names: ['kube-apiserver', 'b'] } } });
});

test.each([
  { CLIENT_CA_FILE: '/etc/ca.crt' },
  { CLIENT_CA_FILE: '/etc/ca.crt', CLIENT_NAMES: ' , ' },
  { CLIENT_NAMES: 'kube-apiserver' },
])('%o is half a check and refused', (half) => {
  expect(readWebhookConfig({ ...COMPLETE, ...half }).kind).toBe('refused');
});

test('all problems are told at once', () => {
  const read = readWebhookConfig({
    LOG_LEVEL: 'loud',
    WEBHOOK_PORT: '70000',
    ROUTABLE_CIDRS: '192.0.2.1/24',
  });
  if (read.kind === 'ok') throw new Error('accepted');
  for (const name of [...Object.keys(COMPLETE), 'LOG_LEVEL', 'WEBHOOK_PORT', 'ROUTABLE_CIDRS'])
    expect(read.error.filter((problem) => problem.startsWith(name))).toHaveLength(1);
});

test.each(['0', '65536', '-1', '9443x', '1e3'])('%s is no port', (text) => {
  expect(readWebhookConfig({ ...COMPLETE, WEBHOOK_PORT: text }).kind).toBe('refused');
});
