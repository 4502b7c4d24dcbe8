/** What the fast path stands on: whether this kernel and this nft can do it, and where the node's routes let it lead. */
import { fastPathProbe } from '../core/dataplane/fastPath.ts';
import { decideFastRoutes, type FastRoutes } from '../core/dataplane/fastRoutes.ts';
import { jsonObjects, readJson, runTool, type ToolRunner } from './runTool.ts';

export interface FastPathGround {
  /** Asked of the kernel once: it does not learn while it runs. */
  capable(): Promise<boolean>;
  read(uplinkMtu: number): Promise<FastRoutes>;
}

export function createFastPathGround(
  runner: ToolRunner,
  {
    uplink,
    wanted,
    onRoutes,
  }: {
    readonly uplink: string;
    readonly wanted: boolean;
    /** Hears of the routes whenever they are others than before. */
    readonly onRoutes: (routes: FastRoutes) => void;
  },
): FastPathGround {
  let probed: Promise<string> | undefined;
  let told = '';
  const whyNot = (): Promise<string> => {
    probed ??= wanted ? probe(runner, uplink) : Promise.resolve('it is switched off');
    return probed;
  };
  return {
    capable: async () => (await whyNot()) === '',
    async read(uplinkMtu) {
      const reason = await whyNot();
      const routes: FastRoutes =
        reason === '' ? await readRoutes(runner, { uplink, uplinkMtu }) : { kind: 'off', reason };
      const text = routes.kind === 'on' ? routes.nextHop : routes.reason;
      if (text !== told) onRoutes(routes);
      told = text;
      return routes;
    },
  };
}

/** Empty: it can. */
async function probe(runner: ToolRunner, uplink: string): Promise<string> {
  const result = await runTool(runner, ['nft', '--check', '-f', '-'], fastPathProbe(uplink));
  if (result.kind === 'done' && result.code === 0) return '';
  const why = result.kind === 'done' ? result.stderr.trim().split('\n')[0] : result.message;
  return `the kernel or nft refuses its rules: ${why}`;
}

async function readRoutes(
  runner: ToolRunner,
  device: { readonly uplink: string; readonly uplinkMtu: number },
): Promise<FastRoutes> {
  const [routes, rules] = await Promise.all([
    readJson(runner, ['ip', '-j', '-4', 'route', 'show', 'table', 'all']),
    readJson(runner, ['ip', '-j', '-4', 'rule', 'show']),
  ]);
  return decideFastRoutes({ routes: jsonObjects(routes), rules: jsonObjects(rules), ...device });
}
