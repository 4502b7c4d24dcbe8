/**
 * What helm does to an API server in the life of a release, with helm 3 and helm 4: CRDs are changed by an upgrade and a
 * rollback, stay when the release goes, and are taken on again, by helm 4 from helm 3 too. No controller is here, so nothing runs.
 */
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CommandResult, runCommand } from '../cluster/command.ts';
import { ensureHelm4 } from '../cluster/toolchain.ts';
import { type ApiServer, startApiServer } from '../contract/apiServer.ts';
import { runKubectl } from '../contract/runKubectl.ts';
import { makePreviousChart, NEW_FIELD, type PreviousChart } from './previousChart.ts';
import { CHART } from './renderChart.ts';

const NAMESPACE = 'net';

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
  const helm = (args: readonly string[], allowFailure = false): Promise<CommandResult> => {
    const program = name === 'helm 4' ? helm4 : path.join(api.binaries, 'helm');
    const argv = [program, '--kubeconfig', api.kubeconfigPath, ...args, '-n', NAMESPACE];
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

  test('a second manager of the same manifests finds nothing to argue about', async () => {
    const { stdout } = await helm(['get', 'manifest', 'sallyport']);
    const asSecond = ['apply', '--server-side', '--field-manager=gitops', '--dry-run=server', '-f', '-'];
    const { code, output } = runKubectl(api, asSecond, stdout);
    const complaints = output.split('\n').filter((line) => /conflict|^- /.test(line));
    expect({ code, complaints }).toEqual({ code: 0, complaints: [] });
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
    expect(runKubectl(api, ['delete', 'egresspolicy', 'newer']).code).toBe(0);
  });
});

const VERSIONS = 'custom-columns=NAME:.metadata.name,VERSION:.metadata.resourceVersion';
