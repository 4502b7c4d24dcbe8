/**
 * Objects of our kinds that mean nothing, as a broken or hostile client would write them: all of them are valid by the
 * CRDs' schemas. Each is made from its number alone.
 */
import {
  API_VERSION,
  EGRESS_IP,
  EGRESS_POLICY,
  GATEWAY_NODE,
  SALLYPORT_GROUP,
  type ServedKind,
} from '../../policy/names.ts';

/** Whom the loudest of the reports speak of: the address of a good policy, and the gateways that are there. */
export interface Slandered {
  readonly address: string;
  readonly gateways: readonly string[];
}

export interface GarbageObject {
  readonly served: ServedKind;
  readonly body: { readonly metadata: { readonly name: string } };
  /** Written after it. */
  readonly status?: object;
}

/** What a number of 64 bits holds and a number of JavaScript does not, and the last that it does. */
const [BEYOND_SAFE, LAST_SAFE] = [2 ** 62, Number.MAX_SAFE_INTEGER];
/** Every one of so many is as large as a broken client might make it. */
const LARGE_EVERY = 800;
const LARGE_SESSIONS = 2000;
const BLOCKS_MAX = 1008;
const FAR_OFF = '9999-12-31T23:59:59Z';

const ghost = (at: number): string => `ghost-${at}`;
const address4 = (net: number, at: number): string => `10.${net}.${at >> 8}.${at & 255}`;
/** Nearly as long as a name may be. */
const longName = (at: number): string => [`ghost-${at}`, ...listOf(4, () => 'g'.repeat(58))].join('.');
const listOf = <T>(length: number, make: (index: number) => T): readonly T[] =>
  Array.from({ length }, (_, index) => make(index));
/** A group of an IPv6 address. */
const hex = (at: number): string => (0x1000 + (at % 0x1000)).toString(16);
const ghostSessions = (at: number, count: number): readonly object[] =>
  listOf(count, (index) => ({ gateway: ghost(at + index), session: 1 + index }));
/** Every granule of the address with a node that is not there. */
const ghostBlocks = (count: number): readonly object[] =>
  listOf(count, (index) => ({
    node: ghost(index),
    first: 1024 + 64 * index,
    last: 1087 + 64 * index,
    version: 1 + index,
  }));

function object(served: ServedKind, name: string, rest: object): GarbageObject['body'] {
  const apiVersion = `${SALLYPORT_GROUP}/${API_VERSION}`;
  return {
    apiVersion,
    kind: served.kind,
    metadata: { name },
    ...rest,
  } as {
    metadata: { name: string };
  };
}

const EGRESS_IPS: readonly ((at: number) => Omit<GarbageObject, 'served'>)[] = [
  // Nobody's.
  (at) => egressIp(address4(90, at), { epoch: at }),
  // Held by a gateway that never was, for a policy that never was, with ports of such nodes.
  (at) =>
    egressIp(
      address4(91, at),
      {
        epoch: 1 + at,
        order: [{ gateway: ghost(at), session: 3 }],
        policies: [{ kind: 'EgressPolicy', name: ghost(at), uid: ghost(at) }],
        home: longName(at),
        blocksVersion: 7,
        blocks: ghostBlocks(3),
      },
      {
        gateway: ghost(at),
        standbys: [longName(at)],
        phase: 'Announced',
        since: FAR_OFF,
        message: 'm'.repeat(2000),
        lastFailover: { from: ghost(at), to: ghost(at), reason: 'a word of no meaning', detectedAt: FAR_OFF },
      },
    ),
  // Many who hold it and many who are to let go; sometimes as many as are read at all.
  (at) => {
    const count = at % LARGE_EVERY === 2 ? LARGE_SESSIONS : 20;
    return egressIp(address4(92, at), {
      epoch: 1 + at,
      order: ghostSessions(at, count),
      fence: ghostSessions(at + count, count),
    });
  },
  // No granule is free, today or ever.
  (at) => {
    const count = at % LARGE_EVERY === 3 ? BLOCKS_MAX : 2;
    return egressIp(address4(93, at), {
      epoch: 1,
      blocksVersion: BLOCKS_MAX,
      blocks: ghostBlocks(count),
      resting: listOf(count, (index) => ({
        first: 1024 + 64 * index,
        last: 1087 + 64 * index,
        until: FAR_OFF,
      })),
    });
  },
  // Not to be read: the name is another, the address none, a range ends before it begins, a number is too large.
  (at) => egressIp(address4(94, at), { epoch: 1 + at }, undefined, longName(at)),
  (at) => egressIp(`no address ${at}`, { epoch: 0 }, undefined, `no-address-${at}`),
  (at) => egressIp(address4(95, at), { epoch: 1, blocks: [{ node: '', first: 9, last: 1, version: 0 }] }),
  (at) =>
    egressIp(address4(96, at), {
      epoch: at % 2 === 0 ? BEYOND_SAFE : LAST_SAFE,
      order: ghostSessions(at, 2),
    }),
];

function egressIp(
  address: string,
  spec: object,
  status?: object,
  name = address,
): Omit<GarbageObject, 'served'> {
  const body = object(EGRESS_IP, name, { spec: { address, ...spec } });
  return status === undefined ? { body } : { body, status };
}

export function garbageEgressIp(at: number): GarbageObject {
  return { served: EGRESS_IP, ...EGRESS_IPS[at % EGRESS_IPS.length]?.(at) } as GarbageObject;
}

const statement = (address: string, rest: object): object => ({
  address,
  state: 'Answering',
  epoch: 1,
  index: 0,
  session: 3,
  blocksVersion: 0,
  ...rest,
});

const REPORTS: readonly ((at: number, about: Slandered) => object | undefined)[] = [
  () => undefined,
  // Answers for an EgressIP of the garbage, votes by a configuration that never was.
  (at) => ({
    session: 3,
    lastSession: LAST_SAFE,
    capacity: LAST_SAFE,
    underlay: { address: address4(97, at), interfaceName: 'eth0', tunnelMac: '02:00:00:00:00:01' },
    addresses: listOf(8, (index) => statement(address4(90 + index, at), { epoch: 1 + at })),
    voterConfigVersion: 1_000_000 + at,
    voterSets: [[ghost(at), longName(at)], [ghost(at + 1)]],
    demand: [{ address: address4(91, at), ports: 64 }],
    selected: [{ policyUid: ghost(at), pods: LAST_SAFE }],
  }),
  // Nothing in it is what it should be.
  (at) => ({
    session: BEYOND_SAFE,
    underlay: { address: 'localhost', interfaceName: '', tunnelMac: 'm'.repeat(500) },
    interfaces: [{ name: 'i'.repeat(300), addresses: ['10.0.0.1/999', '::/0', '', '10.0.0.0.0/8'] }],
    onLink: [{ cidr: '0.0.0.0/0', interfaceName: 'all' }, { cidr: 'everywhere' }],
    nextHops: [{ address: '999.1.1.1' }],
    addresses: [statement('no address', {}), {}, { address: address4(91, at), state: 'Released' }],
    dead: [{}, { gateway: longName(at), session: BEYOND_SAFE }],
    voterSets: [[], [''], listOf(200, ghost)],
    peerKeys: [0, LAST_SAFE],
    peerSigningKey: BEYOND_SAFE,
    conditions: [{ type: 'Healthy', status: 'False', message: 'm'.repeat(5000) }],
  }),
  // Calls those dead who are there.
  (at, { gateways }) => ({
    session: LAST_SAFE,
    dead: gateways.map((gateway) => ({ gateway, session: LAST_SAFE - (at % 3) })),
  }),
  // Says to answer for an address that is somebody's, by a right that nobody can have.
  (at, { address }) => ({
    session: 3,
    addresses: [statement(address, { epoch: LAST_SAFE - (at % 3), blocksVersion: LAST_SAFE })],
    demand: [{ address, ports: LAST_SAFE, returned: LAST_SAFE }],
  }),
];

export function garbageGatewayNode(at: number, about: Slandered): GarbageObject {
  const body = object(GATEWAY_NODE, at % 7 === 0 ? longName(at) : ghost(at), {});
  const status = REPORTS[at % REPORTS.length]?.(at, about);
  return { served: GATEWAY_NODE, body, ...(status === undefined ? {} : { status }) };
}

const nothing = (at: number): object => ({ matchLabels: { garbage: String(at) } });
const EVERYWHERE = ['0.0.0.0/0'];

/** What the API server takes by itself and no webhook would. */
const STORED: readonly ((at: number) => object)[] = [
  // On no gateway's link.
  (at) => ({
    selectors: [nothing(at)],
    destinationCIDRs: EVERYWHERE,
    egressGateway: { ippools: [{ cidr: `${address4(80, at)}/32` }] },
  }),
  // The same addresses as all others of these.
  (at) => ({
    selectors: [nothing(at)],
    destinationCIDRs: EVERYWHERE,
    egressGateway: { ippools: [{ cidr: '10.81.0.0/28' }] },
  }),
  // A gateway's own address.
  (at) => ({
    selectors: [nothing(at)],
    destinationCIDRs: EVERYWHERE,
    egressGateway: { ippools: [{ cidr: '203.0.113.2/32', shared: true }] },
  }),
  // As long as may be, for no gateway.
  (at) => ({
    selectors: listOf(64, (index) => nothing(index * 1000 + at)),
    destinationCIDRs: listOf(100, (index) => `2001:db8:${hex(at)}:${hex(index)}::/64`),
    egressGateway: {
      ippools: listOf(2, (index) => ({ cidr: `2001:db8:ffff:${hex(at)}::${hex(index)}/128` })),
      nodeSelector: { matchExpressions: [{ key: 'garbage', operator: 'NotIn', values: listOf(100, ghost) }] },
      returnPolicy: 'Return',
      returnAfter: '168h',
    },
  }),
];

export function storedGarbagePolicy(at: number): GarbageObject {
  const spec = STORED[at % STORED.length]?.(at) ?? {};
  return {
    served: EGRESS_POLICY,
    body: object(EGRESS_POLICY, at % 5 === 0 ? longName(at) : `stored-${at}`, { spec }),
  };
}

/** What the webhook has no word against: an address that all share, and no pod. */
export function admittedGarbagePolicy(at: number): GarbageObject {
  const spec = {
    selectors: [nothing(1_000_000 + at)],
    destinationCIDRs: EVERYWHERE,
    egressGateway: { ippools: [{ cidr: '203.0.113.200/32', shared: true }] },
  };
  return { served: EGRESS_POLICY, body: object(EGRESS_POLICY, `admitted-${at}`, { spec }) };
}
