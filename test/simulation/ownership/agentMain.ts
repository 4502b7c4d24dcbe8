/**
 * The main thread of a simulated agent: follows the API, passes assignments and others' words to the ownership thread,
 * and lets the node's object and the gateway's Lease follow what that thread confirmed.
 */
import type { AgentView } from '../../../failover/core/agent/agentView.ts';
import { type Claim, decideHolder } from '../../../failover/core/agent/holders.ts';
import { assignmentsOf, wordOf } from '../../../failover/core/agent/ownershipInput.ts';
import type { SessionRef } from '../../../failover/core/egressIp.ts';
import type { Holding } from '../../../failover/core/ownership/messages.ts';
import type { VoterConfig } from '../../../failover/core/ownership/voterConfig.ts';
import type { ApiView } from './apiModel.ts';
import { ApiWatch } from './apiWatch.ts';
import type { Ground } from './ground.ts';
import { JoinKeeper } from './joinKeeper.ts';
import { LeaseKeeper } from './leaseKeeper.ts';
import { NodeReporter } from './nodeReporter.ts';
import { OwnershipWorker } from './ownershipWorker.ts';
import type { SimNode } from './simNode.ts';
import { Thread } from './thread.ts';

/** From hearing of an address to its ports in the kernel. */
const APPLY_MS = { least: 4, most: 25 } as const;

const NOTHING_READ = { view: undefined, revision: 0 } as const;

export class AgentMain {
  readonly worker: OwnershipWorker;
  readonly thread: Thread;
  readonly #node: SimNode;
  readonly #ground: Ground;
  readonly #watch: ApiWatch;
  readonly #lease: LeaseKeeper;
  readonly #join: JoinKeeper;
  readonly #reporter: NodeReporter;
  readonly #confirmed = new Map<string, number>();
  readonly #heard = new Map<string, readonly Claim[]>();
  /** Of the own session, once the voters granted it. */
  #granted = 0;
  #stopping = false;
  #lastAssigned = '';
  #lastWord = '';
  #lastConfig = 0;
  /** What was read of the view last. */
  #read: { readonly view: ApiView | undefined; readonly revision: number } = NOTHING_READ;

  constructor(node: SimNode, ground: Ground) {
    this.#node = node;
    this.#ground = ground;
    const thread = new Thread(ground.queue);
    this.thread = thread;
    this.#watch = new ApiWatch({
      api: ground.api,
      queue: ground.queue,
      lag: ground.draws.draw(`watch of ${node.name} ${node.lives}`),
      reachable: () => node.apiCuts === 0 && node.on,
      changed: () => thread.post(() => this.#viewed()),
    });
    this.worker = new OwnershipWorker(node, ground, {
      word: (word) =>
        thread.post(() => {
          this.#granted = word.session;
          this.#reporter.said(word);
          this.#joinOrders();
        }),
      flushed: (ok) => this.#lease.post({ kind: 'flushed', ok }),
      over: (session, floor) => this.#lease.post({ kind: 'over', session, floor }),
      closed: () => thread.post(() => this.#lease.handedOver()),
      heardHoldings: ({ session, holdings }) => thread.post(() => this.#hear(session, holdings)),
    });
    this.#join = new JoinKeeper(node, ground, thread);
    this.#lease = new LeaseKeeper(node, ground, { thread, worker: this.worker });
    this.#reporter = new NodeReporter(node, ground, {
      thread,
      confirmed: this.#confirmed,
      heard: this.#heard,
    });
  }

  start(): void {
    this.#watch.start();
    this.worker.post({ kind: 'peers', peers: this.#ground.names });
  }

  kill(): void {
    this.#watch.stop();
    this.worker.kill();
    this.thread.kill();
  }

  /** SIGSTOP, or the machine itself stands still. */
  block(durationMs: number): void {
    const untilMs = this.#ground.queue.nowMs + durationMs;
    this.thread.block(untilMs);
    this.worker.thread.block(untilMs);
  }

  stallWatch(durationMs: number): void {
    this.#watch.stall(durationMs);
  }

  goBack(changes: number): void {
    this.#watch.goBack(changes);
  }

  apiChanged(): void {
    this.#watch.notify();
  }

  /** SIGTERM. */
  stop(stopped: () => void): void {
    this.thread.post(() => {
      this.#stopping = true;
      this.#lease.stop(stopped);
    });
  }

  /** Where this node sends the address's packets. */
  holderOf(address: string): string | undefined {
    const egressIp = this.#watch.view.ips.get(address);
    if (egressIp === undefined) return undefined;
    return decideHolder(egressIp, this.#watch.view.nodes.values(), this.#heard.get(address) ?? [])?.node;
  }

  #hear({ gateway, session }: SessionRef, holdings: readonly Holding[]): void {
    this.#ground.coverage.hit('holdings: heard');
    for (const { address, right, blocksVersion } of holdings) {
      const others = (this.#heard.get(address) ?? []).filter(({ node }) => node !== gateway);
      this.#heard.set(address, [...others, { node: gateway, session, right, blocksVersion }]);
    }
  }

  #viewed(): void {
    const { view } = this.#watch;
    const voters = this.#votersKnown();
    if (voters.version > this.#lastConfig) {
      this.#lastConfig = voters.version;
      this.worker.post({ kind: 'configured', config: voters });
    }
    // A Lease that was renewed changes nothing of what is read here.
    const isNews = view !== this.#read.view || view.revision !== this.#read.revision;
    this.#read = { view, revision: view.revision };
    // Only these fields are read; the rest of an agent's view has no part in who answers. Each report is of a node that is there.
    const { ips: egressIps, nodes: gatewayNodes } = view;
    const agentView = { egressIps, gatewayNodes, nodes: gatewayNodes } as unknown as AgentView;
    if (isNews) this.#readWord(agentView);
    for (const [name, { blocksVersion }] of view.ips)
      if (this.#confirmed.get(name) !== blocksVersion) this.#apply(name, blocksVersion);
    if (isNews) this.#readAssignments(agentView);
    this.#reporter.viewed(view, isNews);
    this.#lease.viewed(view);
    this.#joinOrders();
  }

  #readWord(view: AgentView): void {
    const { coverage } = this.#ground;
    const word = wordOf(view);
    const said = JSON.stringify(word);
    if (said === this.#lastWord) return;
    this.#lastWord = said;
    if (word.dead.length > 0) coverage.hit('death: heard from the API');
    if (word.released.length > 0) coverage.hit('release: heard from the API');
    this.worker.post({ kind: 'stated', ...word });
  }

  #readAssignments(view: AgentView): void {
    const assignments = assignmentsOf(view.egressIps, this.#confirmed);
    const assigned = JSON.stringify([...assignments]);
    if (assigned === this.#lastAssigned) return;
    this.#lastAssigned = assigned;
    this.worker.post({ kind: 'assigned', assignments });
  }

  #joinOrders(): void {
    this.#join.look(this.#watch.view, this.#stopping ? 0 : this.#granted);
    this.#join.wake(() => this.#joinOrders());
  }

  /** Planted: a restarted agent is shown the first configuration for as long as it lives. */
  #votersKnown(): VoterConfig {
    const first = this.#ground.api.log.find((change) => change.kind === 'voters')?.value;
    const older = this.#ground.bug === 'older configuration after a restart' && this.#node.lives > 1;
    return older && first !== undefined ? first : this.#watch.view.voters;
  }

  #apply(name: string, blocksVersion: number): void {
    const { least, most } = APPLY_MS;
    this.#ground.queue.after(least + this.#node.timerLate.next() * (most - least), () =>
      this.thread.post(() => {
        if (this.#confirmed.get(name) === blocksVersion) return;
        this.#confirmed.set(name, blocksVersion);
        this.#read = NOTHING_READ;
        this.#viewed();
      }),
    );
  }
}
