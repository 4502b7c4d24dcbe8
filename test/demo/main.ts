/**
 * `npm run demo [-- --keep] [-- --json]`: a real cluster, our chart, and the story of one egress IP, told with what was
 * seen. `--keep` leaves the cluster up; `--json` closes with one line of figures. Every value comes from the run.
 */
import { openCluster } from '../cluster/createCluster.ts';
import { destroyCluster } from '../cluster/destroyCluster.ts';
import { type InstalledCluster, installCluster } from '../scenarios/installedCluster.ts';
import { type DemoFigures, tellStory } from './story.ts';

const ID = 'demo';
const keep = process.argv.includes('--keep');
const json = process.argv.includes('--json');
const began = performance.now();
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const progress = (line: string): void =>
  say(`  … ${line} (${((performance.now() - began) / 1000).toFixed(0)} s)`);

async function run(): Promise<DemoFigures> {
  // A demo that was kept, or ended half way, makes room for this one.
  await destroyCluster(ID);
  say(
    'Setting up a real Kubernetes: 1 control plane, 3 gateways in 2 zones, 2 workers, a router and an outside host.',
  );
  let installed: InstalledCluster | undefined;
  try {
    installed = await installCluster({ id: ID, onProgress: progress, persistent: keep });
    return await tellStory(installed, say);
  } finally {
    await installed?.server.stop();
    if (keep && installed !== undefined) sayHowToUse((await openCluster(ID)).kubeconfigPath);
    else await installed?.cluster.destroy();
  }
}

function sayHowToUse(kubeconfig: string): void {
  say('\nThe cluster is still up:');
  say(`  kubectl --kubeconfig ${kubeconfig} get cegp,eip,gwn`);
  say(`  npm run cluster -- --id ${ID} kubectl get pods -A`);
  say(`  npm run cluster -- --id ${ID} down`);
}

const figures = await run();
if (json) say(JSON.stringify(figures));
