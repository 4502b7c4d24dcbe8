/** Datagrams between nodes: lost, late, doubled, out of order; ways cut or slow in one direction. */
import type { PeerMessage } from '../../../failover/core/ownership/messages.ts';
import type { Draws, Stream } from './draws.ts';
import type { EventQueue } from './eventQueue.ts';

/** What a switch and two stacks take, at the least. */
const LEAST_DELAY_MS = 0.1;

export interface Weather {
  readonly loss: number;
  readonly delayMs: number;
  readonly doubled: number;
}

/** A way with a long queue on it. */
export interface Slowness {
  readonly leastMs: number;
  readonly mostMs: number;
  /** One queue keeps the order, several do not. */
  readonly inOrder: boolean;
}

export const CLEAR: Weather = { loss: 0, delayMs: 0.4, doubled: 0 };

export class Network {
  weather: Weather = CLEAR;
  readonly #queue: EventQueue;
  readonly #chance: Stream;
  readonly #delay: Stream;
  /** `from * nodes + to` → how many faults cut this way. */
  readonly #cuts: Uint8Array;
  readonly #slow = new Map<number, { readonly slowness: Slowness; lastMs: number }>();
  readonly #nodes: number;
  readonly #deliver: (from: number, to: number, message: PeerMessage) => void;

  constructor(options: {
    readonly queue: EventQueue;
    readonly draws: Draws;
    readonly nodes: number;
    readonly deliver: (from: number, to: number, message: PeerMessage) => void;
  }) {
    this.#queue = options.queue;
    this.#chance = options.draws.draw('loss');
    this.#delay = options.draws.draw('delay');
    this.#nodes = options.nodes;
    this.#cuts = new Uint8Array(options.nodes * options.nodes);
    this.#deliver = options.deliver;
  }

  cut(from: number, to: number, by: 1 | -1): void {
    const way = from * this.#nodes + to;
    this.#cuts[way] = (this.#cuts[way] ?? 0) + by;
  }

  /** @param slowness undefined: as fast as the weather */
  slow(from: number, to: number, slowness: Slowness | undefined): void {
    const way = from * this.#nodes + to;
    if (slowness === undefined) this.#slow.delete(way);
    else this.#slow.set(way, { slowness, lastMs: 0 });
  }

  send(from: number, to: number, message: PeerMessage): void {
    const { loss, doubled } = this.weather;
    // An agent that is voter and gateway talks to itself through the loopback.
    if (from !== to && ((this.#cuts[from * this.#nodes + to] ?? 0) > 0 || this.#chance.chance(loss))) return;
    this.#transmit(from, to, message);
    if (from !== to && this.#chance.chance(doubled)) this.#transmit(from, to, message);
  }

  #transmit(from: number, to: number, message: PeerMessage): void {
    const delayMs = from === to ? 0.02 : LEAST_DELAY_MS + this.#delay.next() * this.weather.delayMs;
    this.#queue.at(this.#arrivalMs(from, to, delayMs), () => this.#deliver(from, to, message));
  }
  #arrivalMs(from: number, to: number, delayMs: number): number {
    const arrivalMs = this.#queue.nowMs + delayMs;
    const way = this.#slow.size === 0 ? undefined : this.#slow.get(from * this.#nodes + to);
    if (way === undefined) return arrivalMs;
    const { leastMs, mostMs, inOrder } = way.slowness;
    const lateMs = arrivalMs + this.#delay.between(leastMs, mostMs);
    if (!inOrder) return lateMs;
    way.lastMs = Math.max(way.lastMs, lateMs);
    return way.lastMs;
  }
}
