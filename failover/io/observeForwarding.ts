/** Looks for somebody else's rules that keep this node from forwarding for egress IPs. */
import {
  adviseOn,
  type ForwardChain,
  findClosedChains,
  knowsTunnel,
} from '../core/dataplane/closedForwarding.ts';
import { readJson, type ToolRunner } from './runTool.ts';

/** What is in the way and what helps, as a sentence; empty: nothing that can be seen. */
export async function observeForwarding(runner: ToolRunner): Promise<string> {
  const closed: ForwardChain[] = [];
  for (const chain of findClosedChains(await readJson(runner, ['nft', '-j', 'list', 'chains']))) {
    const { family, table } = chain;
    if (!knowsTunnel(await readJson(runner, ['nft', '-j', 'list', 'table', family, table])))
      closed.push(chain);
  }
  return adviseOn(closed);
}
