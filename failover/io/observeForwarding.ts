/** Looks for what keeps this node from forwarding for egress IPs and is not ours to change. */
import {
  adviseOn,
  adviseOnStrict,
  type ForwardChain,
  findClosedChains,
  knowsTunnel,
} from '../core/dataplane/closedForwarding.ts';
import type { Uplinks } from '../core/uplinks.ts';
import { readJson, runTool, type ToolRunner } from './runTool.ts';

export interface ObservedPlace {
  readonly uplinks: Uplinks;
  /** `/proc/sys/net` or where a container has it mounted. */
  readonly sysctlDir: string;
}

/** What is in the way and what helps, as a sentence; empty: nothing that can be seen. */
export async function observeForwarding(runner: ToolRunner, place: ObservedPlace): Promise<string> {
  const closed: ForwardChain[] = [];
  for (const chain of findClosedChains(await readJson(runner, ['nft', '-j', 'list', 'chains']))) {
    const { family, table } = chain;
    if (!knowsTunnel(await readJson(runner, ['nft', '-j', 'list', 'table', family, table])))
      closed.push(chain);
  }
  return [adviseOn(closed), adviseOnStrict(await findStrict(runner, place))].filter(Boolean).join('; ');
}

/** Uplinks other than the first that take no packet from whoever the default route does not lead to by them. */
async function findStrict(
  runner: ToolRunner,
  { uplinks: [, ...others], sysctlDir }: ObservedPlace,
): Promise<readonly string[]> {
  const read = async (device: string): Promise<number> => {
    const result = await runTool(runner, ['cat', `${sysctlDir}/ipv4/conf/${device}/rp_filter`]);
    return result.kind === 'done' ? Number(result.stdout) : 0;
  };
  if (others.length === 0) return [];
  const everywhere = await read('all');
  const strict: string[] = [];
  for (const { device, networks } of others) {
    const carries = networks.some(({ family }) => family === 4);
    // The kernel goes by the higher of the two.
    if (carries && Math.max(everywhere, await read(device)) === STRICT) strict.push(device);
  }
  return strict;
}

const STRICT = 1;
