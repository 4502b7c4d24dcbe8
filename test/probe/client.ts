/**
 * The pod: `node client.ts --server ADDRESS [--pod-push N] [--server-push N] [--idle N] [--udp-rate PPS]
 * [--interval-ms 50] [--ports ECHO,PUSH,UDP,HTTP]`.
 *
 * Prints `{"event":"ready",…}` once every connection is open or has failed. Then obeys lines on its standard input:
 *
 *   mark      counts gaps anew from here
 *   snapshot  prints a ClientReport with event "snapshot" and goes on
 *   resume    sends a line on each idle connection, prints {"event":"resumed",…} when all are answered or given up
 *   stop      prints the ClientReport with event "report" and ends; the end of the input and SIGTERM do the same
 *
 * Shapes: report.ts. Runs through `kubectl exec -i POD -- node /probe/client.ts …` as well as `nsenter -t PID -n node …`.
 */
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { startProbeClient } from './probeClient.ts';
import { type ClientEvent, DEFAULT_PORTS } from './report.ts';

/** Longer than any scenario: a probe whose test died does not run for ever. */
const RUN_MAX_MS = 3_600_000;

const { values } = parseArgs({
  options: {
    server: { type: 'string' },
    'pod-push': { type: 'string', default: '0' },
    'server-push': { type: 'string', default: '0' },
    idle: { type: 'string', default: '0' },
    'udp-rate': { type: 'string', default: '0' },
    'interval-ms': { type: 'string', default: '50' },
    ports: { type: 'string', default: Object.values(DEFAULT_PORTS).join(',') },
  },
});
if (values.server === undefined) throw new Error('--server ADDRESS is missing');
const print = (event: ClientEvent): void => {
  process.stdout.write(`${JSON.stringify(event)}\n`);
};
const [echo = 0, push = 0, udp = 0, http = 0] = values.ports.split(',').map(Number);
const client = await startProbeClient({
  server: values.server,
  ports: { echo, push, udp, http },
  podPush: Number(values['pod-push']),
  serverPush: Number(values['server-push']),
  idle: Number(values.idle),
  udpRate: Number(values['udp-rate']),
  intervalMs: Number(values['interval-ms']),
});
// Only now: lines that come before somebody iterates are lost.
const lines = createInterface({ input: process.stdin });
process.once('SIGTERM', () => lines.close());
const limit = setTimeout(() => lines.close(), RUN_MAX_MS);
print(client.ready);
for await (const line of lines) {
  if (line === 'stop') break;
  if (line === 'mark') client.mark();
  if (line === 'snapshot') print(client.snapshot());
  if (line === 'resume') print(await client.resume());
}
clearTimeout(limit);
print(await client.stop());
process.stdin.destroy();
