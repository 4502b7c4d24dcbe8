/**
 * The egress IPs on the uplinks' devices, kept as they are wished: those that this node may have to answer for are prepared
 * ahead, those that it answers for are shown as well. Changes go one after another, each together with what is asked for
 * meanwhile. Who may be on the device at all is answerGate.ts's to say.
 */
import type { KernelOutcome } from '../core/dataPlane.ts';
import type { Uplinks } from '../core/uplinks.ts';
import type { ToolRunner } from './runTool.ts';
import { type PlacedAddresses, prepareAddresses, settleAddresses, showAddresses } from './uplinkAddresses.ts';

export interface DeviceAddressesOptions {
  readonly runner: ToolRunner;
  /** The node's own address. */
  readonly source: string;
  readonly uplinks: () => Uplinks;
  /** The uplink that the address may be on at this moment; undefined: on none. */
  readonly deviceOf: (name: string) => string | undefined;
  /** What this node answers for, asked anew before each change. */
  readonly answered: () => Iterable<string>;
}

export class DeviceAddresses {
  readonly #options: DeviceAddressesOptions;
  #standingBy: ReadonlySet<string> = new Set();
  /** What the device is known to be ready to answer for. */
  #prepared: ReadonlySet<string> = new Set();
  /** Changes of the device go one after another: each knows what the one before it left. */
  #device: Promise<unknown> = Promise.resolve();
  /** What the next preparing will bring; undefined: nobody waits for one. */
  #preparing: Preparing | undefined;
  /** Answered, and not shown on the device yet. */
  readonly #toShow = new Set<string>();
  /** The settling that has not read the device yet: it will see whatever is wished by then. */
  #settling: Promise<KernelOutcome> | undefined;

  constructor(options: DeviceAddressesOptions) {
    this.#options = options;
  }

  /** All that takes time is done ahead for these. */
  async standBy(names: ReadonlySet<string>): Promise<KernelOutcome> {
    this.#standingBy = names;
    const missing = [...names].filter((name) => !this.#prepared.has(name));
    return missing.length === 0 ? { kind: 'ok' } : this.settle();
  }

  /** Of those that it stands by for only these are left; they leave the device with the next settling. */
  keep(names: ReadonlySet<string>): void {
    this.#standingBy = new Set([...this.#standingBy].filter((name) => names.has(name)));
  }

  /** Makes the device as it is wished now. */
  settle(): Promise<KernelOutcome> {
    this.#settling ??= this.#inTurn(() => {
      const { runner, source, uplinks, answered } = this.#options;
      let prepared: PlacedAddresses = new Map();
      const devices = uplinks().map(({ device }) => device);
      const settled = settleAddresses(
        runner,
        devices,
        () => {
          this.#settling = undefined;
          const shown = this.#placed([...answered()]);
          prepared = new Map([...this.#placed([...this.#standingBy]), ...shown]);
          // What is about to be removed counts as removed.
          this.#prepared = new Set([...this.#prepared].filter((name) => prepared.has(name)));
          return { prepared, shown };
        },
        source,
      );
      return settled.then((outcome) => {
        if (outcome.kind === 'ok') this.#prepared = new Set([...this.#prepared, ...prepared.keys()]);
        return outcome;
      });
    });
    return this.#settling;
  }

  /** Where each may be now, of those that may be anywhere. */
  #placed(names: readonly string[]): PlacedAddresses {
    const { deviceOf } = this.#options;
    return new Map(
      names.flatMap((name) => {
        const device = deviceOf(name);
        return device === undefined ? [] : [[name, device] as const];
      }),
    );
  }

  /** Nothing is taken to be there any more: somebody else changed the device, or it is another one. */
  forget(): void {
    this.#prepared = new Set();
  }

  /** In one go what was armed together, and without a look: the look takes five times as much, and a takeover is busy. */
  show(name: string): void {
    const begun = this.#toShow.size > 0;
    this.#toShow.add(name);
    if (begun) return;
    const { runner, answered } = this.#options;
    const shown = this.#inTurn(() => {
      const held = new Set(answered());
      const names = [...this.#toShow].filter((it) => held.has(it));
      this.#toShow.clear();
      return showAddresses(runner, this.#placed(names));
    });
    void shown.then((outcome) => (outcome.kind === 'ok' ? outcome : this.settle()));
  }

  /** Ahead of the settling, which reads before it writes: somebody waits. In one go what is asked for together. */
  ensurePrepared(name: string): Promise<KernelOutcome> {
    if (this.#prepared.has(name)) return Promise.resolve({ kind: 'ok' });
    if (this.#options.deviceOf(name) === undefined)
      return Promise.resolve({
        kind: 'refused',
        message: `the uplink of ${name} is not there, or not guarded`,
      });
    this.#preparing ??= this.#prepareTogether();
    this.#preparing.names.add(name);
    return this.#preparing.outcome;
  }

  #prepareTogether(): Preparing {
    const { runner, source } = this.#options;
    const names = new Set<string>();
    const outcome = this.#inTurn(async () => {
      this.#preparing = undefined;
      const placed = this.#placed([...names]);
      const prepared = await prepareAddresses(runner, placed, source);
      if (prepared.kind === 'ok') this.#prepared = new Set([...this.#prepared, ...placed.keys()]);
      return prepared;
    });
    return { names, outcome };
  }

  #inTurn(change: () => Promise<KernelOutcome>): Promise<KernelOutcome> {
    const outcome = this.#device.then(change);
    this.#device = outcome;
    return outcome;
  }
}

interface Preparing {
  readonly names: Set<string>;
  readonly outcome: Promise<KernelOutcome>;
}
