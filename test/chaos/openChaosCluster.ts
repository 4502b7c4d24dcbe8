/** A cluster with one pod that leaves by one address, whole before anything is done to it. */
import {
  apply,
  createPod,
  type InstalledCluster,
  installCluster,
  MANIFEST,
  waitProgrammed,
} from '../scenarios/installedCluster.ts';
import { waitWhole } from './faultRun.ts';

/** The one of MANIFEST. */
export const CHAOS_ADDRESS = '203.0.113.10';
export const CHAOS_POD = 'my-app';

/** On failure everything made so far is removed. */
export async function openChaosCluster(
  options: Parameters<typeof installCluster>[0],
): Promise<InstalledCluster> {
  const installed = await installCluster(options);
  try {
    await createPod(installed.cluster, { name: CHAOS_POD, app: CHAOS_POD, node: 'worker-1' });
    await apply(installed.cluster, MANIFEST);
    await waitProgrammed(installed.cluster, 'egress-gateway-policy');
    await waitWhole(installed, CHAOS_ADDRESS);
    return installed;
  } catch (error) {
    await installed.destroy();
    throw error;
  }
}
