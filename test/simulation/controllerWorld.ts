/**
 * A small world around the controller's core: an API server in memory that swaps by version, and gateways
 * (controllerGateways.ts) that decide among themselves who answers, and state it. Time is stepped by hand; a write takes
 * effect one step after it was asked for, and its answer arrives another step later. After each step it counts who really
 * answers for each address.
 */

import { stepController } from '../../failover/core/controller/controllerCore.ts';
import type {
  CollectionEvent,
  ControllerEffect,
  ControllerEvent,
  RequestEvent,
  WriteEffect,
} from '../../failover/core/controller/controllerEvents.ts';
import { targetOf } from '../../failover/core/controller/controllerEvents.ts';
import { type ControllerState, initialController } from '../../failover/core/controller/controllerState.ts';
import type {
  CollectionName,
  EgressIpObject,
  PolicyObject,
  VotersObject,
} from '../../failover/core/controller/controllerView.ts';
import type { GatewayLease } from '../../failover/core/controller/sessions.ts';
import type { EgressIp } from '../../failover/core/egressIp.ts';
import type { GatewayNode, PortDemand } from '../../failover/core/gatewayNode.ts';
import type { VoterConfig } from '../../failover/core/ownership/voterConfig.ts';
import { formatAddress, makeAddress } from '../../policy/address.ts';
import type { NodeFacts, Policy } from '../../policy/model.ts';
import { GATEWAY_LABEL, VOTERS_CONFIG_MAP, ZONE_LABEL } from '../../policy/names.ts';
import { ok } from '../../policy/result.ts';
import { emptyGatewayNode, Gateways } from './controllerGateways.ts';

export const STEP_MS = 100;
/** How long a joint voter configuration stands after it is known. */
export const VOTER_SETTLE_MS = 500;
const WALL_AT_START_MS = 1_700_000_000_000;

export interface WorldOptions {
  readonly quarantineMs?: number;
  readonly maxGatewaysLeaving?: number;
  /** The n-th write and each n-th after it take effect, but their answers are lost. */
  readonly loseEachAnswer?: number;
  /** The n-th request and each n-th after it is refused, as by an API server that is overloaded. */
  readonly refuseEach?: number;
  /** Refuses these writes as well. */
  readonly refuse?: (effect: WriteEffect) => boolean;
}

export class World {
  nowMs = 0;
  readonly objects = new Map<string, unknown>();
  readonly #gateways = new Gateways(this.#gatewayApi());
  readonly events: Extract<ControllerEffect, { kind: 'record-event' }>[] = [];
  readonly moves: Extract<ControllerEffect, { kind: 'count-move' }>[] = [];
  /** Writes asked for so far. */
  written = 0;
  apiUp = true;
  /** What went wrong in the world, if anything. */
  readonly violations: string[] = [];
  #state: ControllerState = initialController();
  #version = 1;
  /** EgressIP name → the highest epoch it ever had, in whatever life. */
  readonly #epochs = new Map<string, number>();
  #requests = 0;
  #inbox: ControllerEvent[] = [];
  /** Writes on their way: each step takes up those of the step before, every other step in reverse. */
  #outbox: WriteEffect[] = [];
  #options: WorldOptions;

  constructor(options: WorldOptions = {}) {
    this.#options = options;
  }

  /** Lists everything as it is now and begins to lead. */
  start(): void {
    for (const collection of COLLECTIONS) {
      const items = new Map(
        [...this.objects]
          .filter(([object]) => object.startsWith(`${collection}/`))
          .map(([object, value]) => [object.slice(collection.length + 1), value]),
      );
      // The value was stored under the collection's own name.
      this.#post({ kind: 'synced', collection, items } as unknown as CollectionEvent);
    }
    this.#post({ kind: 'leadership-began' });
  }

  /** A new controller takes over, knowing nothing. */
  restartController(): void {
    this.#state = initialController();
    this.#inbox = [];
    this.start();
  }

  addGateway(name: string, zone = 'a', capacity = 256): void {
    this.#gateways.add(name, capacity, this.nowMs);
    this.addNode(name, { [GATEWAY_LABEL]: '', [ZONE_LABEL]: zone });
  }

  addNode(
    name: string,
    labels: Readonly<Record<string, string>> = {},
    change: Partial<Omit<NodeFacts, 'name' | 'labels'>> = {},
  ): void {
    const calm = { unschedulable: false, drained: false, taints: [], ready: true };
    const node: NodeFacts = { name, labels, addresses: [], podCidrs: [], ...calm, ...change };
    this.#put('nodes', name, node);
  }

  removeNode(name: string): void {
    this.#remove('nodes', name);
  }

  /** A node that is no gateway states which ports it wants. */
  addWorker(name: string, demand: readonly PortDemand[] = [], selected: GatewayNode['selected'] = []): void {
    this.addNode(name);
    this.#put('gatewayNodes', name, { ...emptyGatewayNode(name), demand, selected });
  }

  /** The configuration as it stands. */
  voters(): VoterConfig | undefined {
    return (this.objects.get(`voters/${VOTERS_CONFIG_MAP}`) as VotersObject | undefined)?.config;
  }

  addPolicy(policy: Policy, change: Partial<PolicyObject> = {}): void {
    const { kind, name, uid } = policy.ref;
    const object: PolicyObject = {
      kind,
      name,
      uid,
      resourceVersion: '',
      generation: policy.generation,
      deleting: false,
      finalizers: [],
      parsed: ok(policy),
      status: undefined,
      ...change,
    };
    this.#put(kind, name, object);
  }

  policy(name: string): PolicyObject | undefined {
    return this.objects.get(`EgressPolicy/${name}`) as PolicyObject | undefined;
  }

  /** As the API server does it: gone at once without finalizers, else marked. */
  deletePolicy(name: string): void {
    const object = this.policy(name);
    if (object === undefined) return;
    if (object.finalizers.length === 0) this.#remove('EgressPolicy', name);
    else this.#put('EgressPolicy', name, { ...object, deleting: true });
  }

  egressIp(name: string): EgressIpObject | undefined {
    return this.objects.get(`egressIps/${name}`) as EgressIpObject | undefined;
  }

  egressIps(): readonly EgressIpObject[] {
    return [...this.objects]
      .filter(([object]) => object.startsWith('egressIps/'))
      .map(([, value]) => value as EgressIpObject);
  }

  /** Its processes stop, whatever of it answers goes on until the session has run out. */
  kill(name: string): void {
    this.#gateways.get(name).alive = false;
  }

  /** It goes on as it was, as if nothing had happened. */
  thaw(name: string): void {
    this.#gateways.get(name).alive = true;
  }

  /** A new agent on the same node: flushed kernel, next session. */
  restart(name: string): void {
    this.#gateways.restart(name);
  }

  /** It hands over and ends. */
  close(name: string): void {
    this.#gateways.get(name).closing = true;
  }

  setReady(name: string, ready: boolean): void {
    this.#gateways.get(name).ready = ready;
  }

  setHealthy(name: string, healthy: boolean): void {
    this.#gateways.get(name).healthy = healthy;
  }

  /** Whether it reaches the API server; its peers it reaches always. */
  setConnected(name: string, connected: boolean): void {
    this.#gateways.get(name).connected = connected;
  }

  /** Gateways whose kernels answer for the address now. */
  answering(name: string): readonly string[] {
    return this.#gateways.answering(name, this.nowMs);
  }

  /** @param until stops early once it holds */
  run(ms: number, until: () => boolean = () => false): boolean {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; ) {
      this.nowMs += STEP_MS;
      const arriving = (this.nowMs / STEP_MS) % 2 === 0 ? this.#outbox : this.#outbox.toReversed();
      this.#outbox = [];
      for (const effect of arriving) this.#write(effect);
      this.#gateways.step(this.nowMs);
      this.#learnVoters();
      if (this.apiUp) {
        const arrived = this.#inbox;
        this.#inbox = [];
        for (const event of arrived) this.#post(event);
      }
      this.#post({ kind: 'tick' });
      this.#check();
      if (until()) return true;
    }
    return until();
  }

  /** From now on every request is carried out and answered. */
  endFaults(): void {
    const { quarantineMs = 0, maxGatewaysLeaving = 1 } = this.#options;
    this.#options = { quarantineMs, maxGatewaysLeaving };
  }

  setApiUp(up: boolean): void {
    this.apiUp = up;
    this.#post({ kind: up ? 'contact-regained' : 'contact-lost' });
  }

  /** As from a snapshot: of objects that are there then and now. */
  restoreEtcd(snapshot: ReadonlyMap<string, unknown>): void {
    for (const [object, value] of snapshot) {
      const [collection, ...key] = object.split('/') as [CollectionName, ...string[]];
      if (this.objects.has(object) && this.objects.get(object) !== value)
        this.#put(collection, key.join('/'), value as object);
    }
  }

  #gatewayApi(): ConstructorParameters<typeof Gateways>[0] {
    const isUp = (): boolean => this.apiUp;
    return {
      get up() {
        return isUp();
      },
      egressIps: () => new Map(this.egressIps().map(({ egressIp }) => [egressIp.name, egressIp])),
      gatewayNodes: () => this.#gatewayNodes(),
      nodes: () => this.#nodes(),
      lease: (name) => this.objects.get(`leases/${name}`) as GatewayLease | undefined,
      voterConfig: () => this.voters() ?? { version: 0, sets: [] },
      putLease: (lease) => this.#put('leases', lease.gateway, lease),
      putGatewayNode: (node) => this.#put('gatewayNodes', node.name, node),
    };
  }

  /** Agents of nodes that are no gateways, as far as their nodes are well. */
  #learnVoters(): void {
    const config = this.voters() ?? { version: 0, sets: [] };
    if (!this.apiUp) return;
    for (const gatewayNode of this.#gatewayNodes().values()) {
      const node = this.objects.get(`nodes/${gatewayNode.name}`) as NodeFacts | undefined;
      if (node?.ready !== true || Object.hasOwn(node.labels, GATEWAY_LABEL)) continue;
      if (this.#gateways.has(node.name) || gatewayNode.voterConfig.version === config.version) continue;
      this.#put('gatewayNodes', node.name, { ...gatewayNode, voterConfig: config });
    }
  }

  #put(collection: CollectionName, key: string, value: object): unknown {
    this.#version += 1;
    const version = String(this.#version);
    const stored =
      'egressIp' in value
        ? { ...value, egressIp: { ...(value.egressIp as object), uid: 'u', resourceVersion: version } }
        : collection === 'leases'
          ? { ...value, version }
          : { ...value, resourceVersion: version };
    this.objects.set(`${collection}/${key}`, stored);
    this.#inbox.push({ kind: 'upserted', collection, key, value: stored } as unknown as CollectionEvent);
    return stored;
  }

  #remove(collection: CollectionName, key: string): void {
    this.objects.delete(`${collection}/${key}`);
    this.#inbox.push({ kind: 'removed', collection, key });
  }

  #nodes(): ReadonlyMap<string, NodeFacts> {
    const nodes = [...this.objects].filter(([object]) => object.startsWith('nodes/'));
    return new Map(nodes.map(([object, value]) => [object.slice('nodes/'.length), value as NodeFacts]));
  }

  #gatewayNodes(): ReadonlyMap<string, GatewayNode> {
    return new Map(
      [...this.objects]
        .filter(([object]) => object.startsWith('gatewayNodes/'))
        .map(([object, value]) => [object.slice('gatewayNodes/'.length), value as GatewayNode]),
    );
  }

  #post(event: ControllerEvent): void {
    const now = { monotonicMs: this.nowMs, wallMs: WALL_AT_START_MS + this.nowMs };
    const { quarantineMs = 0, maxGatewaysLeaving = 1 } = this.#options;
    const settings = {
      routable: [],
      initialPorts: 512,
      quarantineMs,
      voterSettleMs: VOTER_SETTLE_MS,
      maxGatewaysLeaving,
    };
    const step = stepController(this.#state, event, { settings, now });
    this.#state = step.state;
    for (const effect of step.effects) this.#perform(effect);
  }

  #perform(effect: ControllerEffect): void {
    switch (effect.kind) {
      case 'record-event':
        this.events.push(effect);
        return;
      case 'count-move':
        this.moves.push(effect);
        return;
      case 'wake-at':
        return;
      case 'read-object': {
        const { collection, key } = effect;
        const value = this.objects.get(`${collection}/${key}`);
        const found = value === undefined ? { kind: 'absent' } : { kind: 'present', value };
        const answer = this.#isRefused() ? { kind: 'failed' } : found;
        this.#inbox.push({ kind: 'answered', collection, key, answer } as RequestEvent);
        return;
      }
      default:
        this.#outbox.push(effect);
    }
  }

  #write(effect: WriteEffect): void {
    this.written += 1;
    const { collection, key } = targetOf(effect);
    if (this.#isRefused() || this.#options.refuse?.(effect) === true) {
      this.#inbox.push({ kind: 'answered', collection, key, answer: { kind: 'failed' } } as RequestEvent);
      return;
    }
    const lost = this.written % (this.#options.loseEachAnswer ?? Number.POSITIVE_INFINITY) === 0;
    const value = this.apiUp ? this.#apply(effect) : undefined;
    const answer = value === undefined || lost ? { kind: 'stale' } : { kind: 'present', value };
    this.#inbox.push({ kind: 'answered', collection, key, answer } as RequestEvent);
  }

  #isRefused(): boolean {
    this.#requests += 1;
    return this.#requests % (this.#options.refuseEach ?? Number.POSITIVE_INFINITY) === 0;
  }

  /** The object as it is stored then; undefined: a conflict, or it is gone. */
  #apply(effect: WriteEffect): unknown {
    const { collection, key } = targetOf(effect);
    const object = `${collection}/${key}`;
    const stored = this.objects.get(object);
    switch (effect.kind) {
      case 'create-egress-ip': {
        if (stored !== undefined) return undefined;
        this.#checkEpoch(effect.egressIp, (this.#epochs.get(key) ?? -1) + 1);
        return this.#put('egressIps', key, { egressIp: effect.egressIp, status: undefined });
      }
      case 'replace-egress-ip':
      case 'write-egress-ip-status':
      case 'remove-egress-ip': {
        const kept = stored as EgressIpObject | undefined;
        if (kept?.egressIp.resourceVersion !== effect.egressIp.resourceVersion) return undefined;
        if (effect.kind === 'replace-egress-ip') {
          this.#checkEpoch(effect.egressIp, kept.egressIp.epoch);
          return this.#put('egressIps', key, { ...kept, egressIp: effect.egressIp });
        }
        if (effect.kind === 'write-egress-ip-status')
          return this.#put('egressIps', key, { ...kept, status: effect.status });
        this.#remove('egressIps', key);
        return undefined;
      }
      case 'remove-gateway-node':
        if (stored !== undefined) this.#remove('gatewayNodes', key);
        return undefined;
      case 'write-policy-status':
      case 'write-finalizers': {
        const kept = stored as PolicyObject | undefined;
        if (kept?.resourceVersion !== effect.resourceVersion) return undefined;
        if (effect.kind === 'write-policy-status')
          return this.#put(collection, key, { ...kept, status: effect.status });
        if (!kept.deleting || effect.finalizers.length > 0)
          return this.#put(collection, key, { ...kept, finalizers: effect.finalizers });
        this.#remove(collection, key);
        return undefined;
      }
      case 'write-voters': {
        const kept = stored as VotersObject | undefined;
        if ((kept?.resourceVersion ?? '') !== effect.resourceVersion) return undefined;
        this.#checkVoters(kept?.config, effect.config);
        return this.#put('voters', key, { config: effect.config });
      }
      default:
        return effect satisfies never;
    }
  }

  #checkEpoch({ name, epoch }: EgressIp, least: number): void {
    if (epoch < least)
      this.violations.push(`${this.nowMs} ms: the epoch of ${name} is ${epoch} and had to be ${least}`);
    this.#epochs.set(name, epoch);
  }

  /** From one set to a joint configuration that differs by one voter, and from there to the second set alone. */
  #checkVoters(before: VoterConfig | undefined, after: VoterConfig): void {
    const [old = [], next] = after.sets;
    if (before === undefined) {
      if (next === undefined && old.length > 0) return;
    } else if (before.sets.length === 1) {
      const gone = old.filter((voter) => next?.includes(voter) !== true);
      const come = (next ?? []).filter((voter) => !old.includes(voter));
      const one = gone.length <= 1 && come.length <= 1 && gone.length + come.length > 0;
      if (`${old}` === `${before.sets[0]}` && after.version === before.version + 1)
        if (next !== undefined && next.length > 0 && one) return;
    } else if (
      `${old}` === `${before.sets[1]}` &&
      next === undefined &&
      after.version === before.version + 1
    ) {
      return;
    }
    const [from, to] = [before, after].map((it) => JSON.stringify(it));
    this.violations.push(`${this.nowMs} ms: voters went from ${from} to ${to}`);
  }

  #check(): void {
    for (const { egressIp } of this.egressIps()) {
      const answering = this.answering(formatAddress(egressIp.address));
      if (answering.length > 1)
        this.violations.push(`${this.nowMs} ms: ${egressIp.name} is answered by ${answering.join(' and ')}`);
      const taken = new Set<number>();
      for (const { first, last } of [...egressIp.blocks, ...egressIp.resting]) {
        for (let port = first; port <= last; port += 64) {
          if (taken.has(port))
            this.violations.push(`${this.nowMs} ms: port ${port} of ${egressIp.name} has two holders`);
          taken.add(port);
        }
      }
    }
    const named = new Set(
      this.egressIps().flatMap(({ egressIp }) => egressIp.policies.map(({ uid }) => uid)),
    );
    for (const uid of named)
      for (const other of named)
        if (uid < other && this.#conflict(uid, other))
          this.violations.push(`${this.nowMs} ms: ${uid} and ${other} are both programmed`);
  }

  #conflict(a: string, b: string): boolean {
    const pools = (uid: string) =>
      [...this.objects.values()].flatMap((value) => {
        const object = value as Partial<PolicyObject>;
        return object.uid === uid && object.parsed?.kind === 'ok' ? object.parsed.value.pools : [];
      });
    return pools(a).some((mine) =>
      pools(b).some(
        (theirs) =>
          mine.range.first <= theirs.range.last &&
          theirs.range.first <= mine.range.last &&
          !(mine.shared && theirs.shared),
      ),
    );
  }
}

const COLLECTIONS: readonly CollectionName[] = [
  'CiliumEgressGatewayPolicy',
  'EgressPolicy',
  'nodes',
  'gatewayNodes',
  'egressIps',
  'leases',
  'voters',
];

/** `203.0.113.x` for each x; a policy of the kind EgressPolicy. */
export function policyOf(
  name: string,
  hosts: readonly number[],
  change: Partial<Policy> & { readonly createdAtMs?: number; readonly shared?: boolean } = {},
): Policy {
  const { createdAtMs = 1000, shared = false, ...rest } = change;
  return {
    ref: { kind: 'EgressPolicy', name, uid: `uid-${name}`, createdAtMs },
    generation: 1,
    deleting: false,
    selectors: [],
    destinations: [],
    excluded: [],
    pools: hosts.map((host, index) => {
      const value = 0xcb007100n + BigInt(host);
      return {
        range: { family: 4, first: value, last: value },
        shared,
        text: `203.0.113.${host}/32`,
        path: `spec.egressGateway.ippools[${index}].cidr`,
      };
    }),
    strategy: 'Distribute',
    affinity: 'Pod',
    failureMode: 'Closed',
    returnPolicy: 'Stay',
    returnAfterMs: 300_000,
    ...rest,
  };
}

export function address(host: number) {
  return makeAddress(4, 0xcb007100n + BigInt(host));
}
