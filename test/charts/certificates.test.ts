/** What the chart renders for each mode of the webhook's certificates, and the values that contradict each other. */
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { CERTIFICATE_MODES, type CertificateMode } from '../../webhook/certificateSettings.ts';
import { readWebhookConfig } from '../../webhook/config.ts';
import { runCommand } from '../cluster/command.ts';
import { ensureToolchain } from '../cluster/toolchain.ts';

const CHART = path.resolve(import.meta.dirname, '../../charts/sallyport');
const BUILD_TIMEOUT_MS = 1_800_000;
const VALUES = 'webhook.certificates';

interface Rendered {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly rules?: readonly {
    readonly apiGroups: readonly string[];
    readonly resources: readonly string[];
    readonly resourceNames?: readonly string[];
    readonly verbs: readonly string[];
  }[];
  readonly spec?: Readonly<Record<string, unknown>> & {
    readonly template?: {
      readonly spec: {
        readonly containers: readonly {
          readonly env: readonly { readonly name: string; readonly value?: string }[];
        }[];
      };
    };
  };
}

let helm: string;

beforeAll(async () => {
  const { folder } = await ensureToolchain({ onProgress: (line) => console.log(line) });
  helm = path.join(folder, 'helm');
}, BUILD_TIMEOUT_MS);

function template(settings: readonly string[], allowFailure = false) {
  const sets = settings.flatMap((setting) => ['--set', `${VALUES}.${setting}`]);
  const argv = [helm, 'template', 'egress', CHART, '--namespace', 'net', '--kube-version', '1.37.2', ...sets];
  return runCommand('rendering the chart', argv, { allowFailure });
}

async function render(settings: readonly string[]): Promise<readonly Rendered[]> {
  const { stdout } = await template(settings);
  return parseAllDocuments(stdout)
    .map((document) => document.toJS())
    .filter((object) => object !== null);
}

const SETTINGS: Readonly<Record<CertificateMode, readonly string[]>> = {
  selfManaged: [],
  certManager: ['mode=certManager'],
  existingSecret: ['mode=existingSecret', 'existingSecret.name=mine'],
};

interface Expected {
  readonly secret: string;
  readonly secretRules: readonly (readonly string[])[];
  readonly configurationVerbs: readonly string[];
  readonly manageCaBundle: boolean;
  readonly made: readonly string[];
}
const EXPECTED: Readonly<Record<CertificateMode, Expected>> = {
  selfManaged: {
    secret: 'egress-webhook-cert',
    secretRules: [['get', 'list', 'watch', 'update', 'patch'], ['create']],
    configurationVerbs: ['get', 'patch'],
    manageCaBundle: true,
    made: [],
  },
  certManager: {
    secret: 'egress-webhook-cert',
    secretRules: [['get', 'list', 'watch']],
    configurationVerbs: ['get'],
    manageCaBundle: false,
    made: [
      'Certificate egress-webhook-ca',
      'Certificate egress-webhook-cert',
      'Issuer egress-webhook-ca',
      'Issuer egress-webhook-selfsigned',
    ],
  },
  existingSecret: {
    secret: 'mine',
    secretRules: [['get', 'list', 'watch']],
    configurationVerbs: ['get', 'patch'],
    manageCaBundle: true,
    made: [],
  },
};

describe.each(CERTIFICATE_MODES)('%s', (mode) => {
  const { secret, secretRules, configurationVerbs, manageCaBundle, made } = EXPECTED[mode];

  test('the webhook is told, and may do no more than that takes', async () => {
    const objects = await render(SETTINGS[mode]);
    const deployment = objects.find(
      ({ kind, metadata }) => kind === 'Deployment' && metadata.name === 'egress-webhook',
    );
    const env = deployment?.spec?.template?.spec.containers[0]?.env ?? [];
    const read = readWebhookConfig({
      ...Object.fromEntries(env.map(({ name, value = 'x' }) => [name, value])),
      KUBECONFIG: '/kubeconfig',
    });
    const podSelector =
      'app.kubernetes.io/name=sallyport,app.kubernetes.io/instance=egress,app.kubernetes.io/component=webhook';
    expect(read).toMatchObject({
      kind: 'ok',
      value: { certificates: { mode, secretName: secret, manageCaBundle, podSelector } },
    });
    const rules = objects
      .filter(({ kind, metadata }) => kind.endsWith('Role') && metadata.name === 'egress-webhook')
      .flatMap((role) => role.rules ?? []);
    const about = (resource: string) => rules.filter(({ resources }) => resources.includes(resource));
    expect(about('secrets').map(({ verbs }) => verbs)).toEqual(secretRules);
    expect(about('secrets')[0]?.resourceNames).toEqual([secret]);
    expect(about('validatingwebhookconfigurations').map(({ verbs }) => verbs)).toEqual([configurationVerbs]);
  });

  test('both configurations say who keeps the certificates, and nothing in the chart is one', async () => {
    const objects = await render(SETTINGS[mode]);
    const configurations = objects.filter(({ kind }) => kind.endsWith('WebhookConfiguration'));
    expect(configurations).toHaveLength(2);
    for (const { metadata } of configurations)
      expect(metadata.annotations).toEqual({
        'sallyport.dev/certificates': `${mode} net/${secret}`,
        ...(mode === 'certManager' ? { 'cert-manager.io/inject-ca-from': 'net/egress-webhook-cert' } : {}),
      });
    const madeHere = objects.filter(({ kind }) => ['Certificate', 'Issuer', 'Secret'].includes(kind));
    expect(madeHere.map(({ kind, metadata }) => `${kind} ${metadata.name}`).toSorted()).toEqual(made);
  });
});

test('an issuer of the user signs in place of a CA of our own', async () => {
  const ref = 'certManager.issuerRef';
  const objects = await render(['mode=certManager', `${ref}.name=ours`, `${ref}.kind=ClusterIssuer`]);
  expect(objects.filter(({ kind }) => kind === 'Issuer')).toEqual([]);
  const certificates = objects.filter(({ kind }) => kind === 'Certificate');
  expect(certificates).toMatchObject([
    {
      spec: {
        secretName: 'egress-webhook-cert',
        dnsNames: ['egress-webhook.net.svc', 'egress-webhook.net.svc.cluster.local'],
        issuerRef: { name: 'ours', kind: 'ClusterIssuer', group: 'cert-manager.io' },
      },
    },
  ]);
});

test('a bundle that is left to the user is not written', async () => {
  const objects = await render([...SETTINGS.existingSecret, 'existingSecret.manageCaBundle=false']);
  const role = objects.find(
    ({ kind, metadata }) => kind === 'ClusterRole' && metadata.name === 'egress-webhook',
  );
  const about = (role?.rules ?? []).filter(({ resources }) =>
    resources.includes('mutatingwebhookconfigurations'),
  );
  expect(about.map(({ verbs }) => verbs)).toEqual([['get']]);
});

test.each([
  { name: 'a mode that there is not', settings: ['mode=helm'], said: 'mode' },
  { name: 'a Secret without a name', settings: ['mode=existingSecret'], said: 'name the Secret' },
  {
    name: 'a Secret that nobody would use',
    settings: ['existingSecret.name=mine'],
    said: 'would not be used',
  },
  {
    name: 'a bundle that nobody would write',
    settings: ['existingSecret.manageCaBundle=false'],
    said: 'for existingSecret alone',
  },
  {
    name: 'an issuer that nobody would ask',
    settings: ['certManager.issuerRef.name=ours'],
    said: 'nobody would ask',
  },
  {
    name: "a Secret of the webhook's own",
    settings: ['mode=existingSecret', 'existingSecret.name=egress-webhook-cert'],
    said: 'choose another',
  },
  {
    name: 'an issuer without a name',
    settings: ['mode=certManager', 'certManager.issuerRef.kind=X'],
    said: 'name',
  },
])('$name is refused', async ({ settings, said }) => {
  const { code, stderr } = await template(settings, true);
  expect(code).not.toBe(0);
  expect(stderr).toContain(said);
});
