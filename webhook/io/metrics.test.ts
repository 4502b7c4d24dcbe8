import { expect, test } from 'vitest';
import { createWebhookMetrics } from './metrics.ts';

test('certificates are told by kind, phase and reason, from the start and without any other label', async () => {
  const { registry, certificates } = createWebhookMetrics();
  certificates.expires('leaf', 1_900_000_000_000);
  certificates.expires('ca', 2_000_000_000_000);
  certificates.phase('publishing');
  certificates.phase('retiring');
  certificates.rotated('ca');
  certificates.failed('publish');
  const lines = (await registry.metrics())
    .split('\n')
    .filter((line) => line.startsWith('sallyport_webhook_certificate'));
  const name = 'sallyport_webhook_certificate';
  expect(lines.toSorted()).toEqual(
    [
      `${name}_expiry_timestamp_seconds{certificate="ca"} 2000000000`,
      `${name}_expiry_timestamp_seconds{certificate="leaf"} 1900000000`,
      ...['load', 'read', 'round', 'too-often', 'unusable', 'write'].map(
        (reason) => `${name}_failures_total{reason="${reason}"} 0`,
      ),
      `${name}_failures_total{reason="publish"} 1`,
      `${name}_phase{phase="publishing"} 0`,
      `${name}_phase{phase="retiring"} 1`,
      `${name}_phase{phase="settled"} 0`,
      `${name}_rotations_total{certificate="ca"} 1`,
      `${name}_rotations_total{certificate="leaf"} 0`,
    ].toSorted(),
  );
});
