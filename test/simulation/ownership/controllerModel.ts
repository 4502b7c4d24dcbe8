/**
 * A replica of the controller while it leads: decides orders from its own view, which may be behind, and writes what the
 * real planEgressIp makes of them, each by compare-and-swap. It also changes the set of voters, one at a time. Two may
 * believe to lead at once.
 */
import type { SessionProofs } from '../../../failover/core/controller/planEgressIp.ts';
import { awaitsWord, isLeftAlone } from '../../../failover/core/controller/restores.ts';
import type { EgressIp, SessionRef } from '../../../failover/core/egressIp.ts';
import { hasMajority, type VoterConfig } from '../../../failover/core/ownership/voterConfig.ts';
import type { Address } from '../../../policy/model.ts';
import type { ApiView } from './apiModel.ts';
import { ApiWatch } from './apiWatch.ts';
import { answererOf, decideOrder } from './decideOrder.ts';
import type { Stream } from './draws.ts';
import type { Ground } from './ground.ts';
import { isDeadSession, proofsIn } from './proofsIn.ts';
import { Thread } from './thread.ts';

/** Between looks at what changes by time alone. */
const LOOK_EVERY_MS = 100;
/** Planted: a Lease that stood still so long is taken for a death. */
const LEASE_STALE_MS = 4000;
const CREATE_LATE_MS = 400;
/** An address moves more seldom than this in the long run. */
const EPOCH_EVERY_MS = 10;

export class ControllerModel {
  leads = false;
  apiCuts = 0;
  readonly thread: Thread;
  readonly watch: ApiWatch;
  /** Addresses that people want to be somewhere else; taken up by whoever leads. */
  readonly moves = new Set<string>();
  readonly cordoned: Set<string>;
  voterWish: readonly string[] | undefined;
  readonly #ground: Ground;
  readonly #rate: number;
  readonly #pick: Stream;
  readonly #addressOf: (name: string) => Address;
  readonly #writing = new Set<string>();
  readonly #leaseSeen = new Map<string, { readonly version: string; readonly atMs: number }>();
  readonly #laterSince = new Map<string, number>();
  #settled: { readonly version: number; readonly atMs: number } | undefined;
  #writingVoters = false;

  constructor(
    ground: Ground,
    options: {
      readonly name: string;
      readonly cordoned: Set<string>;
      readonly addressOf: (name: string) => Address;
    },
  ) {
    this.#ground = ground;
    const { queue, draws, api } = ground;
    this.thread = new Thread(queue);
    this.#pick = draws.draw(`placement of ${options.name}`);
    this.#rate = 1 + draws.draw(`clock of ${options.name}`).between(-0.01, 0.01);
    this.cordoned = options.cordoned;
    this.#addressOf = options.addressOf;
    this.watch = new ApiWatch({
      api,
      queue,
      lag: draws.draw(`watch of ${options.name}`),
      reachable: () => this.apiCuts === 0,
      changed: () => this.thread.post(() => this.#reconcile()),
    });
  }

  start(): void {
    this.watch.start();
    this.#look();
  }

  #look(): void {
    this.#ground.queue.after(LOOK_EVERY_MS, () => {
      this.thread.post(() => this.#reconcile());
      this.#look();
    });
  }

  #reconcile(): void {
    if (!this.leads) return;
    const { view } = this.watch;
    this.#reconcileVoters(view);
    for (const name of new Set([...view.wanted, ...view.ips.keys()]))
      if (!this.#writing.has(name)) this.#reconcileAddress(view, name);
  }

  #reconcileAddress(view: ApiView, name: string): void {
    const { core, api, coverage } = this.#ground;
    const standing = view.ips.get(name);
    const current = standing ?? this.#blank(view, name);
    const wanted = view.wanted.has(name);
    if (standing === undefined && !wanted) return;
    if (standing !== undefined && !wanted && current.order.length === 0 && current.fence.length === 0) {
      coverage.hit('controller: address released');
      return this.#write(name, () => api.removeIp(name, current.resourceVersion));
    }
    const dead = (session: SessionRef): boolean =>
      isDeadSession(view, session) || this.#stoodStill(view, session);
    const order = wanted
      ? decideOrder(current, {
          view,
          cordoned: this.cordoned,
          pick: this.#pick,
          moves: this.moves,
          isDead: dead,
        })
      : [];
    const proofs = { ...proofsIn(view, current.address), isDead: dead };
    if (this.#isLeftAlone(current, view, proofs)) return coverage.hit('controller: waits for who answers');
    const next = core.planEgressIp(current, { owners: [], order, allocation: current }, proofs);
    if (standing !== undefined && next === current) return;
    const decidedMs = this.#ground.queue.nowMs;
    this.#write(name, () => {
      // A create compares with nothing: one that is carried out after a later object came and went would bring back an
      // older epoch. Left out as a known limit, it takes a request that is held up for seconds.
      if (standing === undefined && this.#ground.queue.nowMs > decidedMs + CREATE_LATE_MS) return false;
      const written = api.writeIp(next);
      if (written) this.#observe(standing, next);
      return written;
    });
  }

  #isLeftAlone(current: EgressIp, view: ApiView, proofs: SessionProofs): boolean {
    const { name } = current;
    const nowMs = this.#ground.queue.nowMs * this.#rate;
    const above = proofs.statedAbove(current);
    const answerer = answererOf(current, view);
    const isLive = view.nodes.get(answerer?.session.gateway ?? '')?.session === answerer?.session.session;
    const answeredEpoch = isLive ? answerer?.right.epoch : undefined;
    if (above === undefined || !awaitsWord(current, above, { ...proofs, answeredEpoch })) {
      this.#laterSince.delete(name);
      return false;
    }
    if (!this.#laterSince.has(name)) this.#laterSince.set(name, nowMs);
    return isLeftAlone(current, this.#laterSince, nowMs);
  }

  #blank(view: ApiView, name: string): EgressIp {
    const address = this.#addressOf(name);
    const stated = [...view.nodes.values()].flatMap(({ addresses }) =>
      addresses.filter((it) => it.address.value === address.value).map(({ epoch }) => epoch),
    );
    return {
      name,
      uid: '',
      resourceVersion: '',
      address,
      policies: [],
      epoch: Math.max(this.#firstEpoch(), ...stated),
      order: [],
      fence: [],
      blocksVersion: 0,
      blocks: [],
      resting: [],
    };
  }

  /** Above any that an object of this name may have had: nobody need remember it, where agents do for a while. */
  #firstEpoch(): number {
    return this.#ground.bug === 'epochs begin anew with a new object'
      ? 0
      : Math.floor(this.#ground.queue.nowMs / EPOCH_EVERY_MS);
  }

  #write(key: string, carryOut: () => boolean): void {
    const { api, coverage } = this.#ground;
    this.#writing.add(key);
    api.call(
      () => this.apiCuts === 0,
      carryOut,
      (answer) =>
        this.thread.post(() => {
          this.#writing.delete(key);
          if (answer.kind === 'answered' && !answer.value) coverage.hit('controller: conflict');
        }),
    );
  }

  #observe(before: EgressIp | undefined, next: EgressIp): void {
    const { coverage, trace } = this.#ground;
    if (trace !== undefined)
      trace(() => `API ${next.name} epoch ${next.epoch} order ${show(next.order)} fence ${show(next.fence)}`);
    if (before === undefined) return coverage.hit('controller: address created');
    if (next.epoch === before.epoch && next.order.length > before.order.length)
      coverage.hit('controller: standby appended in the same epoch');
    if (next.epoch === before.epoch && next.fence.length < before.fence.length)
      coverage.hit('controller: fence shortened');
    if (next.epoch > before.epoch + 1) coverage.hit('controller: lost epochs');
    if (next.epoch > before.epoch && before.fence.length > 0 && next.fence.length > 0)
      coverage.hit('controller: fence inherited');
    if (next.order[0]?.gateway === before.order[0]?.gateway) return;
    const tookOver = before.order.slice(1).some(({ gateway }) => gateway === next.order[0]?.gateway);
    coverage.hit(tookOver ? 'controller: answerer put first' : 'controller: new holder');
  }

  /** Planted: not seen renewed for long counts as dead, although only the peers know. */
  #stoodStill(view: ApiView, { gateway, session }: SessionRef): boolean {
    if (this.#ground.bug !== 'a lease that stood still proves a death') return false;
    const lease = view.leases.get(gateway);
    if (lease === undefined || lease.session !== session) return false;
    const nowMs = this.#ground.queue.nowMs;
    const seen = this.#leaseSeen.get(gateway);
    if (seen?.version !== lease.version) {
      this.#leaseSeen.set(gateway, { version: lease.version, atMs: nowMs });
      return false;
    }
    return nowMs > seen.atMs + LEASE_STALE_MS;
  }

  #reconcileVoters(view: ApiView): void {
    const { api, bug } = this.#ground;
    const { version, sets } = view.voters;
    const [first, second] = sets;
    if (this.#writingVoters || first === undefined) return;
    const write = (config: VoterConfig): void => {
      this.#writingVoters = true;
      api.call(
        () => this.apiCuts === 0,
        () => api.writeVoters(config, version),
        () =>
          this.thread.post(() => {
            this.#writingVoters = false;
          }),
      );
    };
    const put = (next: readonly (readonly string[])[]): void => write({ version: version + 1, sets: next });
    const known = newestKnown(view);
    if (known.version > version && bug !== 'older voters are changed') return write(known);
    if (second !== undefined) {
      if (this.#isSettled(view) || bug === 'no wait for the old voters') put([second]);
      return;
    }
    const wish = this.voterWish;
    this.voterWish = undefined;
    if (wish !== undefined) put(bug === 'no joint configuration' ? [wish] : [first, wish]);
  }

  /** A majority of the old voters has acted on the joint configuration for long enough: none grants by an older one. */
  #isSettled({ voters, nodes }: ApiView): boolean {
    const nowMs = this.#ground.queue.nowMs * this.#rate;
    const known = hasMajority(
      { version: voters.version, sets: voters.sets.slice(0, 1) },
      (voter) => (nodes.get(voter)?.voterConfig.version ?? 0) >= voters.version,
    );
    if (!known) return false;
    if (this.#settled?.version !== voters.version) this.#settled = { version: voters.version, atMs: nowMs };
    const waitMs = this.#ground.bug === 'no final wait' ? 0 : this.#ground.durations.settledMs;
    return nowMs >= this.#settled.atMs + waitMs;
  }
}

/** After a restore agents go on by what stands there no more. */
function newestKnown({ nodes, voters }: ApiView): VoterConfig {
  let newest = voters;
  for (const { voterConfig } of nodes.values())
    if (voterConfig.version > newest.version) newest = voterConfig;
  return newest;
}

function show(sessions: readonly SessionRef[]): string {
  return sessions.map(({ gateway, session }) => `${gateway}/${session}`).join(' ');
}
