/** What the schema cannot refuse is refused by the templates, all of it at once and in words. */
import { beforeAll, expect, test } from 'vitest';
import { ensureToolchain } from '../cluster/toolchain.ts';
import { helmTemplate } from './renderChart.ts';

beforeAll(async () => {
  await ensureToolchain({ onProgress: (line) => console.log(line) });
}, 1_800_000);

const probe = (index: number, fields: string) =>
  `name=up type=icmp target=198.51.100.10 ${fields}`
    .trim()
    .split(' ')
    .map((field) => `agent.healthProbes[${index}].${field}`);

const CASES = [
  {
    name: 'a session shorter than four heartbeats',
    settings: ['failover.sessionMilliseconds=99'],
    says: 'failover.sessionMilliseconds is 99, less than four heartbeats of 25 ms',
  },
  {
    name: 'one port for tunnel and peers',
    settings: ['network.peerPort=4790'],
    says: 'network.tunnelPort and network.peerPort are both UDP port 4790 of every node',
  },
  {
    name: 'the port of the kubelet',
    settings: ['agent.metricsPort=10250'],
    says: 'agent.metricsPort is 10250, which the kubelet has on every node',
  },
  {
    name: 'a network where pools may lie and may not',
    settings: ['network.routableCidrs={10.0.0.0/8}', 'network.podCidrs={10.0.0.0/8}'],
    says: '10.0.0.0/8 is in network.routableCidrs, where pools may lie, and in network.podCidrs',
  },
  {
    name: 'two probes of one name',
    settings: [...probe(0, ''), ...probe(1, '')],
    says: 'agent.healthProbes has two named up',
  },
  {
    name: 'a timeout longer than its interval',
    settings: probe(0, 'intervalSeconds=3 timeoutSeconds=4'),
    says: 'the health probe up has a timeout of 4 s, longer than its interval of 3 s',
  },
  {
    name: 'a timeout longer than the interval by default',
    settings: probe(0, 'timeoutSeconds=6'),
    says: 'longer than its interval of 5 s',
  },
  {
    name: 'names of clients without an authority',
    settings: ['webhook.clientCertificates.names={a}'],
    says: 'webhook.clientCertificates.names is set without a configMap',
  },
];

test.each(CASES)('$name is refused', async ({ settings, says }) => {
  const { code, stderr } = await helmTemplate(settings, { allowFailure: true });
  expect(code).not.toBe(0);
  expect(stderr).toContain('these values cannot work:');
  expect(stderr).toContain(says);
});

test('all that is wrong is told at once', async () => {
  const { stderr } = await helmTemplate(['failover.sessionMilliseconds=99', 'network.peerPort=4790'], {
    allowFailure: true,
  });
  expect(stderr.match(/^- /gm)).toHaveLength(2);
});

test('what is just right is not refused', async () => {
  const settings = ['failover.sessionMilliseconds=100', ...probe(0, 'intervalSeconds=3 timeoutSeconds=3')];
  expect((await helmTemplate(settings)).code).toBe(0);
});
