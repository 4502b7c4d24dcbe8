/**
 * Agents' ownership cores joined by a network without surprises: packets take a millisecond, kernel commands another, and
 * all clocks agree. What a test wants to go wrong it says. The kernels interpret their commands: `answering` is what
 * would go out on the wire at this moment.
 */
import type { SessionRef } from '../../failover/core/egressIp.ts';
import type { Assignment } from '../../failover/core/ownership/assignment.ts';
import { type Durations, deriveDurations } from '../../failover/core/ownership/durations.ts';
import type { PeerMessage } from '../../failover/core/ownership/messages.ts';
import { ownershipWakeMs, stepOwnership } from '../../failover/core/ownership/ownershipCore.ts';
import {
  initialOwnership,
  type OwnershipEffect,
  type OwnershipEvent,
  type OwnershipState,
} from '../../failover/core/ownership/ownershipState.ts';

const PACKET_MS = 1;
const COMMAND_MS = 1;
/** Steps of one node within a millisecond: beyond it somebody is woken for nothing. */
const STEPS_PER_MS_MAX = 200;

export type Timeless = OwnershipEvent extends infer E
  ? E extends unknown
    ? Omit<E, 'nowMs'>
    : never
  : never;
export type GuardCommand = Extract<OwnershipEffect, { readonly kind: 'beat' | 'grant' | 'arm' | 'disarm' }>;

/** The guard of one uplink: address → session → granted lately, and heartbeats whose grant would count. */
export class GuardKernel {
  readonly sessionOf = new Map<string, number>();
  readonly sentAtMs = new Map<string, number>();
  readonly validUntilMs = new Map<number, number>();

  flush(): void {
    for (const map of [this.sessionOf, this.sentAtMs, this.validUntilMs]) map.clear();
  }

  run(command: GuardCommand, nowMs: number, { windows }: Durations): void {
    switch (command.kind) {
      case 'beat':
        this.sentAtMs.set(`${command.session}.${command.seq}`, nowMs);
        return;
      case 'grant': {
        const sentMs = this.sentAtMs.get(`${command.session}.${command.seq}`) ?? Number.NEGATIVE_INFINITY;
        const window = windows.find(({ withinMs }) => nowMs < sentMs + withinMs);
        if (window !== undefined) this.validUntilMs.set(command.session, nowMs + window.answerMs);
        return;
      }
      case 'arm':
        this.sessionOf.set(command.address, command.session);
        return;
      case 'disarm':
        this.sessionOf.delete(command.address);
        return;
      default:
        command satisfies never;
    }
  }

  answers(address: string, nowMs: number): boolean {
    return nowMs < (this.validUntilMs.get(this.sessionOf.get(address) ?? 0) ?? 0);
  }
}

interface Node {
  state: OwnershipState;
  running: boolean;
  readonly kernel: GuardKernel;
  /** What left the core for somebody else than the network and the kernel. */
  readonly said: OwnershipEffect[];
}

export class OwnershipNetwork {
  nowMs = 1000;
  readonly durations: Durations;
  readonly nodes = new Map<string, Node>();
  /** Every packet that was sent, lost ones too. */
  readonly packets: { readonly from: string; readonly to: string; readonly message: PeerMessage }[] = [];
  /** True: it is lost. */
  loses: (from: string, to: string, message: PeerMessage) => boolean = () => false;
  /** What becomes of a kernel command; `lost`: it takes effect and its outcome says otherwise. */
  fate: (node: string, command: GuardCommand) => 'ok' | 'refused' | 'lost' = () => 'ok';
  #due: { readonly atMs: number; readonly run: () => void }[] = [];

  constructor(names: readonly string[], durations = deriveDurations({ heartbeatMs: 25, sessionMs: 200 })) {
    this.durations = durations;
    for (const node of names) this.start(node);
  }

  node(name: string): Node {
    const node = this.nodes.get(name);
    if (node === undefined) throw new Error(`there is no node ${name}`);
    return node;
  }

  /** Its agent knows nothing, and its kernel answers for nothing. */
  start(name: string): void {
    const [incarnation, durations] = [`${name}-${this.nowMs}`, this.durations];
    const state = initialOwnership({ node: name, durations, incarnation, nowMs: this.nowMs });
    this.nodes.set(name, { state, running: true, kernel: new GuardKernel(), said: [] });
  }

  state(name: string): OwnershipState {
    return this.node(name).state;
  }

  /** To every node, or to those named. */
  tell(event: Timeless, names: Iterable<string> = this.nodes.keys()): void {
    for (const name of [...names]) this.#step(name, event);
  }

  assign(assignments: readonly Assignment[], names?: Iterable<string>): void {
    this.tell({ kind: 'assigned', assignments: new Map(assignments.map((it) => [it.address, it])) }, names);
  }

  /** As an agent does: flush, then a session. */
  open({ gateway, session }: SessionRef): void {
    this.node(gateway).kernel.flush();
    this.tell({ kind: 'opened', session, boot: `${gateway}-${session}` }, [gateway]);
  }

  /** Power cut: what is in its kernel and under way is gone. */
  kill(name: string): void {
    const node = this.node(name);
    node.running = false;
    node.kernel.flush();
  }

  /** The agent stops where it is, its kernel does not. */
  freeze(name: string): void {
    this.node(name).running = false;
  }

  cut(...names: readonly string[]): void {
    this.loses = (from, to) => from !== to && names.includes(from) !== names.includes(to);
  }

  /** Who answers for it at this moment. */
  answering(address: string): readonly string[] {
    return [...this.nodes]
      .filter(([, { kernel }]) => kernel.answers(address, this.nowMs))
      .map(([name]) => name);
  }

  /** Packets of a kind so far, as `from→to`. */
  sent(kind: PeerMessage['kind']): readonly string[] {
    return this.packets.filter(({ message }) => message.kind === kind).map(({ from, to }) => `${from}→${to}`);
  }

  /** Until the moment comes, or time is up: then it throws. */
  runUntil(holds: () => boolean, withinMs: number): number {
    const startMs = this.nowMs;
    while (!holds()) {
      if (this.nowMs >= startMs + withinMs) throw new Error(`it did not come to be within ${withinMs} ms`);
      this.run(1);
    }
    return this.nowMs - startMs;
  }

  /** Millisecond by millisecond; two answering for one address, or a node woken for nothing, throws. */
  run(forMs: number): void {
    const endMs = this.nowMs + forMs;
    while (this.nowMs < endMs) {
      this.nowMs += 1;
      this.#carryOut();
      for (const name of this.nodes.keys()) this.#wake(name);
      this.#check();
    }
  }

  #carryOut(): void {
    // What is done now may bring more that is due now.
    for (;;) {
      const index = this.#due.findIndex(({ atMs }) => atMs <= this.nowMs);
      if (index < 0) return;
      this.#due.splice(index, 1)[0]?.run();
    }
  }

  #wake(name: string): void {
    for (let count = 0; this.node(name).running; count += 1) {
      const wakeMs = ownershipWakeMs(this.state(name));
      if (wakeMs === undefined || wakeMs > this.nowMs) return;
      if (count >= STEPS_PER_MS_MAX) throw new Error(`${name} is woken again and again at ${this.nowMs}`);
      this.#step(name, { kind: 'tick' });
      this.#carryOut();
    }
  }

  #check(): void {
    const addresses = [...this.nodes.values()].flatMap(({ kernel }) => [...kernel.sessionOf.keys()]);
    for (const address of new Set(addresses)) {
      const answering = this.answering(address);
      if (answering.length > 1) throw new Error(`${answering} answer for ${address} at ${this.nowMs}`);
    }
  }

  #step(name: string, event: Timeless): void {
    const node = this.node(name);
    if (!node.running) return;
    const step = stepOwnership(node.state, { ...event, nowMs: this.nowMs });
    node.state = step.state;
    for (const effect of step.effects) this.#perform(name, effect);
  }

  #after(ms: number, run: () => void): void {
    this.#due.push({ atMs: this.nowMs + ms, run });
  }

  #perform(name: string, effect: OwnershipEffect): void {
    switch (effect.kind) {
      case 'send': {
        const { to, message } = effect;
        this.packets.push({ from: name, to, message });
        if (this.loses(name, to, message) || !this.nodes.has(to)) return;
        return this.#after(name === to ? 0 : PACKET_MS, () =>
          this.#step(to, { kind: 'received', from: name, message: JSON.parse(JSON.stringify(message)) }),
        );
      }
      case 'beat':
      case 'grant':
      case 'arm':
      case 'disarm':
        return this.#after(COMMAND_MS, () => this.#command(name, effect));
      default:
        this.node(name).said.push(effect);
    }
  }

  #command(name: string, command: GuardCommand): void {
    const fate = this.fate(name, command);
    const node = this.node(name);
    if (!node.running) return;
    if (fate !== 'refused') node.kernel.run(command, this.nowMs, this.durations);
    const ok = fate === 'ok';
    const { session } = command;
    if (command.kind === 'grant') return;
    if (command.kind === 'beat')
      return this.#step(name, { kind: 'beat-done', session, seq: command.seq, ok });
    const kind = command.kind === 'arm' ? 'armed' : 'disarmed';
    return this.#step(name, { kind, address: command.address, session, ok });
  }
}
