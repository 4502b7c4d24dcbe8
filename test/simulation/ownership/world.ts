/** One simulated cluster: its parts, wired. Made from a seed; nothing in it draws from anywhere else. */
import { makeAddress } from '../../../policy/address.ts';
import { ApiModel } from './apiModel.ts';
import { befall } from './befall.ts';
import { Checker } from './checker.ts';
import { ControllerModel } from './controllerModel.ts';
import { type CoreModule, REAL_CORE } from './coreModule.ts';
import { Coverage } from './coverage.ts';
import { Draws } from './draws.ts';
import { EventQueue } from './eventQueue.ts';
import type { Fault } from './faults.ts';
import type { Ground, WorldBug } from './ground.ts';
import { CLEAR, Network, type Weather } from './network.ts';
import { Segment } from './segment.ts';
import { namesOf, type Shape } from './shape.ts';
import { SimNode } from './simNode.ts';

export interface WorldOptions {
  readonly seed: number;
  readonly shape: Shape;
  readonly faults: readonly Fault[];
  readonly core?: CoreModule;
  readonly bug?: WorldBug | undefined;
  /** What the network does when nobody makes it worse. */
  readonly weather?: Weather;
  /** Of a node's clock, by name; undefined: drawn. */
  readonly rateOf?: ((name: string) => number) | undefined;
  readonly trace?: ((line: string) => void) | undefined;
}

const FIRST_ADDRESS = 0x0a00_0001n;

export class World {
  readonly ground: Ground;
  readonly nodes: readonly SimNode[];
  readonly gateways: readonly SimNode[];
  readonly controllers: readonly ControllerModel[];
  readonly addresses: readonly string[];
  readonly cordoned = new Set<string>();
  readonly weather: Weather;
  /** Every fault ends before. */
  readonly chaosMs: number;
  calmStalls = { probability: 0, leastMs: 0, mostMs: 0 };

  constructor(options: WorldOptions) {
    const { seed, shape, faults, core = REAL_CORE, weather = CLEAR } = options;
    this.weather = weather;
    this.chaosMs = shape.chaosMs;
    const queue = new EventQueue();
    const draws = new Draws(seed);
    const names = namesOf(shape);
    const api = new ApiModel(queue, draws);
    api.blind = options.bug === 'blind write';
    const { trace } = options;
    const network = new Network({
      queue,
      draws,
      nodes: names.length,
      deliver: (from, to, message) => this.nodes[to]?.receive(names[from] ?? '', message),
    });
    network.weather = weather;
    const checker = new Checker(queue, shape.settings.sessionMs);
    const coverage = new Coverage();
    this.ground = {
      core,
      bug: options.bug,
      queue,
      draws,
      durations: core.deriveDurations(shape.settings),
      network,
      api,
      segment: new Segment({ queue, draws, checker, coverage }),
      checker,
      coverage,
      indexOf: new Map(names.map((name, index) => [name, index])),
      names,
      trace: trace === undefined ? undefined : (line) => trace(`${queue.nowMs.toFixed(2)} ${line()}`),
    };
    this.nodes = names.map(
      (name, index) =>
        new SimNode(this.ground, {
          name,
          index,
          isGateway: index < shape.gateways,
          rate: options.rateOf?.(name),
        }),
    );
    this.gateways = this.nodes.slice(0, shape.gateways);
    this.ground.checker.nodes = this.nodes;
    const addresses = Array.from({ length: shape.addresses }, (_, index) => `10.0.0.${index + 1}`);
    this.addresses = addresses;
    const addressOf = (name: string) => makeAddress(4, FIRST_ADDRESS + BigInt(addresses.indexOf(name)));
    this.controllers = ['first', 'second'].map(
      (name) => new ControllerModel(this.ground, { name, cordoned: this.cordoned, addressOf }),
    );
    this.#begin(shape, faults);
  }

  #begin(shape: Shape, faults: readonly Fault[]): void {
    const { queue, api, checker, draws, segment } = this.ground;
    api.onCommit = (change) => {
      if (change.kind === 'lease' || change.kind === 'voters')
        this.ground.trace?.(() => `API ${JSON.stringify(change)}`);
      checker.apiCommitted(change);
      for (const node of this.nodes) node.agent?.apiChanged();
      for (const controller of this.controllers) controller.watch.notify();
    };
    api.onRestore = () => checker.apiRestored();
    api.commit({ kind: 'voters', value: { version: 1, sets: [shape.voters] } });
    for (const name of this.addresses) api.commit({ kind: 'wanted', name, value: true });
    this.controllers.forEach((controller, index) => {
      controller.leads = index === 0;
      controller.start();
    });
    segment.start(this.addresses);
    const begin = draws.draw('starts');
    for (const node of this.nodes) queue.at(begin.between(0, 200), () => node.start());
    for (const fault of faults) queue.at(fault.atMs, () => befall(this, fault));
  }

  /** All nodes stall now and then from here on. */
  stall(stalls: SimNode['stalls']): void {
    this.calmStalls = stalls;
    for (const node of this.nodes) node.stalls = stalls;
  }

  /** One voter out, another node in; at least one stays that is no gateway. */
  wishVoters(whom: number, other: number): void {
    const { api, names } = this.ground;
    const sets = api.truth.voters.sets;
    const [current] = sets;
    if (sets.length !== 1 || current === undefined) return;
    const outside = names.filter((name) => !current.includes(name));
    const joining = outside[other % outside.length];
    if (joining === undefined) return;
    const next = current.map((name, index) => (index === whom % current.length ? joining : name));
    if (!next.some((name) => name.startsWith('w'))) return;
    for (const controller of this.controllers) controller.voterWish = next;
  }
}
