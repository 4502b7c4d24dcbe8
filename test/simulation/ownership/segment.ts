/**
 * The segment of the uplinks, as those outside see it: hosts that ask who has an address, and a router that remembers
 * who has it. It asks seldom, so that it is the announcements that have to tell it of a move. Whoever spoke last counts,
 * also where an older word was longer on its way. What the peers' network suffers is not this one's.
 */
import type { Checker } from './checker.ts';
import type { Coverage } from './coverage.ts';
import type { Draws, Stream } from './draws.ts';
import type { EventQueue } from './eventQueue.ts';
import type { SimNode } from './simNode.ts';

const HOSTS_ASK_MS = { least: 20, most: 400 } as const;
/** Linux: base_reachable_time of 30 s, between half of it and one and a half. */
const ROUTER_ASKS_MS = { least: 15_000, most: 45_000 } as const;
/** Linux: retrans_time, while it knows nobody. */
const ROUTER_SEEKS_MS = 1000;
const DELAY_MS = { least: 0.1, most: 20 } as const;
const LOSS = 0.02;

export class Segment {
  readonly #queue: EventQueue;
  readonly #checker: Checker;
  readonly #coverage: Coverage;
  readonly #chance: Stream;
  readonly #known = new Map<string, SimNode>();
  /** Addresses of which a thawed machine had the last word. */
  readonly #misled = new Set<string>();

  constructor(options: {
    readonly queue: EventQueue;
    readonly draws: Draws;
    readonly checker: Checker;
    readonly coverage: Coverage;
  }) {
    this.#queue = options.queue;
    this.#checker = options.checker;
    this.#coverage = options.coverage;
    this.#chance = options.draws.draw('segment');
  }

  start(addresses: readonly string[]): void {
    for (const address of addresses) {
      this.#hostsAsk(address);
      this.#routerAsks(address);
    }
  }

  /** Where the router sends the address's packets. */
  routeOf(address: string): SimNode | undefined {
    return this.#known.get(address);
  }

  /** It was told wrong by a machine that could not know better, and by nobody since. */
  isMisled(address: string): boolean {
    return this.#misled.has(address);
  }

  /** Leaves the node only if its kernel answers for the address. */
  announce(node: SimNode, address: string): void {
    if (!node.kernel.answers(address)) return this.#coverage.hit('segment: announcement fenced');
    const known = this.#known.get(address);
    if (known !== undefined && known !== node) this.#coverage.hit('segment: announced to a router that errs');
    this.#tell(node, address);
  }

  #tell(node: SimNode, address: string): void {
    if (this.#chance.chance(LOSS)) return;
    const thawed = this.#checker.isThawed(node);
    this.#queue.after(this.#chance.between(DELAY_MS.least, DELAY_MS.most), () => {
      this.#known.set(address, node);
      if (thawed) this.#misled.add(address);
      else this.#misled.delete(address);
    });
  }

  #hostsAsk(address: string): void {
    this.#queue.after(this.#chance.between(HOSTS_ASK_MS.least, HOSTS_ASK_MS.most), () => {
      if (this.#checker.asked(address).length > 0) this.#coverage.hit('segment: answered');
      this.#hostsAsk(address);
    });
  }

  #routerAsks(address: string): void {
    const { least, most } = ROUTER_ASKS_MS;
    const delayMs = this.#known.has(address) ? this.#chance.between(least, most) : ROUTER_SEEKS_MS;
    this.#queue.after(delayMs, () => {
      for (const node of this.#checker.asked(address)) this.#tell(node, address);
      this.#routerAsks(address);
    });
  }
}
