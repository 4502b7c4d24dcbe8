/** Which gateways are without a session, followed through the API server's own order of what was written to their Leases. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { GATEWAY_LEASE_PREFIX } from '../../policy/names.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { NAMESPACE } from './installedCluster.ts';

export interface AwayWatch {
  /** Those that were without a session at the same time, when they were most. */
  most(): readonly string[];
  /** Every gateway that was without one at any time. */
  ever(): readonly string[];
  stop(): Promise<void>;
}

const COLUMNS = 'custom-columns=NAME:.metadata.name,HOLDER:.spec.holderIdentity';
/** How kubectl shows a field that is not there. */
const NONE = '<none>';

/** Begins with the Leases as they stand. A Lease without a holder is that of a gateway which has handed over. */
export async function watchAway(cluster: Cluster): Promise<AwayWatch> {
  const gateways = cluster.nodes.filter(({ role }) => role === 'gateway').map(({ name }) => name);
  const watching = ['get', 'leases', '-n', NAMESPACE, '--watch', '--no-headers', '-o', COLUMNS];
  const [file = '', ...args] = cluster.kubectlCommand(watching);
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const known = new Set<string>();
  const away = new Set<string>();
  const ever = new Set<string>();
  let most: readonly string[] = [];
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the watch of the Leases ended with code ${code}`)));
    createInterface(child.stdout).on('line', (line) => {
      const [name = '', holder = NONE] = line.trim().split(/\s+/);
      const gateway = name.startsWith(GATEWAY_LEASE_PREFIX) ? name.slice(GATEWAY_LEASE_PREFIX.length) : '';
      if (!gateways.includes(gateway)) return;
      known.add(gateway);
      if (holder === NONE) {
        away.add(gateway);
        ever.add(gateway);
      } else away.delete(gateway);
      if (away.size > most.length) most = [...away];
      if (known.size === gateways.length) resolve();
    });
  });
  return {
    most: () => most,
    ever: () => [...ever].toSorted(),
    async stop() {
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      child.kill('SIGKILL');
      await ended;
    },
  };
}
