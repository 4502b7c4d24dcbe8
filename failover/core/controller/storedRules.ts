/**
 * Runs the rules of admission on stored policies again, with the facts that the controller has: nodes and what agents
 * report. Load balancers, service networks and pods it does not watch, so the rules on those stay admission's.
 *
 * What was found is remembered until something changed that a rule could notice: a decision is made at every event, over
 * all policies. The memory changes no answer; it is kept here because it is no part of what the controller knows.
 */
import { formatAddress } from '../../../policy/address.ts';
import { type GatewayFacts, UNKNOWN_FACTS } from '../../../policy/facts.ts';
import { createFactIndex, type FactIndex } from '../../../policy/index/factIndex.ts';
import type { NodeFacts, Policy, Violation } from '../../../policy/model.ts';
import { POLICY_ADDRESSES_MAX } from '../../../policy/parsePolicy.ts';
import { DEFAULT_RULE_SETTINGS, judgePolicy } from '../../../policy/rules.ts';
import type { GatewayNode } from '../gatewayNode.ts';
import type { ControllerView } from './controllerView.ts';

/** Admission's limit may be lower, and may be lowered: that is no reason to take away what is served. */
const SETTINGS = { ...DEFAULT_RULE_SETTINGS, poolAddressesMax: POLICY_ADDRESSES_MAX };

interface Memory {
  readonly index: FactIndex;
  nodes: ReadonlyMap<string, NodeFacts>;
  gatewayNodes: ReadonlyMap<string, GatewayNode>;
  readonly found: WeakMap<Policy, { readonly revision: number; readonly violations: readonly Violation[] }>;
}

const memory: Memory = {
  index: createFactIndex({ ...UNKNOWN_FACTS, nodes: [], gateways: [] }),
  nodes: new Map(),
  gatewayNodes: new Map(),
  found: new WeakMap(),
};

/** Of one decision: brings the facts up to date, then judges each policy that it is asked about. */
export function storedRules({
  nodes,
  gatewayNodes,
}: Pick<ControllerView, 'nodes' | 'gatewayNodes'>): (policy: Policy) => readonly Violation[] {
  const { index, found } = memory;
  follow(memory.nodes, nodes, (name, node) => index.replace('nodes', memory.nodes.get(name), node));
  follow(memory.gatewayNodes, gatewayNodes, (name, report) =>
    index.nodes.setReport(name, report === undefined ? undefined : factsOf(report)),
  );
  memory.nodes = nodes;
  memory.gatewayNodes = gatewayNodes;
  const { revision } = index.nodes;
  return (policy) => {
    const known = found.get(policy);
    if (known?.revision === revision) return known.violations;
    const violations = judgePolicy(policy, index, { settings: SETTINGS, occasion: { kind: 'stored' } });
    found.set(policy, { revision, violations });
    return violations;
  };
}

/** What is the same value in both maps did not change: values are replaced, never edited. */
function follow<T>(
  before: ReadonlyMap<string, T>,
  after: ReadonlyMap<string, T>,
  change: (name: string, value: T | undefined) => void,
): void {
  if (before === after) return;
  for (const name of before.keys()) if (!after.has(name)) change(name, undefined);
  for (const [name, value] of after) if (before.get(name) !== value) change(name, value);
}

/** An egress IP that the agent holds stands on an interface too; it is the pool's, not the node's own. */
function factsOf({
  name,
  interfaces,
  onLink,
  nextHops,
  capacity,
  addresses,
  demand,
}: GatewayNode): GatewayFacts {
  const held = new Set(addresses.map(({ address }) => formatAddress(address)));
  return {
    node: name,
    addresses: interfaces.flatMap((it) =>
      it.addresses
        .filter(({ address }) => !held.has(formatAddress(address)))
        .map(({ address }) => ({ address, interfaceName: it.name })),
    ),
    onLink,
    nextHops,
    capacity,
    using: demand.filter(({ ports }) => ports > 0).map(({ address }) => address),
  };
}
