/**
 * Tools that render and apply the chart again and again (Argo CD, Flux) find the same each time, and an API server takes all of
 * it, unknown fields refused: with the defaults and with everything on.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ensureHelm4 } from '../cluster/toolchain.ts';
import { type ApiServer, startApiServer } from '../contract/apiServer.ts';
import { runKubectl } from '../contract/runKubectl.ts';
import { ALL_ON, CHART, helmTemplate, parseManifests, type RenderedObject } from './renderChart.ts';

/** Of another project, so no API server of ours has them: chartMonitoring below knows their fields. */
const OPERATOR_GROUP = 'monitoring.coreos.com/v1';
let api: ApiServer;
let helm4: string;

beforeAll(async () => {
  const onProgress = (line: string): void => console.log(line);
  api = await startApiServer({ onProgress });
  helm4 = await ensureHelm4({ onProgress });
  expect(runKubectl(api, ['create', 'namespace', 'net']).code).toBe(0);
  // A pod is not even tried without its account.
  expect(runKubectl(api, ['create', 'serviceaccount', 'egress-test', '-n', 'net']).code).toBe(0);
}, 1_800_000);
afterAll(async () => {
  await api?.stop();
});

describe.each([
  { name: 'the defaults', settings: [] },
  { name: 'everything on', settings: ALL_ON },
])('with $name', ({ settings }) => {
  test('the chart renders to the same bytes twice', async () => {
    const [first, second] = [await helmTemplate(settings), await helmTemplate(settings)];
    expect(second.stdout).toBe(first.stdout);
  });

  test('helm 4 renders what helm 3 does', async () => {
    const byKind = (text: string) => parseManifests(text).map((it) => [`${it.kind}/${it.metadata.name}`, it]);
    const [third, fourth] = [await helmTemplate(settings), await helmTemplate(settings, { helm: helm4 })];
    expect(Object.fromEntries(byKind(fourth.stdout))).toEqual(Object.fromEntries(byKind(third.stdout)));
  });

  test('an API server takes every object, and no field is unknown to it', async () => {
    const objects = parseManifests((await helmTemplate(settings)).stdout);
    const served = objects.filter(({ apiVersion }) => apiVersion !== OPERATOR_GROUP);
    expect(served.length).toBeGreaterThan(20);
    const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: served });
    const dryRun = ['apply', '--server-side', '--dry-run=server', '--validate=strict', '-f', '-'];
    expect(runKubectl(api, dryRun, list)).toEqual({ code: 0, output: expect.any(String) });
  });

  test('no two objects have one name, and all of a namespace name the release’s', async () => {
    const objects = parseManifests((await helmTemplate(settings)).stdout);
    const ids = objects.map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`);
    expect(ids.filter((id, index) => ids.indexOf(id) !== index)).toEqual([]);
    for (const { metadata } of objects) expect(['net', undefined]).toContain(metadata.namespace);
    const labelled = objects.filter(({ kind }) => kind !== 'CustomResourceDefinition');
    for (const { metadata } of labelled)
      expect(metadata.labels, metadata.name).toMatchObject({
        'app.kubernetes.io/name': 'sallyport',
        'app.kubernetes.io/instance': 'egress',
      });
  });
});

test('a strict validation finds a misspelt field', async () => {
  const [service] = parseManifests((await helmTemplate([])).stdout).filter(({ kind }) => kind === 'Service');
  const wrong = JSON.stringify({ ...service, spec: { ...service?.spec, sesionAffinity: 'None' } });
  const dryRun = ['apply', '--server-side', '--dry-run=server', '--validate=strict', '-f', '-'];
  expect(runKubectl(api, dryRun, wrong).output).toContain('sesionAffinity');
});

/** Functions of templates whose result is another one each time, or depends on when or where it is rendered. */
const UNSTABLE =
  /\b(rand\w+|gen\w+|uuidv4|now|date\w*|ago|shuffle|derivePassword|htpasswd|bcrypt|getHostByName|env)\b/;
/** Only whether Cilium's own CRD is there, and what the notes say. */
const MAY_LOOK = ['NOTES.txt', '_names.tpl'];

test('no template draws lots, makes keys or reads the clock, and two look at the cluster', () => {
  const folder = path.join(CHART, 'templates');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) =>
    /\.\w+$/.test(file),
  );
  expect(files.length).toBeGreaterThan(15);
  const actions = files.map((file) => {
    const text = readFileSync(path.join(folder, file), 'utf8').replaceAll(
      /\{\{-?\s*\/\*[\s\S]*?\*\/\s*-?\}\}/g,
      '',
    );
    const code = (text.match(/\{\{[\s\S]*?\}\}/g) ?? []).map((it) => it.replaceAll(/"[^"]*"|`[^`]*`/g, '""'));
    return { file, code: code.join('\n') };
  });
  expect(actions.filter(({ code }) => UNSTABLE.test(code)).map(({ file }) => file)).toEqual([]);
  const lookers = actions.filter(({ code }) => /\blookup\b/.test(code)).map(({ file }) => file);
  expect(lookers.toSorted()).toEqual(MAY_LOOK);
});

describe('for the Prometheus operator', () => {
  let objects: readonly RenderedObject[];
  beforeAll(async () => {
    objects = parseManifests((await helmTemplate(ALL_ON)).stdout);
  });
  const ofKind = (kind: string) => objects.filter((object) => object.kind === kind);

  test('there is nothing by default', async () => {
    const defaults = parseManifests((await helmTemplate([])).stdout);
    expect(defaults.filter(({ apiVersion }) => apiVersion === OPERATOR_GROUP)).toEqual([]);
  });

  test('each PodMonitor chooses the pods of a program, by a port that these have', () => {
    const workloads = [...ofKind('Deployment'), ...ofKind('DaemonSet')];
    const monitors = ofKind('PodMonitor');
    expect(monitors).toHaveLength(3);
    for (const { metadata, spec } of monitors) {
      expect(metadata.labels?.team).toBe('net');
      const wanted = Object.entries(spec?.selector?.matchLabels ?? {});
      expect(wanted).toHaveLength(3);
      const chosen = workloads.filter(({ spec: its }) =>
        wanted.every(([key, value]) => its?.template?.metadata.labels[key] === value),
      );
      expect(chosen.map(({ metadata: { name } }) => name)).toEqual([metadata.name]);
      const containers = chosen[0]?.spec?.template?.spec.containers ?? [];
      const ports = containers.flatMap((container) => container.ports.map(({ name }) => name));
      for (const endpoint of spec?.podMetricsEndpoints ?? []) {
        expect(ports).toContain(endpoint.port);
        expect(Object.keys(endpoint).filter((key) => !MONITOR_FIELDS.has(key))).toEqual([]);
      }
    }
  });

  test('the PrometheusRule holds the alerts of the file, braces and all', () => {
    const [rule] = ofKind('PrometheusRule');
    expect(rule?.metadata.labels?.team).toBe('net');
    expect(Object.keys(rule?.spec ?? {})).toEqual(['groups']);
    const alerts = (rule?.spec?.groups ?? []).flatMap(({ rules }) => rules);
    expect(JSON.stringify(alerts)).toContain('{{ $labels.instance }}');
    expect(alerts.length).toBeGreaterThan(5);
    for (const alert of alerts) expect(Object.keys(alert).filter((key) => !RULE_FIELDS.has(key))).toEqual([]);
  });

  test('the dashboard arrives as JSON', () => {
    const [dashboard] = ofKind('ConfigMap');
    expect(JSON.parse(dashboard?.data?.['sallyport.json'] ?? '')).toMatchObject({ title: 'Sallyport' });
  });
});

const MONITOR_FIELDS = new Set(['port', 'scheme', 'interval', 'tlsConfig']);
const RULE_FIELDS = new Set(['alert', 'expr', 'for', 'labels', 'annotations']);
