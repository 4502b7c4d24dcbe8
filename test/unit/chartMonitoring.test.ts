/** Alerts and the dashboard ask for metrics that the programs really have, with labels that these really have. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { createAgentMetrics } from '../../failover/io/agentMetrics.ts';
import { createControllerMetrics } from '../../failover/io/controllerMetrics.ts';
import { REFUSALS } from '../../webhook/core/refusal.ts';
import { createWebhookMetrics } from '../../webhook/io/metrics.ts';

const FILES = path.resolve(import.meta.dirname, '../../charts/sallyport/files');
const OPERATIONS = readFileSync(path.resolve(import.meta.dirname, '../../docs/operations.md'), 'utf8');

interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string };
}

const ALERTS: readonly Alert[] = parse(readFileSync(path.join(FILES, 'alerts.yaml'), 'utf8'))[0].rules;
const PANELS: readonly { readonly title: string; readonly targets: readonly { readonly expr: string }[] }[] =
  JSON.parse(readFileSync(path.join(FILES, 'dashboard.json'), 'utf8')).panels;
const EXPRESSIONS = [
  ...ALERTS.map(({ alert, expr }) => ({ name: alert, expr })),
  ...PANELS.flatMap(({ title, targets }) => targets.map(({ expr }) => ({ name: title, expr }))),
];

/** Name in expressions → what Prometheus adds nothing to. */
async function served(): Promise<ReadonlyMap<string, string>> {
  const none = { phases: () => new Map(), portsTakenRatio: () => 0 };
  const registries = [createAgentMetrics(), createControllerMetrics(none), createWebhookMetrics()];
  const metrics = (await Promise.all(registries.map(({ registry }) => registry.getMetricsAsJSON()))).flat();
  // prom-client names the type as text here, whatever its declaration says.
  return new Map(metrics.map(({ name, type }) => [name, String(type)]));
}

const metricsIn = (expr: string): readonly string[] => expr.match(/\bsallyport_[a-z_]+/g) ?? [];

test.each(EXPRESSIONS)('"$name" asks for what there is', async ({ expr }) => {
  const metrics = await served();
  const asked = metricsIn(expr);
  expect(asked.length).toBeGreaterThan(0);
  for (const name of asked) {
    const histogram = name.replace(/_(bucket|sum|count)$/, '');
    const type = metrics.get(name) ?? (metrics.get(histogram) === 'histogram' ? 'bucket' : undefined);
    expect(type, name).toBeDefined();
    // A histogram has no sample of its own name, and only what rises has a rate.
    expect(type, name).not.toBe('histogram');
    if (new RegExp(`rate\\(${name}\\b`).test(expr)) expect(['counter', 'bucket'], name).toContain(type);
  }
  expect(expr.split('(').length).toBe(expr.split(')').length);
});

test('reasons that alerts choose are reasons that the webhook has', () => {
  const chosen = ALERTS.flatMap(({ expr }) => /reason=~"([^"]+)"/.exec(expr)?.[1]?.split('|') ?? []);
  expect(chosen.length).toBeGreaterThan(0);
  for (const reason of chosen) expect(Object.keys(REFUSALS)).toContain(reason);
});

test('every alert has a name of its own, a severity, and words', () => {
  expect(new Set(ALERTS.map(({ alert }) => alert)).size).toBe(ALERTS.length);
  for (const { labels, annotations } of ALERTS) {
    expect(['critical', 'warning']).toContain(labels.severity);
    expect(annotations.summary).toMatch(/\.$/);
    expect(annotations.description).toMatch(/\.$/);
  }
});

test('the operations guide says what to do about each alert', () => {
  expect(ALERTS.map(({ alert }) => alert).filter((alert) => !OPERATIONS.includes(`\`${alert}\``))).toEqual(
    [],
  );
});
