/**
 * What helm does to an API server in the life of a release, with helm 3 and helm 4: CRDs are changed by an upgrade and a
 * rollback, stay when the release goes, and are taken on again. No controller is here, so nothing runs.
 */
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CommandResult, runCommand } from '../cluster/command.ts';
import { ensureHelm4 } from '../cluster/toolchain.ts';
import { type ApiServer, startApiServer } from '../contract/apiServer.ts';
import { CILIUM_V2_CRD } from '../contract/ciliumV2Crd.ts';
import { runKubectl } from '../contract/runKubectl.ts';
import { makePreviousChart, NEW_FIELD, type PreviousChart } from './previousChart.ts';
import { CHART } from './renderChart.ts';

let api: ApiServer;
let helm4: string;
let previous: PreviousChart;

beforeAll(async () => {
  const onProgress = (line: string): void => console.log(line);
  api = await startApiServer({ onProgress });
  helm4 = await ensureHelm4({ onProgress });
  previous = await makePreviousChart();
}, 1_800_000);
afterAll(async () => {
  await previous?.remove();
  await api?.stop();
});

const POLICY = JSON.stringify({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: { name: 'newer' },
  spec: {
    selectors: [{ matchLabels: { app: 'a' } }],
    destinationCIDRs: ['0.0.0.0/0'],
    egressGateway: { ippools: [{ cidr: '203.0.113.10/32' }], [NEW_FIELD]: '5m' },
  },
});
const CONFIGURATIONS = ['validatingwebhookconfiguration', 'mutatingwebhookconfiguration'];

/** Strictly, as kubectl does it: a field that the CRD does not know is refused. The webhook is not there to ask. */
function applyPolicy(): string {
  for (const kind of CONFIGURATIONS)
    runKubectl(api, ['delete', kind, 'sallyport-webhook', '--ignore-not-found']);
  return runKubectl(api, ['apply', '--validate=strict', '-f', '-'], POLICY).output;
}

function crdsKept(): readonly string[] {
  const { output } = runKubectl(api, ['get', 'crd', '-o', 'name']);
  return output
    .trim()
    .split('\n')
    .map((line) => line.replace(/.*\//, ''))
    .toSorted();
}

const OWN_CRDS = [
  'ciliumegressgatewaypolicies.cilium.io',
  'egressips.sallyport.dev',
  'egresspolicies.sallyport.dev',
  'gatewaynodes.sallyport.dev',
];

describe.each([{ name: 'helm 3' }, { name: 'helm 4' }])('with $name', ({ name }) => {
  const namespace = name.replace(' ', '');
  const helm = (args: readonly string[], allowFailure = false): Promise<CommandResult> => {
    const program = name === 'helm 4' ? helm4 : path.join(api.binaries, 'helm');
    const argv = [program, '--kubeconfig', api.kubeconfigPath, ...args, '-n', namespace];
    return runCommand(`helm ${args[0]}`, argv, { allowFailure, timeoutMs: 120_000 });
  };

  test('a field that a version adds is there after an upgrade to it, and gone after a rollback', async () => {
    await helm(['install', 'sallyport', previous.path, '--create-namespace']);
    expect(applyPolicy()).toContain(`unknown field "spec.egressGateway.${NEW_FIELD}"`);
    await helm(['upgrade', 'sallyport', CHART, '--reset-then-reuse-values']);
    expect(applyPolicy()).toContain('created');
    await helm(['rollback', 'sallyport']);
    const { output } = runKubectl(api, ['get', 'egresspolicy', 'newer', '-o', 'json']);
    expect(JSON.parse(output).spec.egressGateway).not.toHaveProperty(NEW_FIELD);
    await helm(['upgrade', 'sallyport', CHART, '--reset-then-reuse-values']);
    expect(applyPolicy()).not.toContain('unknown field');
  });

  test('an upgrade to the same writes nothing anew', async () => {
    const versions = () =>
      runKubectl(api, ['get', 'crd,clusterrole', '-l', 'app.kubernetes.io/name=sallyport', '-o', VERSIONS])
        .output;
    await helm(['upgrade', 'sallyport', CHART, '--reset-then-reuse-values']);
    const before = versions();
    expect(before.split('\n').length).toBeGreaterThan(6);
    await helm(['upgrade', 'sallyport', CHART, '--reset-then-reuse-values']);
    expect(versions()).toBe(before);
  });

  test('CRDs and policies stay when the release goes, and the next one takes them on', async () => {
    // The Job before the uninstall needs a kubelet.
    await helm(['uninstall', 'sallyport', '--no-hooks']);
    expect(crdsKept()).toEqual(OWN_CRDS);
    expect(runKubectl(api, ['get', 'egresspolicy', 'newer']).code).toBe(0);
    const rest =
      'clusterrole,clusterrolebinding,flowschema,validatingwebhookconfiguration,mutatingwebhookconfiguration';
    const { output } = runKubectl(api, ['get', rest, '-l', 'app.kubernetes.io/name=sallyport', '-o', 'name']);
    expect(output.trim()).toBe('');
    await helm(['install', 'sallyport', CHART]);
    expect(crdsKept()).toEqual(OWN_CRDS);
    await helm(['uninstall', 'sallyport', '--no-hooks']);
    expect(runKubectl(api, ['delete', 'crd', ...OWN_CRDS]).code).toBe(0);
  });
});

const VERSIONS = 'custom-columns=NAME:.metadata.name,VERSION:.metadata.resourceVersion';

test('the CRDs can be had without helm, and updated in the same way', async () => {
  const apply = (folder: string) =>
    runKubectl(api, ['apply', '--server-side', '-f', path.join(folder, 'files/crds')]);
  expect(apply(previous.path).code).toBe(0);
  expect(apply(CHART).code).toBe(0);
  expect(crdsKept()).toEqual(OWN_CRDS);
  const { output } = runKubectl(api, ['get', 'crd', 'egresspolicies.sallyport.dev', '-o', 'json']);
  expect(output).toContain(`"${NEW_FIELD}"`);
});

describe('the notes', () => {
  const notes = async (settings = 'crds.install=false') => {
    const helm = [path.join(api.binaries, 'helm'), '--kubeconfig', api.kubeconfigPath];
    const argv = [...helm, 'install', 'other', CHART, '-n', 'default', '--dry-run=server', '--set', settings];
    return (await runCommand('helm install', argv)).stdout;
  };
  const kubectl = (args: readonly string[], input = '') => {
    expect(runKubectl(api, args, input)).toMatchObject({ code: 0 });
  };

  test('say that no node is a gateway, that one alone is few, and which there are', async () => {
    expect(await notes()).not.toContain('MISSING');
    for (const name of ['one', 'two'])
      kubectl(['create', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'Node', metadata: { name } }));
    kubectl(['label', 'node', 'two', 'sallyport.dev/gateway=false']);
    expect(await notes()).toContain('MISSING: no node is a gateway');
    kubectl(['label', 'node', 'one', 'sallyport.dev/gateway=true']);
    expect(await notes()).toContain('Gateways: one. With one alone nobody takes over');
    kubectl(['label', 'node', 'two', 'sallyport.dev/gateway=true', '--overwrite']);
    expect(await notes()).toContain('Gateways: one, two.');
  });

  test("say that Cilium's own kind was left alone, and it is", async () => {
    const note = "a CiliumEgressGatewayPolicy of Cilium's own, which was left alone";
    kubectl(['delete', 'crd', ...OWN_CRDS, '--ignore-not-found']);
    const before = await notes('logLevel=info');
    expect(before).not.toContain(note);
    expect(before).toContain('name: ciliumegressgatewaypolicies.cilium.io');
    kubectl(['create', '-f', '-'], JSON.stringify(CILIUM_V2_CRD));
    const after = await notes('logLevel=info');
    expect(after).toContain(note);
    expect(after).not.toContain('name: ciliumegressgatewaypolicies.cilium.io');
  });
});
