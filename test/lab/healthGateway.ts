/** The health of gw1 as its agent sees it, alone: a program in the gateway's network namespace that says each change. */
import type { Health } from '../../failover/core/agent/health.ts';
import type { DataPlaneLab, LabProgram } from './dataPlaneLab.ts';

const MODULES = [
  '../../failover/io/healthProbes.ts',
  '../../failover/io/observeNode.ts',
  '../../failover/io/agentNode.ts',
  '../../failover/readHealthSettings.ts',
  '../../runtime/logger.ts',
  '../../runtime/readEnv.ts',
  '../../policy/address.ts',
];

export interface HealthGateway {
  /** The next word that has these reasons; those before it are passed over, as several checks fail one after the other. */
  until(...reasons: readonly string[]): Promise<Health>;
  /** The next line of the log about a check that could not be made. */
  unmade(): Promise<string>;
  /** From now on there are these egress IPs, and no others. */
  view(egressIps: readonly string[]): void;
  stop(): void;
}

/** @param self what the node is known by */
export function startHealthGateway(
  lab: DataPlaneLab,
  { self, probes }: { readonly self: string; readonly probes: readonly unknown[] },
): HealthGateway {
  const urls = JSON.stringify(MODULES.map((module) => new URL(module, import.meta.url).href));
  const settings = JSON.stringify({ HEALTH_PROBES: JSON.stringify(probes) });
  const program: LabProgram = lab.program(
    'gw1',
    `(async () => {
      const [health, look, node, settings, log, env, text] = await Promise.all(${urls}.map((url) => import(url)));
      const address = text.parseAddress('${self}').value;
      const observed = node.describeNode(address, (await look.observeNode({ self: address })).value, { versions: {} });
      const view = (egressIps) => ({
        nodes: new Map([['gw1', { labels: {} }]]), gatewayNodes: new Map(),
        egressIps: new Map(egressIps.map((it) => [it, { address: text.parseAddress(it).value }])),
      });
      const probes = health.startHealthProbes({
        node: 'gw1', uplink: 'eth0', address, observed,
        settings: env.readEnv(${settings}, settings.readHealthSettings).value,
        isGateway: () => true,
        onHealth: (health) => console.log(JSON.stringify(health)),
        logger: log.createLogger({ program: 'test', level: 'warn', write: (line) => line.includes('not be made') && console.log(line) }),
      });
      probes.viewed(view([]));
      require('node:readline').createInterface(process.stdin).on('line', (line) => probes.viewed(view(JSON.parse(line))));
    })()`,
  );
  return {
    async until(...reasons) {
      const line = await program.line(
        new RegExp(`"reasons":${JSON.stringify(reasons).replace(/[[\]]/g, '\\$&')}`),
      );
      return JSON.parse(line) as Health; // What the program above prints.
    },
    unmade: () => program.line(/not be made/),
    view: (egressIps) => program.write(`${JSON.stringify(egressIps)}\n`),
    stop: () => program.stop(),
  };
}
