/**
 * The API server: objects with versions, writes by compare-and-swap, calls that are slow, refused, lost on either way or
 * carried out long after their caller gave up. What was committed stands in one log, which watches follow.
 */
import type { EgressIp } from '../../../failover/core/egressIp.ts';
import type { GatewayNode } from '../../../failover/core/gatewayNode.ts';
import type { VoterConfig } from '../../../failover/core/ownership/voterConfig.ts';
import type { Draws, Stream } from './draws.ts';
import type { EventQueue } from './eventQueue.ts';

export interface SimLease {
  readonly version: string;
  readonly session: number;
  readonly holding: boolean;
}

export type Change =
  | { readonly kind: 'ip'; readonly name: string; readonly value: EgressIp | undefined }
  | { readonly kind: 'node'; readonly name: string; readonly value: GatewayNode }
  | { readonly kind: 'lease'; readonly name: string; readonly value: SimLease | undefined }
  | { readonly kind: 'voters'; readonly value: VoterConfig }
  | { readonly kind: 'wanted'; readonly name: string; readonly value: boolean };

export interface ApiView {
  readonly ips: Map<string, EgressIp>;
  readonly nodes: Map<string, GatewayNode>;
  readonly leases: Map<string, SimLease>;
  readonly wanted: Set<string>;
  voters: VoterConfig;
  /** Grows with every change of `ips` and `nodes`. */
  revision: number;
}

export function emptyView(): ApiView {
  return {
    ips: new Map(),
    nodes: new Map(),
    leases: new Map(),
    wanted: new Set(),
    voters: { version: 0, sets: [] },
    revision: 0,
  };
}

export function applyChange(view: ApiView, change: Change): void {
  switch (change.kind) {
    case 'ip':
      view.revision += 1;
      if (change.value === undefined) view.ips.delete(change.name);
      else view.ips.set(change.name, change.value);
      return;
    case 'node':
      view.revision += 1;
      view.nodes.set(change.name, change.value);
      return;
    case 'lease':
      if (change.value === undefined) view.leases.delete(change.name);
      else view.leases.set(change.name, change.value);
      return;
    case 'voters':
      view.voters = change.value;
      return;
    case 'wanted':
      if (change.value) view.wanted.add(change.name);
      else view.wanted.delete(change.name);
      return;
    default:
      change satisfies never;
  }
}

/** Of a call: what the server said, that it was refused, or nothing, which may mean either. */
export type Answer<T> =
  | { readonly kind: 'answered'; readonly value: T }
  | { readonly kind: 'failed' | 'unknown' };

/** Callers give up after this. */
const DEADLINE_MS = 400;
/** A request that was kept on its way is carried out so late at the most. */
const LATE_MS = 2500;

export class ApiModel {
  readonly log: Change[] = [];
  readonly truth = emptyView();
  /** Probability that an answer is lost after the commit, and that a request is carried out late. */
  lostAnswers = 0;
  slow = 0;
  latency = { leastMs: 1, mostMs: 15 };
  /** Faults under way that make it refuse everybody. */
  outages = 0;
  /** Planted: a replace takes no notice of the version. */
  blind = false;
  onCommit: (change: Change) => void = () => undefined;
  onRestore: () => void = () => undefined;
  readonly #queue: EventQueue;
  readonly #latency: Stream;
  readonly #chance: Stream;
  #version = 0;

  constructor(queue: EventQueue, draws: Draws) {
    this.#queue = queue;
    this.#latency = draws.draw('api latency');
    this.#chance = draws.draw('api faults');
  }

  /** @param reachable false while the caller is cut off */
  call<T>(reachable: () => boolean, carryOut: () => T, done: (answer: Answer<T>) => void): void {
    const { leastMs, mostMs } = this.latency;
    const go = this.#latency.between(leastMs, mostMs) * (this.#chance.chance(this.slow) ? 10 : 1);
    const late = this.#chance.chance(this.slow);
    const lost = this.#chance.chance(this.lostAnswers);
    if (late) {
      this.#queue.after(this.#latency.between(DEADLINE_MS, LATE_MS), () => {
        if (this.outages === 0) carryOut();
      });
      return this.#queue.after(DEADLINE_MS, () => done({ kind: 'unknown' }));
    }
    this.#queue.after(go, () => {
      if (this.outages > 0 || !reachable()) {
        const refused = this.#chance.chance(0.5);
        return this.#queue.after(refused ? 1 : DEADLINE_MS, () =>
          done({ kind: refused ? 'failed' : 'unknown' }),
        );
      }
      const value = carryOut();
      if (lost) return this.#queue.after(DEADLINE_MS, () => done({ kind: 'unknown' }));
      this.#queue.after(this.#latency.between(leastMs, mostMs), () =>
        done(reachable() ? { kind: 'answered', value } : { kind: 'unknown' }),
      );
    });
  }

  commit(change: Change): void {
    this.log.push(change);
    applyChange(this.truth, change);
    this.onCommit(change);
  }

  /** The new version; undefined: it did not stand at the expected one. */
  writeLease(
    name: string,
    write: { readonly session: number; readonly holding: boolean; readonly version?: string },
  ): string | undefined {
    if (this.truth.leases.get(name)?.version !== write.version) return undefined;
    const version = this.#nextVersion();
    this.commit({ kind: 'lease', name, value: { session: write.session, holding: write.holding, version } });
    return version;
  }

  /** @param next built on the version that it carries; '' creates */
  writeIp(next: EgressIp): boolean {
    const standing = this.truth.ips.get(next.name);
    if (!this.blind && (standing?.resourceVersion ?? '') !== next.resourceVersion) return false;
    const value = { ...next, resourceVersion: this.#nextVersion() };
    this.commit({ kind: 'ip', name: next.name, value });
    return true;
  }

  removeIp(name: string, version: string): boolean {
    if (this.truth.ips.get(name)?.resourceVersion !== version) return false;
    this.commit({ kind: 'ip', name, value: undefined });
    return true;
  }

  /**
   * As when etcd is restored from a snapshot, so many changes old: all is that of then, under the versions of then. Only
   * that addresses are there or not is left as it is: policies would be restored with them. Versions go on from where they
   * are, as `etcdutl snapshot restore --bump-revision` has it.
   */
  restore(changes: number): void {
    const then = emptyView();
    for (const change of this.log.slice(0, Math.max(0, this.log.length - changes))) applyChange(then, change);
    const { truth } = this;
    this.onRestore();
    for (const [name, value] of then.ips)
      if (truth.ips.has(name) && truth.ips.get(name) !== value) this.commit({ kind: 'ip', name, value });
    for (const [name, value] of then.nodes)
      if (truth.nodes.get(name) !== value) this.commit({ kind: 'node', name, value });
    for (const name of new Set([...truth.leases.keys(), ...then.leases.keys()]))
      if (truth.leases.get(name) !== then.leases.get(name))
        this.commit({ kind: 'lease', name, value: then.leases.get(name) });
    if (then.voters.version !== truth.voters.version && then.voters.version > 0)
      this.commit({ kind: 'voters', value: then.voters });
  }

  writeVoters(next: VoterConfig, version: number): boolean {
    if (this.truth.voters.version !== version) return false;
    this.commit({ kind: 'voters', value: next });
    return true;
  }

  #nextVersion(): string {
    this.#version += 1;
    return String(this.#version);
  }
}
