/** What helm says after an install, by what it finds in a real API server, and what CRDs without helm are. */
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCommand } from '../cluster/command.ts';
import { type ApiServer, startApiServer } from '../contract/apiServer.ts';
import { CILIUM_V2_CRD } from '../contract/ciliumV2Crd.ts';
import { runKubectl } from '../contract/runKubectl.ts';
import { documentedCommands } from '../scenarios/documentedCommands.ts';
import { makePreviousChart, NEW_FIELD } from './previousChart.ts';
import { CHART } from './renderChart.ts';

let api: ApiServer;

beforeAll(async () => {
  api = await startApiServer({ onProgress: (line) => console.log(line) });
}, 1_800_000);
afterAll(async () => {
  await api?.stop();
});

async function notes(settings: string): Promise<string> {
  const helm = [path.join(api.binaries, 'helm'), '--kubeconfig', api.kubeconfigPath];
  const argv = [...helm, 'install', 'other', CHART, '-n', 'default', '--dry-run=server', '--set', settings];
  return (await runCommand('helm install', argv)).stdout;
}

function kubectl(args: readonly string[], input = ''): string {
  const { code, output } = runKubectl(api, args, input);
  if (code !== 0) throw new Error(output);
  return output;
}

test('they say that no node is a gateway, that one alone is few, and which there are', async () => {
  const settings = 'crds.install=false';
  expect(await notes(settings)).not.toContain('MISSING');
  for (const name of ['one', 'two'])
    kubectl(['create', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'Node', metadata: { name } }));
  kubectl(['label', 'node', 'two', 'sallyport.dev/gateway=false']);
  expect(await notes(settings)).toContain('MISSING: no node is a gateway');
  kubectl(['label', 'node', 'one', 'sallyport.dev/gateway=true']);
  expect(await notes(settings)).toContain('Gateways: one. With one alone nobody takes over');
  kubectl(['label', 'node', 'two', 'sallyport.dev/gateway=true', '--overwrite']);
  expect(await notes(settings)).toContain('Gateways: one, two.');
});

test("they say that Cilium's own kind was left alone, and it is", async () => {
  const note = "a CiliumEgressGatewayPolicy of Cilium's own, which was left alone";
  const before = await notes('logLevel=info');
  expect(before).not.toContain(note);
  expect(before).toContain('name: ciliumegressgatewaypolicies.cilium.io');
  kubectl(['create', '-f', '-'], JSON.stringify(CILIUM_V2_CRD));
  const after = await notes('logLevel=info');
  expect(after).toContain(note);
  expect(after).not.toContain('name: ciliumegressgatewaypolicies.cilium.io');
});

test('the CRDs can be had from their files, and updated in the same way', async () => {
  const previous = await makePreviousChart();
  const fields = () => kubectl(['get', 'crd', 'egresspolicies.sallyport.dev', '-o', 'json']);
  const apply = (chart: string) =>
    kubectl(['apply', '--server-side', '-f', path.join(chart, 'files/crds/egresspolicies.yaml')]);
  apply(previous.path);
  expect(fields()).not.toContain(`"${NEW_FIELD}"`);
  apply(CHART);
  expect(fields()).toContain(`"${NEW_FIELD}"`);
  await previous.remove();
});

test("what clears a node by hand is its root, on the host's network, and may change it", async () => {
  const [debug = []] = (await documentedCommands('Uninstalling', 'kubectl')).filter(
    ([verb]) => verb === 'debug',
  );
  const words = debug.map((word) => word.replace('NODE', 'one').replace('IMAGE', 'sallyport/sallyport:x'));
  const namespace = words[words.indexOf('-n') + 1] ?? '';
  kubectl(['create', 'namespace', namespace]);
  kubectl(['create', 'serviceaccount', 'default', '-n', namespace]);
  kubectl(words);
  const { items } = JSON.parse(kubectl(['get', 'pods', '-n', namespace, '-o', 'json']));
  expect(items).toMatchObject([
    {
      spec: {
        nodeName: 'one',
        hostNetwork: true,
        containers: [
          {
            command: ['/usr/bin/node', '/app/cleanup.js'],
            securityContext: {
              runAsUser: 0,
              capabilities: { add: expect.arrayContaining(['NET_ADMIN', 'NET_RAW']) },
            },
          },
        ],
      },
    },
  ]);
});
