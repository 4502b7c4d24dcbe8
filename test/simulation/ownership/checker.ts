/**
 * Looks at the world, never at what anybody believes: which kernels answer, what voters really granted and stated. What
 * must always hold is checked whenever something of it changed; time alone only ends what a kernel answers.
 *
 * S1 at most one kernel answers for an address. S2 whoever answers hangs on a heartbeat that a majority granted, and no
 * majority calls its session dead meanwhile. S3 rights in use never go back for an address, nor do epochs in the API. S4
 * what a kernel answers by runs out within L + 2g of the heartbeat's sending.
 */
import { KERNEL_TIMER_MS } from '../../../failover/core/ownership/durations.ts';
import {
  compareRights,
  type DeadTable,
  type PeerMessage,
  type Right,
} from '../../../failover/core/ownership/messages.ts';
import { hasMajority, type VoterConfig } from '../../../failover/core/ownership/voterConfig.ts';
import type { Change } from './apiModel.ts';
import { beatKey } from './beatKey.ts';
import type { EventQueue } from './eventQueue.ts';
import type { SimNode } from './simNode.ts';

export type Rule = 'S1' | 'S2' | 'S3' | 'S4' | 'S6' | 'L1' | 'L2' | 'L3';

export class Violation extends Error {
  readonly rule: Rule;
  readonly atMs: number;
  /** Two answer after etcd was restored: what decision 0016 says is left. */
  readonly isAfterRestore: boolean;

  constructor(rule: Rule, atMs: number, story: string, isAfterRestore = false) {
    super(`${rule} at ${atMs.toFixed(1)} ms: ${story}`);
    this.rule = rule;
    this.atMs = atMs;
    this.isAfterRestore = isAfterRestore;
  }
}

export interface Answered {
  readonly atMs: number;
  readonly address: string;
  readonly from: string | undefined;
  readonly to: string;
}

/** Sums of floating point times. */
const EPSILON_MS = 0.01;
const SENT_KEPT = 64;
const NOTHING: DeadTable = {};

export class Checker {
  nodes: readonly SimNode[] = [];
  /** Every change of who answers. */
  readonly answered: Answered[] = [];
  /** How long a thawed machine answered beside another, milliseconds. */
  readonly thawOverlaps: number[] = [];
  readonly #queue: EventQueue;
  readonly #sessionMs: number;
  #config: VoterConfig = { version: 0, sets: [] };
  readonly #configs = new Map<number, VoterConfig>();
  #wasRestored = false;
  readonly #epochs = new Map<string, number>();
  readonly #answerer = new Map<string, string>();
  readonly #highest = new Map<string, Right>();
  /** `node address` → the right by which it was armed there last. */
  readonly #rights = new Map<string, Right>();
  /** Gateway → session → voter → the highest heartbeat that it granted. */
  readonly #grants = new Map<string, Map<number, Map<string, number>>>();
  /** Voter → what it calls dead, as it last said. */
  readonly #stated = new Map<string, DeadTable>();
  /** Gateway → its heartbeat → when it left. */
  readonly #sent = new Map<string, Map<number, number>>();

  constructor(queue: EventQueue, sessionMs: number) {
    this.#queue = queue;
    this.#sessionMs = sessionMs;
  }

  apiCommitted(change: Change): void {
    if (change.kind === 'voters' && change.value.version >= this.#config.version) {
      this.#config = change.value;
      this.#configs.set(change.value.version, change.value);
    }
    if (change.kind !== 'ip' || change.value === undefined) return;
    const { name, epoch } = change.value;
    const known = this.#epochs.get(name) ?? 0;
    if (epoch < known) throw this.#broken('S3', `the API has ${name} at epoch ${epoch} after ${known}`);
    this.#epochs.set(name, epoch);
  }

  /**
   * What stands in it may be of any age from here on. Where whoever knew has gone or is not heard, epochs and numbers of
   * sessions are given again: of S3 nothing is left then. That two do not answer at once holds all the same.
   */
  apiRestored(): void {
    this.#epochs.clear();
    this.#sent.clear();
    this.#wasRestored = true;
  }

  sent(node: SimNode, to: string, message: PeerMessage): void {
    if (message.kind === 'heartbeat') {
      const sent = entryOf(this.#sent, node.name, () => new Map<number, number>());
      const key = beatKey(message.session, message.seq);
      if (sent.has(key)) return;
      sent.set(key, this.#queue.nowMs);
      if (sent.size > SENT_KEPT) for (const oldest of sent.keys()) return void sent.delete(oldest);
      return;
    }
    if (message.kind !== 'answer' && message.kind !== 'statements') return;
    if (message.kind === 'answer' && message.verdict.kind === 'granted') {
      const { session, seq } = message.echo;
      const sessions = entryOf(this.#grants, to, () => new Map<number, Map<string, number>>());
      const grants = entryOf(sessions, session, () => new Map<string, number>());
      if (seq > (grants.get(node.name) ?? 0)) grants.set(node.name, seq);
    }
    const before = this.#stated.get(node.name) ?? NOTHING;
    this.#stated.set(node.name, message.dead);
    for (const gateway of Object.keys(message.dead))
      if ((message.dead[gateway] ?? 0) > (before[gateway] ?? 0)) this.#checkCalledDead(gateway);
  }

  /** Its process is gone, or it is no voter any more: what it said runs out. */
  silenced(node: SimNode): void {
    this.#stated.delete(node.name);
  }

  armed(node: SimNode, address: string, right: Right): void {
    this.#rights.set(`${node.name} ${address}`, right);
    if (node.kernel.answers(address)) this.#checkRight(node, address);
  }

  kernelChanged(node: SimNode): void {
    for (const address of node.kernel.armed.keys()) {
      const until = node.kernel.answersUntil(address);
      if (until > 0) this.#checkAnswer(node, address, until);
    }
  }

  answerersOf(address: string): readonly SimNode[] {
    return this.nodes.filter((node) => node.kernel.answers(address));
  }

  /** Somebody on the segment asks who has the address: whoever answers this one request. */
  asked(address: string): readonly SimNode[] {
    const answerers = this.answerersOf(address);
    const [first, second] = answerers.filter((node) => !this.isThawed(node));
    if (first !== undefined && second !== undefined)
      throw this.#broken('S1', `${first.name} and ${second.name} answer one request for ${address}`);
    return answerers;
  }

  #checkAnswer(node: SimNode, address: string, until: number): void {
    if (this.isThawed(node)) return this.#noteThaw(node, address, until);
    for (const other of this.nodes) {
      if (other === node || !other.kernel.answers(address)) continue;
      if (this.isThawed(other)) this.#noteThaw(other, address, other.kernel.answersUntil(address));
      else throw this.#broken('S1', `${node.name} and ${other.name} answer for ${address}`);
    }
    this.#checkGranted(node, address, until);
    this.#checkCalledDead(node.name);
    this.#checkRight(node, address);
    const from = this.#answerer.get(address);
    if (from === node.name) return;
    this.#answerer.set(address, node.name);
    this.answered.push({ atMs: this.#queue.nowMs, address, from, to: node.name });
  }

  #checkGranted(node: SimNode, address: string, until: number): void {
    const by = node.kernel.answersBy(address);
    if (by === undefined) return;
    const { session, seq } = by;
    const grants = this.#grants.get(node.name)?.get(session);
    const config = node.agent?.worker.state.voter.config ?? this.#config;
    if (
      !hasMajority(config, (voter) => (grants?.get(voter) ?? 0) >= seq) &&
      !this.#wasEnough(config, grants, seq)
    )
      throw this.#broken('S2', `${node.name} answers by ${session}.${seq}, which no majority granted`);
    const sentMs = this.#sent.get(node.name)?.get(beatKey(session, seq));
    const lifeMs = (this.#sessionMs + 2 * KERNEL_TIMER_MS) / node.clock.rate;
    if (sentMs !== undefined && until > sentMs + lifeMs + EPSILON_MS)
      throw this.#broken(
        'S4',
        `${node.name} answers until ${until.toFixed(1)} by a heartbeat of ${sentMs.toFixed(1)}`,
      );
  }

  /** A configuration may have been learned between the grant and the command: then the one before it counted. */
  #wasEnough(
    { version }: VoterConfig,
    grants: ReadonlyMap<string, number> | undefined,
    seq: number,
  ): boolean {
    const before = this.#configs.get(version - 1);
    return before !== undefined && hasMajority(before, (voter) => (grants?.get(voter) ?? 0) >= seq);
  }

  #checkCalledDead(gateway: string): void {
    const node = this.nodes.find(({ name }) => name === gateway);
    if (node === undefined || this.isThawed(node)) return;
    for (const [address, session] of node.kernel.armed) {
      if (!node.kernel.answers(address)) continue;
      if (hasMajority(this.#config, (voter) => (this.#stated.get(voter)?.[gateway] ?? 0) >= session))
        throw this.#broken(
          'S2',
          `${gateway} answers for ${address}, and a majority calls session ${session} dead`,
        );
    }
  }

  #checkRight(node: SimNode, address: string): void {
    const right = this.#rights.get(`${node.name} ${address}`);
    if (right === undefined || this.#wasRestored || this.isThawed(node)) return;
    const highest = this.#highest.get(address);
    if (highest !== undefined && compareRights(right, highest) < 0)
      throw this.#broken(
        'S3',
        `${node.name} answers for ${address} by ${show(right)} after ${show(highest)}`,
      );
    this.#highest.set(address, right);
  }

  /** It may go on by a grant of before it froze: its clocks know of no pause. */
  isThawed({ kernel }: SimNode): boolean {
    return this.#queue.nowMs < kernel.thawedAtMs + (this.#sessionMs + 2 * KERNEL_TIMER_MS) * 1.0102;
  }

  #noteThaw(node: SimNode, address: string, until: number): void {
    if (this.answerersOf(address).length < 2) return;
    this.thawOverlaps.push(until - this.#queue.nowMs);
    const bound = (this.#sessionMs + 2 * KERNEL_TIMER_MS) / node.clock.rate;
    if (until - this.#queue.nowMs > bound + EPSILON_MS)
      throw this.#broken(
        'S1',
        `${node.name} answers for ${address} longer than ${bound.toFixed(0)} ms after it thawed`,
      );
  }

  #broken(rule: Rule, story: string): Violation {
    return new Violation(rule, this.#queue.nowMs, story, rule === 'S1' && this.#wasRestored);
  }
}

function show({ epoch, index }: Right): string {
  return `(${epoch}, ${index})`;
}

function entryOf<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}
