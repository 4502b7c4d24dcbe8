/**
 * The gateways' side of the controller's world. Each decides with the agents' own code who answers: from the assignments
 * that it has read, what others state through the API and tell each other, and whom the voters called dead. Voters are one
 * oracle here (test/simulation/ownership has real ones): whoever was not heard for longer than its kernel may answer is
 * called dead, at one moment for everybody. A kernel command takes effect when it is asked for and is confirmed one step
 * later; a message takes one step. The Lease is renewed on the side.
 */

import type { AgentView } from '../../failover/core/agent/agentView.ts';
import { followNewest } from '../../failover/core/agent/lostAssignments.ts';
import { assignmentsOf, wordOf } from '../../failover/core/agent/ownershipInput.ts';
import { stateAddresses } from '../../failover/core/agent/stateAddresses.ts';
import type { GatewayLease } from '../../failover/core/controller/sessions.ts';
import type { EgressIp, SessionRef } from '../../failover/core/egressIp.ts';
import type { AddressStatement, GatewayNode } from '../../failover/core/gatewayNode.ts';
import {
  type AddressState,
  type AddressStep,
  becomeArmed,
  becomeDisarmed,
  becomeToldReleased,
  hearAsk,
  hearTold,
  reconcileAddress,
  SILENT,
} from '../../failover/core/ownership/addresses.ts';
import type { Assignment } from '../../failover/core/ownership/assignment.ts';
import { becomeProven, type Deaths, NO_DEATHS } from '../../failover/core/ownership/deaths.ts';
import type { Holding, Outgoing } from '../../failover/core/ownership/messages.ts';
import type { VoterConfig } from '../../failover/core/ownership/voterConfig.ts';
import { formatAddress, makeAddress } from '../../policy/address.ts';
import { makeCidr } from '../../policy/cidr.ts';

/** A gateway's kernel answers for so long after its last heartbeat. */
export const SESSION_MS = 200;
/** Voters that have not heard a session for so long call it dead. */
export const VERDICT_MS = 500;
/** What a gateway's Lease says of itself. */
export const LEASE_MS = 3000;
const RENEW_MS = 500;

/** What of the API server's objects gateways read and write. */
export interface GatewayApi {
  readonly up: boolean;
  egressIps(): ReadonlyMap<string, EgressIp>;
  gatewayNodes(): ReadonlyMap<string, GatewayNode>;
  nodes(): AgentView['nodes'];
  lease(gateway: string): GatewayLease | undefined;
  voterConfig(): VoterConfig;
  putLease(lease: GatewayLease): void;
  putGatewayNode(node: GatewayNode): void;
}

interface Gateway {
  readonly name: string;
  readonly capacity: number;
  ready: boolean;
  /** As its probes say. */
  healthy: boolean;
  /** Its processes run: it heartbeats, hears and acts. */
  alive: boolean;
  /** It reaches the API server, if that is up. */
  connected: boolean;
  closing: boolean;
  /** 0: none is open. */
  session: number;
  lastBeatMs: number;
  lastRenewMs: number;
  /** What it has read last. */
  egressIps: ReadonlyMap<string, EgressIp>;
  /** By address as text, of all that it ever read. */
  newest: ReadonlyMap<string, EgressIp>;
  gatewayNodes: ReadonlyMap<string, GatewayNode>;
  nodes: AgentView['nodes'];
  voters: VoterConfig;
  deaths: Deaths;
  addresses: ReadonlyMap<string, AddressState>;
  /** Kernel commands that are not confirmed yet. */
  commands: readonly {
    readonly kind: 'arm' | 'disarm';
    readonly address: string;
    readonly session: number;
  }[];
}

export class Gateways {
  readonly #api: GatewayApi;
  readonly #all = new Map<string, Gateway>();
  /** What the voters say: gateway → its highest session that is dead. */
  readonly #verdicts = new Map<string, number>();
  #mail: readonly Outgoing[] = [];

  constructor(api: GatewayApi) {
    this.#api = api;
  }

  /** Its first session is open already. */
  add(name: string, capacity: number, nowMs: number): void {
    this.#all.set(name, {
      name,
      capacity,
      ready: true,
      healthy: true,
      alive: true,
      connected: true,
      closing: false,
      session: 0,
      lastBeatMs: nowMs,
      lastRenewMs: nowMs,
      egressIps: new Map(),
      newest: new Map(),
      gatewayNodes: new Map(),
      nodes: new Map(),
      voters: { version: 0, sets: [] },
      deaths: NO_DEATHS,
      addresses: new Map(),
      commands: [],
    });
    const gateway = this.get(name);
    this.#open(gateway, nowMs);
    this.#report(gateway);
  }

  has(name: string): boolean {
    return this.#all.has(name);
  }

  get(name: string): Gateway {
    const gateway = this.#all.get(name);
    if (gateway === undefined) throw new Error(`Gateways: no gateway ${name}`);
    return gateway;
  }

  /** A new agent on the same node: it flushes the kernel and knows nothing. */
  restart(name: string): void {
    const gateway = this.get(name);
    flush(gateway);
    Object.assign(gateway, {
      alive: true,
      closing: false,
      addresses: new Map(),
      newest: new Map(),
      deaths: NO_DEATHS,
    });
  }

  /** Gateways whose kernels answer for the address now, if only for a command that is not confirmed yet. */
  answering(address: string, nowMs: number): readonly string[] {
    return [...this.#all.values()]
      .filter(({ session, lastBeatMs, addresses }) => {
        const { kind } = (addresses.get(address) ?? SILENT).kernel;
        return session !== 0 && nowMs < lastBeatMs + SESSION_MS && kind !== 'silent';
      })
      .map(({ name }) => name);
  }

  step(nowMs: number): void {
    for (const { name, session, lastBeatMs } of this.#all.values())
      if (nowMs >= lastBeatMs + VERDICT_MS) this.#callDead({ gateway: name, session });
    const mail = this.#mail;
    this.#mail = [];
    for (const gateway of this.#all.values()) {
      if (!gateway.alive) continue;
      const { name, session } = gateway;
      // The answer to its first heartbeat after the verdict says so.
      if (session > 0 && (this.#verdicts.get(name) ?? 0) >= session) flush(gateway);
      this.#act(
        gateway,
        mail.filter(({ to }) => to === name),
        nowMs,
      );
    }
  }

  #callDead({ gateway, session }: SessionRef): void {
    this.#verdicts.set(gateway, Math.max(session, this.#verdicts.get(gateway) ?? 0));
  }

  #act(gateway: Gateway, mail: readonly Outgoing[], nowMs: number): void {
    const reachesApi = this.#api.up && gateway.connected;
    if (reachesApi) {
      gateway.egressIps = this.#api.egressIps();
      gateway.newest = followNewest(gateway.newest, textsOf(gateway.egressIps));
      gateway.gatewayNodes = this.#api.gatewayNodes();
      gateway.nodes = this.#api.nodes();
      gateway.voters = this.#api.voterConfig();
    }
    if (gateway.session === 0) {
      if (reachesApi) this.#report(gateway);
      if (reachesApi) this.#open(gateway, nowMs);
      return;
    }
    gateway.lastBeatMs = nowMs;
    this.#callDead({ gateway: gateway.name, session: gateway.session - 1 });
    this.#decide(gateway, mail, nowMs);
    if (!reachesApi) return;
    this.#report(gateway);
    if (gateway.closing && [...gateway.addresses.values()].every(({ kernel }) => kernel.kind === 'silent'))
      this.#close(gateway);
    else if (nowMs - gateway.lastRenewMs >= RENEW_MS) this.#renew(gateway, nowMs);
  }

  /** The Lease is won with a number above every one that was used. */
  #open(gateway: Gateway, nowMs: number): void {
    gateway.session = 1 + (this.#api.lease(gateway.name)?.session ?? 0);
    gateway.lastBeatMs = nowMs;
    this.#renew(gateway, nowMs);
  }

  #renew(gateway: Gateway, nowMs: number): void {
    gateway.lastRenewMs = nowMs;
    this.#putLease(gateway, true);
  }

  #putLease({ name, session }: Gateway, holding: boolean): void {
    this.#api.putLease({ gateway: name, session, holding, durationMs: LEASE_MS, version: '' });
  }

  /** Nothing of the session answers any more: the voters hear it first. */
  #close(gateway: Gateway): void {
    this.#callDead({ gateway: gateway.name, session: gateway.session });
    this.#putLease(gateway, false);
    gateway.session = 0;
    gateway.alive = false;
  }

  #decide(gateway: Gateway, mail: readonly Outgoing[], nowMs: number): void {
    const view = agentView(gateway);
    const word = wordOf(view);
    const verdicts = [...this.#verdicts].map(([name, session]) => ({ gateway: name, session }));
    gateway.deaths = becomeProven(gateway.deaths, [...verdicts, ...word.dead]);
    const self = { gateway: gateway.name, session: gateway.session };
    for (const { session, address, epoch } of word.released)
      this.#change(gateway, address, (it) => only(becomeToldReleased(it, session, epoch)));
    const { commands } = gateway;
    gateway.commands = [];
    for (const { kind, address, session } of commands) {
      const outcome = { address, session, ok: true };
      const confirm = kind === 'arm' ? becomeArmed : becomeDisarmed;
      this.#change(gateway, address, (it) => confirm(it, outcome, self));
    }
    for (const { message } of mail) {
      if (message.kind === 'ask') this.#change(gateway, message.address, (it) => hearAsk(it, message, self));
      if (message.kind === 'told')
        this.#change(gateway, message.address, (it) => only(hearTold(it, message)));
    }
    const assignments = assignmentsOf(gateway.newest, confirmedVersions(gateway));
    for (const name of new Set([...assignments.keys(), ...gateway.addresses.keys()]))
      this.#reconcile(gateway, { name, assignment: assignments.get(name), nowMs });
  }

  #reconcile(
    gateway: Gateway,
    about: { readonly name: string; readonly assignment: Assignment | undefined; readonly nowMs: number },
  ): void {
    const { name, assignment, nowMs } = about;
    const { session, closing, deaths } = gateway;
    const self = { gateway: gateway.name, session };
    const known = { self, valid: !closing, closing, deaths, nowMs };
    this.#change(gateway, name, (it) => reconcileAddress(it, assignment, { gateway: known, name }));
    // As settleAddresses.ts forgets.
    if (assignment !== undefined || gateway.addresses.get(name) !== SILENT) return;
    gateway.addresses = new Map([...gateway.addresses].filter(([other]) => other !== name));
  }

  #change(gateway: Gateway, name: string, by: (state: AddressState) => AddressStep): void {
    const step = by(gateway.addresses.get(name) ?? SILENT);
    gateway.addresses = new Map(gateway.addresses).set(name, step.state);
    gateway.commands = [...gateway.commands, ...step.effects];
    this.#mail = [...this.#mail, ...step.outgoing];
  }

  /** As reportNode.ts and wordOfOwnership say it. */
  #report(gateway: Gateway): void {
    const { name, capacity, ready, healthy, voters, deaths } = gateway;
    const session = gateway.closing ? 0 : gateway.session;
    const before = this.#api.gatewayNodes().get(name);
    const node: GatewayNode = {
      ...emptyGatewayNode(name),
      resourceVersion: before?.resourceVersion ?? '',
      session,
      capacity,
      dataPlaneReady: ready,
      healthy,
      healthMessage: healthy ? '' : 'its probes fail',
      onLink: [makeCidr(4, 0xcb007100n, 24), makeCidr(6, 0x20010db8n << 96n, 64)].map((cidr) => ({
        cidr,
        interfaceName: 'eth0',
      })),
      addresses: statements(gateway),
      dead: [...deaths.verdicts]
        .map(([other, dead]) => ({ gateway: other, session: dead }))
        .filter((it) => it.session >= (gateway.gatewayNodes.get(it.gateway)?.session ?? 0)),
      voterConfig: voters,
    };
    if (JSON.stringify(node, bigints) !== JSON.stringify(before, bigints)) this.#api.putGatewayNode(node);
  }
}

function only(state: AddressState): AddressStep {
  return { state, effects: [], outgoing: [] };
}

/** The kernel was flushed: nothing answers, and the session is over. What others told stays true. */
function flush(gateway: Gateway): void {
  gateway.session = 0;
  gateway.commands = [];
  gateway.addresses = new Map(
    [...gateway.addresses].map(([name, { released }]) => [name, { ...SILENT, released }]),
  );
}

function agentView({ name, egressIps, gatewayNodes, nodes }: Gateway): AgentView {
  return {
    node: name,
    self: { node: name, address: makeAddress(4, 0n), mac: '' },
    nodes,
    namespaces: new Map(),
    pods: new Map(),
    policies: new Map(),
    egressIps,
    gatewayNodes,
    serviceCidrs: [],
  };
}

/** Ports are in the kernel as soon as they are read. */
function confirmedVersions({ egressIps }: Gateway): ReadonlyMap<string, number> {
  return new Map([...egressIps.values()].map(({ name, blocksVersion }) => [name, blocksVersion]));
}

function statements(gateway: Gateway): readonly AddressStatement[] {
  const { name, session, egressIps, newest, addresses } = gateway;
  const byText = textsOf(egressIps);
  const holdings: Holding[] = [];
  const released = new Map<string, number>();
  for (const [address, { epoch }] of newest) {
    const { kernel, releasedEpoch } = addresses.get(address) ?? SILENT;
    if (kernel.kind === 'armed') holdings.push({ address, right: kernel.right, blocksVersion: 0 });
    if (kernel.kind === 'silent') released.set(address, Math.max(epoch, releasedEpoch));
  }
  const ownership = { session, holdings, released, dead: [], config: undefined };
  const known = {
    egressIps: byText,
    newest,
    heard: new Map(),
    ownership,
    confirmed: confirmedVersions(gateway),
  };
  return stateAddresses(name, known).flatMap((it) => {
    const egressIp = byText.get(it.address);
    return egressIp === undefined ? [] : [{ ...it, address: egressIp.address }];
  });
}

function textsOf(egressIps: Gateway['egressIps']): Gateway['newest'] {
  return new Map([...egressIps.values()].map((it) => [formatAddress(it.address), it]));
}

/** What an agent says of a node that is no gateway and has no pods. */
export function emptyGatewayNode(name: string): GatewayNode {
  return {
    name,
    uid: name,
    resourceVersion: '',
    session: 0,
    underlay: { address: makeAddress(4, 0xcb007101n), interfaceName: 'eth0', tunnelMac: '02:53:cb:00:71:01' },
    interfaces: [],
    onLink: [],
    nextHops: [],
    capacity: 0,
    dataPlaneReady: true,
    dataPlaneMessage: '',
    healthy: true,
    healthMessage: '',
    addresses: [],
    dead: [],
    voterConfig: { version: 0, sets: [] },
    demand: [],
    selected: [],
    versions: { agent: '', kernel: '', nftables: '' },
  };
}

function bigints(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}
