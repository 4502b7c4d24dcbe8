/**
 * Who says what of an address or a policy, found without looking at every gateway: there may be thousands
 * of reports, and thousands of addresses are planned at each change.
 */
import type { Address } from '../../../policy/model.ts';
import type { GatewayNode, PortDemand, SelectedPods } from '../gatewayNode.ts';
import type { StatedBy } from '../statedAbove.ts';

export interface StatementIndex {
  /** In the order of the reports. */
  on(address: Address): readonly StatedBy[];
  /** Of each node that wants ports of the address, or has given some back. */
  demandOn(address: Address): readonly DemandBy[];
  /** On all nodes together. */
  podsSelected(policyUid: string): number;
  /** Nodes with pods that the policy selects. */
  selecting(policyUid: string): readonly SelectedBy[];
}

export interface SelectedBy extends SelectedPods {
  readonly node: string;
}

export interface DemandBy {
  readonly node: string;
  readonly demand: PortDemand;
}

const NOBODY: readonly never[] = [];
/** Reports are replaced, never edited, so what was made from the same ones stays right. */
const made = new WeakMap<ReadonlyMap<string, GatewayNode>, StatementIndex>();

export function statementIndex(gatewayNodes: ReadonlyMap<string, GatewayNode>): StatementIndex {
  const known = made.get(gatewayNodes);
  if (known !== undefined) return known;
  const index = makeIndex(gatewayNodes);
  made.set(gatewayNodes, index);
  return index;
}

function makeIndex(gatewayNodes: ReadonlyMap<string, GatewayNode>): StatementIndex {
  const reports = [...gatewayNodes];
  const said = byAddress(reports, ([gateway, { addresses }]) =>
    addresses.map((statement) => [statement.address, { gateway, statement }]),
  );
  const wanted = byAddress(reports, ([node, { demand }]) =>
    demand.map((it) => [it.address, { node, demand: it }]),
  );
  const selected = new Map<string, SelectedBy[]>();
  for (const [node, report] of reports) {
    for (const it of report.selected) {
      const nodes = selected.get(it.policyUid);
      if (nodes === undefined) selected.set(it.policyUid, [{ ...it, node }]);
      else nodes.push({ ...it, node });
    }
  }
  return {
    on: (address) => said.get(keyOf(address)) ?? NOBODY,
    demandOn: (address) => wanted.get(keyOf(address)) ?? NOBODY,
    podsSelected: (policyUid) => {
      const pods = (selected.get(policyUid) ?? NOBODY).reduce((sum, it) => sum + it.pods, 0);
      // What is no number of pods must not be one that the API server refuses.
      return Math.min(Number.MAX_SAFE_INTEGER, pods);
    },
    selecting: (policyUid) => selected.get(policyUid) ?? NOBODY,
  };
}

type Report = readonly [name: string, report: GatewayNode];

/** Of two words of one report on one address the first counts. */
function byAddress<T>(
  reports: readonly Report[],
  wordsOf: (report: Report) => readonly (readonly [Address, T])[],
): ReadonlyMap<bigint, readonly T[]> {
  const found = new Map<bigint, T[]>();
  for (const report of reports) {
    const keys = new Set<bigint>();
    for (const [address, word] of wordsOf(report)) {
      const key = keyOf(address);
      if (keys.has(key)) continue;
      keys.add(key);
      const words = found.get(key);
      if (words === undefined) found.set(key, [word]);
      else words.push(word);
    }
  }
  return found;
}

/** IPv4 and IPv6 addresses may have the same value. */
function keyOf({ family, value }: Address): bigint {
  return family === 4 ? -1n - value : value;
}
