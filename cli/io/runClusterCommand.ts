/** The commands that work on a cluster. Imported only when one of them runs, see connectCluster.ts. */
import type { Command } from '../core/command.ts';
import { connectCluster } from './connectCluster.ts';
import { runCerts } from './runCerts.ts';
import { runDrain, runUndrain } from './runDrain.ts';
import { runRebalance } from './runRebalance.ts';
import { runRotatePeerKey } from './runRotatePeerKey.ts';
import { runStatus } from './runStatus.ts';
import type { Surroundings } from './runValidate.ts';

export type ClusterCommand = Extract<
  Command,
  { readonly kind: 'status' | 'drain' | 'undrain' | 'rebalance' | 'rotate-peer-key' | 'certs' }
>;

export async function runClusterCommand(
  command: ClusterCommand,
  { terminal, config }: Surroundings,
): Promise<number> {
  const cluster = await connectCluster(command.cluster, config);
  try {
    switch (command.kind) {
      case 'status':
        return await runStatus(command, cluster, terminal);
      case 'drain':
        return await runDrain(command, cluster, terminal);
      case 'undrain':
        return await runUndrain(command, cluster, terminal);
      case 'rebalance':
        return await runRebalance(command, { cluster, terminal });
      case 'rotate-peer-key':
        return await runRotatePeerKey(command, cluster, terminal);
      case 'certs':
        return await runCerts(command, cluster, terminal);
      default:
        return command satisfies never;
    }
  } finally {
    await cluster.client.close();
  }
}
