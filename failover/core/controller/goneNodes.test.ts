import { expect, test } from 'vitest';
import type { NodeFacts } from '../../../policy/model.ts';
import type { GatewayNode } from '../gatewayNode.ts';
import type { ControllerView } from './controllerView.ts';
import { followGone, GONE_PATIENCE_MS, type GoneSince, goneForGood } from './goneNodes.ts';

// Of either only the name is read.
const report = (name: string) => ({ name, uid: name }) as GatewayNode;
const node = (name: string) => ({ name }) as NodeFacts;

function viewOf(nodes: readonly string[], reports: readonly string[]): ControllerView {
  return {
    nodes: new Map(nodes.map((name) => [name, node(name)])),
    gatewayNodes: new Map(reports.map((name) => [name, report(name)])),
  } as Partial<ControllerView> as ControllerView;
}

/** What goes at the last of these moments, each with the nodes that are there then. */
function play(...moments: readonly (readonly [nowMs: number, nodes: readonly string[]])[]) {
  let since: GoneSince = new Map();
  let result: ReturnType<typeof goneForGood> = { gone: [], wakeMs: undefined };
  for (const [nowMs, nodes] of moments) {
    const view = viewOf(nodes, ['a', 'b']);
    since = followGone(since, view, nowMs);
    result = goneForGood(since, view, nowMs);
  }
  return { gone: result.gone.map(({ name }) => name), wakeMs: result.wakeMs };
}

test.each([
  { name: 'whose node is there stays', moments: [[0, ['a', 'b']]] as const, gone: [], wakeMs: undefined },
  { name: 'whose node went just now stays', moments: [[500, ['a']]] as const, gone: [], wakeMs: 60_500 },
  {
    name: 'whose node is gone for long goes',
    moments: [
      [0, ['a']],
      [GONE_PATIENCE_MS, ['a']],
    ] as const,
    gone: ['b'],
    wakeMs: undefined,
  },
  {
    name: 'whose node came back begins anew',
    moments: [
      [0, ['a']],
      [30_000, ['a', 'b']],
      [50_000, ['a']],
      [GONE_PATIENCE_MS, ['a']],
    ] as const,
    gone: [],
    wakeMs: 50_000 + GONE_PATIENCE_MS,
  },
  {
    name: 'of several each has its own time',
    moments: [
      [0, ['a']],
      [40_000, []],
      [GONE_PATIENCE_MS, []],
    ] as const,
    gone: ['b'],
    wakeMs: 40_000 + GONE_PATIENCE_MS,
  },
])('a GatewayNode $name', ({ moments, gone, wakeMs }) => {
  expect(play(...moments)).toEqual({ gone, wakeMs });
});
