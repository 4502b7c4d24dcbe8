/** Two nodes' plans as text to review: a gateway that answers for one of two addresses, and a worker with pods. */

import type { NodeDataPlane, PodPlan } from '../../failover/core/dataPlane.ts';
import { diffElements } from '../../failover/core/dataplane/diffElements.ts';
import {
  addressCommands,
  guardCommands,
  renderGuardRuleset,
  tokenCommands,
} from '../../failover/core/dataplane/guardRuleset.ts';
import { TOKEN_BYTES } from '../../failover/core/dataplane/kernelCommands.ts';
import { renderElements } from '../../failover/core/dataplane/renderElements.ts';
import { renderStaticRuleset, type StaticRuleset } from '../../failover/core/dataplane/staticRuleset.ts';
import { tunnelMac } from '../../failover/core/dataplane/tunnelMac.ts';
import { deriveDurations } from '../../failover/core/ownership/durations.ts';
import { soleUplink, type Uplinks } from '../../failover/core/uplinks.ts';
import { formatAddress, parseAddress } from '../../policy/address.ts';
import { cidrRange, parseCidr } from '../../policy/cidr.ts';
import type { Address, Cidr } from '../../policy/model.ts';

const address = (text: string): Address => {
  const parsed = parseAddress(text);
  if (parsed.kind !== 'ok') throw new Error(text);
  return parsed.value;
};
const cidr = (text: string): Cidr => {
  const parsed = parseCidr(text);
  if (parsed.kind !== 'ok') throw new Error(text);
  return parsed.value;
};
const NODES = { 'gw-1': '203.0.113.11', 'gw-2': '203.0.113.12', 'worker-1': '203.0.113.21' } as const;
type Node = keyof typeof NODES;
const endpoint = (node: Node) => ({
  node,
  address: address(NODES[node]),
  mac: tunnelMac(address(NODES[node])),
});
/** Fixed, so that the text is the same each time. */
export const EXAMPLE_TOKEN = Uint8Array.from({ length: TOKEN_BYTES }, (_, index) => index);
export const EXAMPLE_DURATIONS = deriveDurations({ heartbeatMs: 25, sessionMs: 200 });
const SESSION = 7;
const EGRESS = ['203.0.113.100', '203.0.113.101'].map(address);

const PODS: readonly PodPlan[] = [
  {
    address: address('10.244.21.5'),
    routes: [
      {
        range: cidrRange(cidr('198.51.100.0/24')),
        action: { kind: 'egress', addresses: EGRESS.slice(0, 1), affinity: 'Pod' },
      },
      { range: cidrRange(cidr('198.51.101.0/24')), action: { kind: 'direct' } },
      { range: cidrRange(cidr('198.51.102.7/32')), action: { kind: 'refuse' } },
    ],
  },
  {
    address: address('10.244.21.6'),
    routes: [
      {
        range: cidrRange(cidr('0.0.0.0/0')),
        action: { kind: 'egress', addresses: EGRESS, affinity: 'Connection' },
      },
    ],
  },
];

export function examplePlan(node: Node, holder: Node = 'gw-1'): NodeDataPlane {
  const others = (Object.keys(NODES) as Node[]).filter((other) => other !== node);
  const ports = { 'gw-1': 1024, 'gw-2': 1152, 'worker-1': 1280 } as const;
  return {
    self: endpoint(node),
    uplinks: soleUplink('eth0'),
    peers: others.map(endpoint),
    direct: ['10.96.0.0/16', '10.244.0.0/16', '10.244.21.0/24', '203.0.113.11/32', '203.0.113.12/32'].map(
      cidr,
    ),
    addresses: EGRESS.map((egress, index) => ({
      address: egress,
      holder: index === 0 ? holder : 'gw-2',
      blocks: (Object.keys(NODES) as Node[]).map((name) => ({
        node: name,
        first: ports[name],
        last: ports[name] + 127,
      })),
      usable: [{ first: ports[node], last: ports[node] + 127 }],
    })),
    pods: node === 'worker-1' ? PODS : [],
  };
}

export function exampleRules(node: Node, uplinks?: Uplinks): StaticRuleset {
  const { self } = examplePlan(node);
  return renderStaticRuleset({
    uplink: 'eth0',
    ...(uplinks === undefined ? {} : { uplinks }),
    uplinkMtu: 1500,
    self: self.address,
    tunnelPort: 4790,
    tunnelVni: 7777,
    fastPath: true,
  });
}

export function exampleRuleset(node: Node): string {
  const nothing = { elements: new Map(), chains: new Map() };
  const guard = exampleGuard(node);
  return exampleRules(node).text + diffElements(nothing, renderElements(examplePlan(node), nothing)) + guard;
}

/** What gw-1 answers for besides; only the guard knows of it yet. */
const EGRESS6 = '2001:db8::100';

/** The guard's table: all addresses are guarded, and what the node holds hangs on its seventh session. */
function exampleGuard(node: Node): string {
  const { uplinks, addresses } = examplePlan(node);
  const held = addresses.filter(({ holder }) => holder === node).map((it) => formatAddress(it.address));
  const held6 = node === 'gw-1' ? [EGRESS6] : [];
  const armed = new Map([...held, ...held6].map((name) => [name, SESSION]));
  return [
    renderGuardRuleset(uplinks[0].device, EXAMPLE_DURATIONS).text,
    tokenCommands(EXAMPLE_TOKEN),
    guardCommands([...EGRESS.map(formatAddress), EGRESS6]),
    addressCommands(armed),
  ].join('');
}
