/**
 * The probes of the bench: what they send is the same for each system. Each is a session of its own: Linux shares the CPU
 * out between cgroups and sessions (sched(7), autogroup), so in one session all probes together would have the share of
 * one node, though each stands for a host of its own. What the machine keeps a client waiting for is told beside each gap.
 */
import { OUTSIDE_ADDRESS } from '../../test/cluster/topology.ts';
import {
  LOCAL_CLIENT,
  LOCAL_SERVER,
  type RunningClient,
  type RunningServer,
  startClient,
  startServer,
} from '../../test/probe/probeProcess.ts';

const OWN_SESSION = ['setsid'];
/** Half of the connections talk from the pod only, half from the server only; UDP often enough to see a millisecond. */
const TRAFFIC = ['--pod-push', '20', '--server-push', '20', '--udp-rate', '1000'];

/** @param place what enters the outside host: a command that runs the one after it */
export function startOutsideServer(place: readonly string[]): Promise<RunningServer> {
  return startServer([...OWN_SESSION, ...place, ...LOCAL_SERVER]);
}

/** @param place what enters the pod: a command that runs the one after it */
export function startPodClient(place: readonly string[]): Promise<RunningClient> {
  return startClient([...OWN_SESSION, ...place, ...LOCAL_CLIENT, '--server', OUTSIDE_ADDRESS, ...TRAFFIC]);
}
