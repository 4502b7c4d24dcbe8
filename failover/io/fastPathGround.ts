/** What the fast path stands on: whether this kernel and this nft can do it, and where the node's routes let it lead. */

import type { Family } from '../../policy/model.ts';
import { fastPathProbe } from '../core/dataplane/fastPath.ts';
import {
  decideFastRoutes,
  type FamilyFastRoutes,
  type FastRoutes,
  type SeenRouting,
} from '../core/dataplane/fastRoutes.ts';
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
    sysctlDir,
    wanted,
    onRoutes,
  }: {
    readonly uplink: string;
    readonly sysctlDir: string;
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
      const read = async (family: Family): Promise<FamilyFastRoutes> =>
        reason === ''
          ? readRoutes(runner, { family, uplink, uplinkMtu, sysctlDir })
          : { kind: 'off', reason };
      const [ipv4, ipv6] = await Promise.all([read(4), read(6)]);
      const routes = { 4: ipv4, 6: ipv6 };
      const text = [ipv4, ipv6].map((it) => (it.kind === 'on' ? it.nextHop : it.reason)).join(', ');
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
  {
    sysctlDir,
    ...device
  }: Pick<SeenRouting, 'family' | 'uplink' | 'uplinkMtu'> & { readonly sysctlDir: string },
): Promise<FamilyFastRoutes> {
  const { family, uplink, uplinkMtu } = device;
  const [routes, rules, familyMtu] = await Promise.all([
    readJson(runner, ['ip', '-j', `-${family}`, 'route', 'show', 'table', 'all']),
    readJson(runner, ['ip', '-j', `-${family}`, 'rule', 'show']),
    family === 4 ? uplinkMtu : readNumber(runner, `${sysctlDir}/ipv6/conf/${uplink}/mtu`),
  ]);
  return decideFastRoutes({ routes: jsonObjects(routes), rules: jsonObjects(rules), familyMtu, ...device });
}

/** 0: it cannot be read, as where the node does without IPv6. */
async function readNumber(runner: ToolRunner, file: string): Promise<number> {
  const result = await runTool(runner, ['cat', file]);
  return result.kind === 'done' && result.code === 0 ? Number(result.stdout) : 0;
}
