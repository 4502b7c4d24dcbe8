/** What each code of a violation is about, for people who meet it in a report. docs/admission.md has examples. */
import type { ViolationCode } from '../../policy/violationCodes.ts';

export interface Rule {
  /** The rule as it should be, in a few words. */
  readonly title: string;
  /** Why it is one, and what to do. */
  readonly help: string;
}

export const RULES: Readonly<Record<ViolationCode, Rule>> = {
  'cidr-syntax': {
    title: 'Prefixes are written canonically',
    help: 'Other spellings (leading zeros, short forms, mapped addresses) are read differently by different programs. Write the form that the message gives.',
  },
  'cidr-host-bits': {
    title: 'Prefixes have no host bits',
    help: 'A prefix such as 203.0.113.10/24 means one address or a network. Write the one that is meant.',
  },
  'range-syntax': {
    title: 'A range has two addresses of one family, the lower one first',
    help: 'A pool entry is either cidr, or from and to.',
  },
  'special-use': {
    title: 'Pools hold addresses that the outside can answer to',
    help: 'Loopback, link-local, multicast and other special addresses never come back to a gateway.',
  },
  'pool-overlap-self': {
    title: 'Entries of one policy do not overlap',
    help: 'List each address once.',
  },
  'pool-overlap': {
    title: 'Pools of two policies do not overlap',
    help: 'An address belongs to one policy, unless both list the same entry with shared: true.',
  },
  'pool-unroutable': {
    title: 'Every address of a pool can be answered for by a gateway',
    help: 'An address must lie in a subnet of a gateway that the policy allows, or in a network that is configured as routed to the gateways (--routable).',
  },
  'pool-node-address': {
    title: 'Pools hold no address of a node',
    help: 'A node whose address is answered for elsewhere is cut off. Leave it out of the pool.',
  },
  'selector-syntax': {
    title: 'Selectors follow the rules of Kubernetes labels',
    help: 'A selector that is to match everything is written {}.',
  },
  'destination-syntax': {
    title: 'Destinations are canonical prefixes, each listed once',
    help: 'Write the form that the message gives.',
  },
  'unknown-field': {
    title: 'There are no unknown fields',
    help: 'A field that nobody knows has no effect, so a slip would go unnoticed.',
  },
  limits: {
    title: 'Lists and values stay within their limits',
    help: 'Everything in a policy is held by every agent and gateway. Use longer prefixes, or split the policy.',
  },
  schema: {
    title: 'Fields have the types and values that the kind asks for',
    help: 'The message says what is expected.',
  },
  'pool-cluster-network': {
    title: 'Pools lie outside the networks of pods and services',
    help: 'Such an address means something else inside the cluster. Use one of a network outside of it.',
  },
  'pool-router-address': {
    title: 'Pools hold no address of a router',
    help: 'Whoever answers for the next hop of a node cuts that node off. Leave it out of the pool.',
  },
  'pool-edge-address': {
    title: 'Pools hold neither the network nor the broadcast address of a subnet',
    help: 'Neighbours do not treat these as addresses of a host. Leave them out of the pool.',
  },
  'pool-load-balancer': {
    title: 'Pools and load balancers share no address',
    help: 'Two programs would answer for the same address. Use other addresses, here or there.',
  },
  'pool-single-gateway': {
    title: 'Every address has a second gateway that could take it over',
    help: 'With one gateway there is no failover. Label another node in the same subnet.',
  },
  'no-gateway': {
    title: 'Some node is a gateway for the policy',
    help: 'Label nodes with sallyport.dev/gateway, and see that the nodeSelector of the policy matches one.',
  },
  'pool-too-large': {
    title: 'A policy holds a bounded number of addresses',
    help: 'Each address is an object, a right and an entry in every gateway. Use longer prefixes, or split the policy.',
  },
  'pool-capacity': {
    title: 'Gateways have room for the addresses, and the addresses have ports for the nodes',
    help: 'Add gateways, or give the policy another address.',
  },
  'pool-in-use': {
    title: 'An address in use is not taken out of a pool unawares',
    help: 'Its connections would break. Move the pods first, or set the annotation that the message names.',
  },
  'family-mismatch': {
    title: 'There is an address of the family of every destination',
    help: 'Traffic to an IPv6 destination needs an IPv6 address to leave with, and likewise for IPv4.',
  },
  'excluded-outside': {
    title: 'Exclusions lie within the destinations',
    help: 'An excluded prefix outside of every destination excludes nothing. Probably one of the two has a slip.',
  },
  'destination-cluster': {
    title: 'Destinations lie outside the cluster',
    help: 'Traffic to pods and services is never touched, so such a destination never matches.',
  },
  'selector-empty': {
    title: 'The policy is for some pods, not for all of them',
    help: 'An empty selector selects every pod of the cluster. Where that is meant, let the warning be.',
  },
  'policy-ambiguous': {
    title: 'No two policies are for the same pods and the same destination',
    help: 'The longest destination prefix wins, then the older policy. Make the selectors or the destinations differ.',
  },
  'status-write': {
    title: 'Status is written by controller and agents alone',
    help: 'Leave status out of what you apply.',
  },
  'cegp-v2-managed-pool': {
    title: "A policy of Cilium's own uses no address of a managed pool",
    help: 'Two programs would answer for the same address. Use another egressIP.',
  },
  'cegp-v2-interface-and-address': {
    title: "A policy of Cilium's own names an interface or an address, not both",
    help: 'Cilium uses one of the two. Keep the one that is meant.',
  },
  'cegp-v2-ambiguous': {
    title: "No policy of Cilium's own is for the same pods and destination as another",
    help: 'Which of the two applies is left to chance. Make the selectors or the destinations differ.',
  },
  'cegp-v2-no-address': {
    title: "A policy of Cilium's own says which address to leave with",
    help: 'A nodeSelector alone leaves that to the node. Name an interface or an egressIP.',
  },
};
