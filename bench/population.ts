/**
 * A made-up cluster and the policies that ask to be created in it, the same in every run. Pools lie in 10.0.0.0/8, cut
 * into slots of 16 addresses: stored policies own prefixes in even slots, so what is asked for in an odd slot is free.
 */
import { makeAddress } from '../policy/address.ts';
import { cidrRange, formatCidr, hostCidr, makeCidr, parseCidr } from '../policy/cidr.ts';
import { type ClusterFacts, type NamespaceFacts, type PodFacts, UNKNOWN_FACTS } from '../policy/facts.ts';
import type { Address, AddressRange, Cidr, Policy } from '../policy/model.ts';
import {
  API_VERSION,
  CILIUM_GROUP,
  GATEWAY_LABEL,
  type PolicyKind,
  SALLYPORT_GROUP,
} from '../policy/names.ts';
import { parsePolicy } from '../policy/parsePolicy.ts';
import { seededRandom } from './seededRandom.ts';

export const NODES = 200;
export const GATEWAYS = 8;
export const ENTRIES_PER_POLICY = 4;
/** Spread over workloads; every second workload is one that a candidate selects. */
export const PODS = 50_000;
const WORKLOADS = 2500;
const NAMESPACES = 100;
/** Addresses of Services, outside of all pools. */
export const LOAD_BALANCERS = 2000;
export const SERVICE_NETWORKS = ['172.20.0.0/16', '172.21.0.0/16'] as const;
/**
 * So many that the ways of their searches do not all stay in the processor's cache: a webhook that is asked now and
 * then finds it cold. With a few hundred, an index of scattered objects looks three times as fast as it is.
 */
const CANDIDATES = 4000;

const SEED = 20_260_731;
const SPACE = makeCidr(4, 10n << 24n, 8);
/** All pools lie in it; it counts as routed to the gateways. */
export const ROUTABLE = formatCidr(SPACE);
const SLOT_BITS = 4;
/** Pairs of an even and an odd slot in the space. */
const SLOT_PAIRS = 2 ** 19;
/** Odd, so that multiplying by it modulo a power of two visits every pair once, in no order. */
const SPREAD = 40_503;
/** Of this many stored entries the last two are one entry that two policies share. */
const SHARED_EVERY = 16;

export interface Candidate {
  /** The API server's request as JSON gives it. */
  readonly body: unknown;
  /** Its first entry overlaps a stored one; the rest never do. */
  readonly conflicting: boolean;
  /** The first entry's. */
  readonly range: AddressRange;
}

export interface Population {
  readonly facts: ClusterFacts;
  /** Every second one conflicts, if anything is stored that it can conflict with. */
  readonly candidates: readonly Candidate[];
}

/** Group, version and kind, as a request names them. */
interface Gvk {
  readonly group: string;
  readonly version: string;
  readonly kind: PolicyKind;
}

interface Entry {
  readonly cidr: string;
  readonly shared: boolean;
}

/** A cluster whose stored policies have `prefixes` pool entries in all. */
export function createPopulation(prefixes: number): Population {
  const random = seededRandom(SEED);
  return {
    facts: {
      ...UNKNOWN_FACTS,
      policies: createStoredObjects(prefixes).map(parsedObject),
      ...createNodes(),
      ...createWorkloads(),
      ciliumPolicies: [],
      networks: SERVICE_NETWORKS.map((text) => ({
        cidr: cidrOf(text),
        use: 'services',
        source: 'ServiceCIDR kubernetes',
      })),
      loadBalancers: Array.from({ length: LOAD_BALANCERS }, (_, at) => ({
        range: cidrRange(hostCidr(loadBalancerAddress(at))),
        owner: `Service s-${at}`,
        text: `s-${at}`,
      })),
      egressIps: [],
      routable: [SPACE],
    },
    candidates: Array.from({ length: CANDIDATES }, (_, at) => createCandidate(at, prefixes, random)),
  };
}

/** The same policies as the API server lists them. */
export function createStoredObjects(prefixes: number): readonly StoredObject[] {
  const policies = Math.ceil(prefixes / ENTRIES_PER_POLICY);
  return Array.from({ length: policies }, (_, at) => {
    // Neighbours go to different policies, so that no policy shares an entry with itself.
    const own = Array.from({ length: ENTRIES_PER_POLICY }, (_unused, entry) => at + entry * policies);
    return manifest(`stored-${at}`, at, own.filter((index) => index < prefixes).map(storedEntry));
  });
}

/** Every index has a pair of slots of its own. */
function slotOf(index: number, half: 'stored' | 'free'): number {
  return 2 * ((index * SPREAD) % SLOT_PAIRS) + (half === 'free' ? 1 : 0);
}

/** The prefix with so many host bits that holds the address `offset` of a slot. */
function prefixAt(slot: number, offset: number, hostBits: number): string {
  const value = SPACE.network + BigInt(slot * 2 ** SLOT_BITS + offset);
  return formatCidr(makeCidr(4, (value >> BigInt(hostBits)) << BigInt(hostBits), 32 - hostBits));
}

/** Where entry `index` lies; the second of two that share lies where the first does. */
function originOf(index: number): number {
  return index % SHARED_EVERY === SHARED_EVERY - 1 ? index - 1 : index;
}

/** A prefix of /28 to /32 somewhere in its slot. */
function storedEntry(index: number): Entry {
  const origin = originOf(index);
  return {
    cidr: prefixAt(slotOf(origin, 'stored'), origin % 2 ** SLOT_BITS, origin % (SLOT_BITS + 1)),
    shared: index % SHARED_EVERY >= SHARED_EVERY - 2,
  };
}

/** In turn the very prefix that is stored, one address of it, and the 64 addresses around it. */
function overlapping(index: number, turn: number): Entry {
  const origin = originOf(index);
  const offset = origin % 2 ** SLOT_BITS;
  const hostBits = [origin % (SLOT_BITS + 1), 0, SLOT_BITS + 2][turn % 3] ?? 0;
  return { cidr: prefixAt(slotOf(origin, 'stored'), offset, hostBits), shared: false };
}

function free(index: number): Entry {
  return { cidr: prefixAt(slotOf(index, 'free'), 0, index % (SLOT_BITS + 1)), shared: false };
}

function createCandidate(at: number, prefixes: number, random: () => number): Candidate {
  const conflicting = prefixes > 0 && at % 2 === 0;
  const picked = Math.floor(random() * prefixes);
  const entries = Array.from({ length: ENTRIES_PER_POLICY }, (_, entry) =>
    conflicting && entry === 0 ? overlapping(picked, at / 2) : free(at * ENTRIES_PER_POLICY + entry),
  );
  const name = `asked-${at}`;
  const request = {
    uid: `request-${at}`,
    kind: gvkOf(at),
    operation: 'CREATE',
    name,
    dryRun: false,
    object: manifest(name, at, entries),
    oldObject: null,
  };
  const range = parsedObject(manifest(name, at, entries)).pools[0]?.range;
  if (range === undefined) throw new Error(`${name} has no pool`);
  return {
    body: { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request },
    conflicting,
    range,
  };
}

/** Both kinds, whatever else goes by odd and even. */
function gvkOf(at: number): Gvk {
  const [group, kind] =
    at % 4 < 2
      ? ([CILIUM_GROUP, 'CiliumEgressGatewayPolicy'] as const)
      : ([SALLYPORT_GROUP, 'EgressPolicy'] as const);
  return { group, version: API_VERSION, kind };
}

function manifest(name: string, at: number, ippools: readonly Entry[]) {
  const { group, version, kind } = gvkOf(at);
  return {
    apiVersion: `${group}/${version}`,
    kind,
    metadata: { name, uid: `uid-${name}` },
    spec: {
      selectors: [{ matchLabels: { app: name } }],
      destinationCIDRs: ['0.0.0.0/0'],
      egressGateway: { ippools },
    },
  };
}

export type StoredObject = ReturnType<typeof manifest>;

function parsedObject(object: StoredObject): Policy {
  const result = parsePolicy(object, object.kind);
  if (result.kind === 'refused') throw new Error(JSON.stringify(result.error));
  return result.value;
}

function cidrOf(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed.kind === 'refused') throw new Error(parsed.error.message);
  return parsed.value;
}

interface Workloads {
  readonly pods: readonly PodFacts[];
  readonly namespaces: readonly NamespaceFacts[];
}

/** Pods of one workload share their labels. */
export function createWorkloads(): Workloads {
  const labels = Array.from({ length: WORKLOADS }, (_, at) => ({
    app: at % 2 === 0 ? `asked-${at}` : `stored-${at}`,
    tier: `t${at % 5}`,
  }));
  return {
    namespaces: Array.from({ length: NAMESPACES }, (_, at) => ({ name: `ns-${at}`, labels: {} })),
    pods: Array.from({ length: PODS }, (_, at) => ({
      namespace: `ns-${(at % WORKLOADS) % NAMESPACES}`,
      labels: labels[at % WORKLOADS] ?? {},
      node: `node-${at % NODES}`,
    })),
  };
}

/** In 198.18.0.0/16. */
export function loadBalancerAddress(at: number): Address {
  return makeAddress(4, 0xc612_0000n + BigInt(at));
}

/** Nodes in 172.16.0.0/16, the first few of them gateways. */
function createNodes(): Pick<ClusterFacts, 'nodes' | 'gateways'> {
  const network = makeCidr(4, 0xac10_0000n, 16);
  const nodes = Array.from({ length: NODES }, (_, at) => ({
    name: `node-${at}`,
    labels: at < GATEWAYS ? { [GATEWAY_LABEL]: '' } : {},
    addresses: [makeAddress(4, network.network + BigInt(at + 1))],
    podCidrs: [],
    unschedulable: false,
    drained: false,
    taints: [],
    ready: true,
  }));
  const interfaceName = 'eth0';
  return {
    nodes,
    gateways: nodes.slice(0, GATEWAYS).map(({ name, addresses }) => ({
      node: name,
      addresses: addresses.map((address) => ({ address, interfaceName })),
      onLink: [{ cidr: network, interfaceName }],
      nextHops: [],
      capacity: 256,
      using: [],
    })),
  };
}
