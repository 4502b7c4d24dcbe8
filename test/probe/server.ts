/**
 * The outside host: `node server.ts [--host 0.0.0.0] [--ports ECHO,PUSH,UDP,HTTP] [--interval-ms 50]`.
 *
 * Prints `{"event":"listening","ports":{…}}`, then, for every line `report` on its standard input, a ServerReport
 * (report.ts). Ends with the line `stop`, at the end of its input, or on SIGTERM. `curl HOST:7080/source` answers the
 * caller's address, `/report` the same report.
 */
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { startProbeServer } from './probeServer.ts';
import { DEFAULT_PORTS, type ServerEvent } from './report.ts';

const { values } = parseArgs({
  options: {
    host: { type: 'string', default: '0.0.0.0' },
    ports: { type: 'string', default: Object.values(DEFAULT_PORTS).join(',') },
    'interval-ms': { type: 'string', default: '50' },
  },
});
const print = (event: ServerEvent): void => {
  process.stdout.write(`${JSON.stringify(event)}\n`);
};
const [echo = 0, push = 0, udp = 0, http = 0] = values.ports.split(',').map(Number);
const server = await startProbeServer({
  host: values.host,
  ports: { echo, push, udp, http },
  intervalMs: Number(values['interval-ms']),
});
const lines = createInterface({ input: process.stdin });
process.once('SIGTERM', () => lines.close());
print({ event: 'listening', ports: server.ports });
for await (const line of lines) {
  if (line === 'stop') break;
  if (line === 'report') print(server.report());
}
await server.close();
process.stdin.destroy();
