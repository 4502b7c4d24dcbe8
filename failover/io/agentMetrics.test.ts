import { expect, test } from 'vitest';
import { HEALTH_REASONS, HEALTHY } from '../core/agent/health.ts';
import { createAgentMetrics } from './agentMetrics.ts';

const healthLines = async ({ registry }: ReturnType<typeof createAgentMetrics>) =>
  (await registry.metrics())
    .split('\n')
    .filter((line) => /^sallyport_agent_(healthy|check_failing)/.test(line));

test('a node is healthy until its checks say otherwise, and when it is no gateway any more', async () => {
  const metrics = createAgentMetrics();
  const fine = [
    'sallyport_agent_healthy 1',
    ...HEALTH_REASONS.map((reason) => `sallyport_agent_check_failing{reason="${reason}"} 0`),
  ];
  expect(await healthLines(metrics)).toEqual(fine);
  metrics.health({ healthy: false, reasons: ['NoCarrier', 'ProbeFailed'], message: 'why' });
  expect(await healthLines(metrics)).toEqual([
    'sallyport_agent_healthy 0',
    ...HEALTH_REASONS.map(
      (reason) =>
        `sallyport_agent_check_failing{reason="${reason}"} ${reason === 'NoCarrier' || reason === 'ProbeFailed' ? 1 : 0}`,
    ),
  ]);
  metrics.health(HEALTHY);
  expect(await healthLines(metrics)).toEqual(fine);
  metrics.health({ healthy: false, reasons: ['NextHopSilent'], message: 'why' });
  metrics.health(undefined);
  expect(await healthLines(metrics)).toEqual(fine);
});
