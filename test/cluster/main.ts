import { listClusters, readState } from './clusterState.ts';
import { ClusterError } from './command.ts';
import { createCluster, openCluster } from './createCluster.ts';
import { destroyCluster } from './destroyCluster.ts';

const USAGE = `usage: npm run cluster -- [--id ID] COMMAND
  up [IMAGE.tar...]   a control plane, three gateways, two workers; images (OCI tars) go to every node
  down                removes it without a trace
  status              clusters and their nodes
  kubectl ARGS...     helm ARGS...`;

interface Request {
  readonly id: string;
  readonly command: string;
  readonly args: readonly string[];
}

function parseArguments(argv: readonly string[]): Request {
  const [first, second, ...rest] = argv;
  const given = first === '--id' && second !== undefined;
  const [command = 'help', ...args] = given ? rest : argv;
  return { id: given ? second : 'dev', command, args };
}

async function up({ id, args }: Request): Promise<void> {
  const start = performance.now();
  const seconds = (): string => ((performance.now() - start) / 1000).toFixed(1);
  const onProgress = (line: string): void => console.error(`${seconds()} s  ${line}`);
  const cluster = await createCluster({ id, images: args, persistent: true, onProgress });
  console.log(`cluster '${id}' is ready after ${seconds()} s
  npm run cluster -- kubectl get nodes
  kubectl --kubeconfig ${cluster.kubeconfigPath} get nodes
  ip netns exec ${cluster.networkNamespace('outside')} tcpdump -ni eth0
logs: ${cluster.folder}/<node>/*.log
take it down: npm run cluster -- down`);
}

async function status(): Promise<void> {
  const ids = await listClusters();
  if (ids.length === 0) console.log('no clusters');
  for (const id of ids) {
    const state = await readState(id);
    console.log(
      `${id}: ${state?.owner === null ? 'kept until taken down' : `of process ${state?.owner?.pid ?? '?'}`}`,
    );
    const cluster = await openCluster(id);
    const argv = ['get', 'nodes', '-o', 'wide', '-L', 'topology.kubernetes.io/zone', '--request-timeout=5s'];
    const answer = await cluster.kubectl(argv, { allowFailure: true });
    console.log(answer.code === 0 ? answer.stdout : answer.stderr);
  }
}

async function pass({ id, command, args }: Request): Promise<number> {
  const cluster = await openCluster(id);
  return cluster.runInteractively(command === 'helm' ? 'helm' : 'kubectl', args);
}

async function run(request: Request): Promise<number> {
  switch (request.command) {
    case 'up':
      await up(request);
      return 0;
    case 'down':
      await destroyCluster(request.id);
      return 0;
    case 'status':
      await status();
      return 0;
    case 'kubectl':
    case 'helm':
      return pass(request);
    default:
      console.error(USAGE);
      return 2;
  }
}

try {
  process.exitCode = await run(parseArguments(process.argv.slice(2)));
} catch (error) {
  if (!(error instanceof ClusterError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
