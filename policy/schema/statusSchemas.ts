/** Schemas of what controller and agents write: the status of policies, EgressIPs and GatewayNodes. */
import { conditions, type JsonSchema, listOf, natural, object, text, time } from './jsonSchema.ts';

const sessions = (description: string): JsonSchema =>
  listOf(
    description,
    object(
      'One life of a gateway.',
      { gateway: text('The node.'), session: natural('Its number, never used again.') },
      ['gateway', 'session'],
    ),
  );

const ports = { first: natural('First port.'), last: natural('Last port, inclusive.') };

export const policyStatus: JsonSchema = object('What became of the policy.', {
  observedGeneration: natural('The generation that this status speaks of.'),
  conditions,
  addresses: listOf(
    'Each address and who holds it.',
    object('One address.', {
      address: text('The egress IP.'),
      gateway: text('The node that answers for it.'),
      standbys: listOf('Who is next, in order.', text('A node.')),
      since: time('Since when.'),
    }),
  ),
  egress: text('Addresses and gateways in one line, for kubectl get.'),
  selectedPods: natural('Pods that the policy selects.'),
  rebalanced: text('The newest value of the annotation sallyport.dev/rebalance that was carried out.'),
});

export const egressIpSpec: JsonSchema = object(
  'Who may answer for one address. Written by the controller, by compare-and-swap.',
  {
    address: text('The egress IP, canonical.', { maxLength: 39 }),
    policies: listOf(
      'Accepted policies that list the address.',
      object('A policy.', { kind: text('Its kind.'), name: text('Its name.'), uid: text('Its uid.') }, [
        'kind',
        'name',
        'uid',
      ]),
    ),
    epoch: natural('Grows with each new holder.'),
    order: sessions('The holder first, then standbys.'),
    fence: sessions('Who must be gone before the first in order may answer.'),
    home: text('The gateway it returns to, where its policies say so.'),
    blocksVersion: natural('Grows with each change of blocks.'),
    blocks: listOf(
      'Which node holds which ports.',
      object(
        'A block.',
        { node: text('The node.'), ...ports, version: natural('The version that brought it.') },
        ['node', 'first', 'last', 'version'],
      ),
    ),
    resting: listOf(
      'Blocks given back that rest until peers forgot them.',
      object('A block.', { ...ports, until: time('Until when.') }, ['first', 'last', 'until']),
    ),
  },
  ['address', 'epoch'],
);

export const egressIpStatus: JsonSchema = object('Who really answers for the address.', {
  gateway: text('The node that states that it answers.'),
  standbys: listOf('Who is next, in order.', text('A node.')),
  standbyNames: text('The same in one line, for kubectl get.'),
  phase: { ...text('Where it stands.'), enum: ['Announced', 'Moving', 'Pending', 'Unplaced'] },
  since: time('Since when the gateway holds it.'),
  message: text('Why, in one sentence.'),
  lastFailover: object('The last move and when each of its phases was reached.', {
    from: text('The node that held it.'),
    to: text('The node that took it.'),
    reason: text('Why it moved.'),
    detectedAt: time('When the reason was seen.'),
    assignedAt: time('When the new assignment was written.'),
    announcedAt: time('When the new holder stated that it answers.'),
  }),
});

const addressHere = { address: text('An address.'), interfaceName: text('The device.') };

export const gatewayNodeStatus: JsonSchema = object("What a node's agent says of its own node.", {
  session: natural('The running agent; 0 on a node that is no gateway.'),
  lastSession: natural('The highest number that a session of this node has had.'),
  underlay: object("The node's end of the tunnel.", { ...addressHere, tunnelMac: text('MAC of egress0.') }),
  interfaces: listOf(
    'Interfaces and their addresses.',
    object('An interface.', {
      name: text('Its name.'),
      addresses: listOf('With prefix lengths.', text('203.0.113.11/24')),
    }),
  ),
  onLink: listOf(
    'Subnets in which the node can answer for addresses.',
    object('A subnet.', { cidr: text('Its prefix.'), interfaceName: text('The device.') }),
  ),
  nextHops: listOf("Next hops of the node's routes.", object('A next hop.', addressHere)),
  capacity: natural('Egress IPs it can hold.'),
  holding: natural('Egress IPs it answers for.'),
  addresses: listOf(
    'What it states about each egress IP, confirmed by its kernel.',
    object('A statement.', {
      address: text('The egress IP.'),
      state: { ...text('What it does.'), enum: ['Answering', 'Released', 'Standby'] },
      epoch: natural(
        'Of the right it answers by; otherwise it will never answer by a right of a lower epoch.',
      ),
      index: natural('The rank of that right in the order; 0 where it does not answer.'),
      session: natural('The session that says it.'),
      blocksVersion: natural('The port blocks that its kernel forwards.'),
      lost: object('What its agent goes on by and the API does not show any more: etcd was restored.', {
        epoch: natural('The epoch of it.'),
        sessions: sessions('Its order, and its fence behind it: who may answer by it.'),
      }),
    }),
  ),
  dead: listOf(
    'Sessions that a majority of voters called dead, as this node heard it; lower ones are with them.',
    object('A session.', { gateway: text('The gateway.'), session: natural('Its session.') }),
  ),
  voterConfigVersion: natural('The newest voter configuration that it knows.'),
  voterSets: listOf(
    'Who votes by it; two sets while one is changed for the other.',
    listOf('A set.', text('A node.')),
  ),
  peerKeys: listOf('Keys that it accepts the datagrams of other agents by.', natural('Its number.')),
  peerSigningKey: natural('The key that it signs its own with; 0: it has none.'),
  demand: listOf(
    'Ports it wants.',
    object('A wish.', {
      address: text('The egress IP.'),
      ports: natural('How many; 0: none.'),
      returned: natural('Version of the port blocks up to which it uses its own no more.'),
    }),
  ),
  selected: listOf(
    'Pods here that policies select.',
    object('A count.', {
      policyUid: text('The policy.'),
      pods: natural('How many.'),
      generation: natural('The generation of the policy that the kernel here holds; 0: none yet.'),
    }),
  ),
  versions: object('What runs here.', {
    agent: text('Agent.'),
    kernel: text('Kernel.'),
    nftables: text('nftables.'),
  }),
  conditions,
});
