/**
 * The dead-man switch in the kernel: the guard's table, whose sets and maps are written here alone, and the addresses on
 * the uplink that it guards. What is on the device is guarded from its first moment: the guard is written first.
 *
 * Heartbeats, grants and moves are commands by datagram; what is declared or emptied goes through nft.
 */
import { formatAddress } from '../../policy/address.ts';
import type { Address } from '../../policy/model.ts';
import type { AnswerGate, KernelOutcome } from '../core/dataPlane.ts';
import {
  addressCommands,
  flushCommands,
  guardCommands,
  heartbeatMark,
  renderGuardRuleset,
  sessionMark,
  tokenCommands,
  unguardCommands,
} from '../core/dataplane/guardRuleset.ts';
import { gatewayMark, tunnelMac } from '../core/dataplane/tunnelMac.ts';
import type { Durations } from '../core/ownership/durations.ts';
import type { Announcer } from './announcer.ts';
import { DeviceAddresses } from './deviceAddresses.ts';
import { readGuardTable } from './guardTable.ts';
import type { KernelCommands } from './kernelCommands.ts';
import type { Nftables } from './nftables.ts';
import type { ToolRunner } from './runTool.ts';
import { readAddresses } from './uplinkAddresses.ts';

export interface GateOptions {
  readonly runner: ToolRunner;
  readonly uplink: string;
  readonly durations: Pick<Durations, 'windows'>;
  /** That `commands` are sent with. */
  readonly token: Uint8Array;
  readonly commands: Pick<KernelCommands, 'run' | 'send'>;
  /** One transaction at a time, in the order asked. */
  readonly nft: Pick<Nftables, 'run'>;
  readonly announcer: Announcer;
}

export interface KernelGate extends AnswerGate {
  /** After a flap of the uplink the kernel has forgotten part of what answers, and a new device has no guard. */
  reassert(): Promise<KernelOutcome>;
  /** Sends what leaves this node by the address to that gateway, at once. The plan of the data plane follows with the same. */
  steer(address: Address, gateway: Address): void;
  /** Packets that the guard dropped. */
  readFenced(): Promise<number>;
}

export function createAnswerGate(options: GateOptions): KernelGate {
  return new Gate(options);
}

class Gate implements KernelGate {
  readonly #options: GateOptions;
  /** What the kernel's set is known to hold. */
  #guarded: ReadonlySet<string> = new Set();
  /** What the guard was last asked to hold; a right is armed only behind it. */
  #guarding: Promise<unknown> = Promise.resolve();
  #guardWished: ReadonlySet<string> = new Set();
  /** The guarding that has not begun yet: it will do whatever is wished by then. */
  #guardNext: Promise<KernelOutcome> | undefined;
  #armed: ReadonlyMap<string, Armed> = new Map();
  readonly #device: DeviceAddresses;
  /** All sessions are being written anew, as they were when that was asked for: it undoes what is commanded meanwhile. */
  #rewriting: Promise<unknown> | undefined;
  /** Undefined: the table has to be looked at before it is written. */
  #base: Promise<KernelOutcome> | undefined;

  constructor(options: GateOptions) {
    const { runner, uplink } = options;
    this.#options = options;
    this.#device = new DeviceAddresses({ runner, uplink, answered: () => this.#armed.keys() });
  }

  async #write(transaction: string): Promise<KernelOutcome> {
    const base = await this.#ready();
    const outcome = base.kind === 'ok' ? await this.#options.nft.run(transaction) : base;
    // Somebody may have taken the table away: the next write looks.
    if (outcome.kind !== 'ok') this.#base = undefined;
    return outcome;
  }

  async #command(command: Parameters<KernelCommands['run']>[0]): Promise<KernelOutcome> {
    const base = await this.#ready();
    const outcome = base.kind === 'ok' ? await this.#options.commands.run(command) : base;
    if (outcome.kind !== 'ok') this.#base = undefined;
    return outcome;
  }

  /** At once, and once more behind a rewriting that is under way: only then it stays, and only then it is confirmed. */
  async #commandForGood(command: Parameters<KernelCommands['run']>[0]): Promise<KernelOutcome> {
    let outcome = await this.#command(command);
    for (let other = this.#rewriting; other !== undefined; other = this.#rewriting) {
      await other;
      outcome = await this.#command(command);
    }
    return outcome;
  }

  #ready(): Promise<KernelOutcome> {
    this.#base ??= this.#ensureTable();
    return this.#base;
  }

  /**
   * What a table that is there says stays in force: a restarted agent must not be the reason for silence. Where there is
   * none, all that a former run left on the device is guarded with the first breath.
   */
  async #ensureTable(): Promise<KernelOutcome> {
    const { uplink, nft, runner, durations, token } = this.#options;
    const { text, fingerprint } = renderGuardRuleset(uplink, durations);
    const table = await readGuardTable(runner);
    // A base chain goes with its device, so the table counts only while it is there.
    if (table.chains.has(fingerprint) && table.chains.has('guard')) {
      this.#guarded = table.guarded;
      return nft.run(tokenCommands(token));
    }
    const guarded = [...new Set([...this.#guarded, ...(await readAddresses(runner, uplink))])];
    const made = await nft.run(
      text + tokenCommands(token) + guardCommands(guarded) + addressCommands(this.#sessions()),
    );
    if (made.kind === 'ok') this.#guarded = new Set([...guarded, ...this.#armed.keys()]);
    return made;
  }

  #sessions(): ReadonlyMap<string, number> {
    return new Map([...this.#armed].map(([name, { session }]) => [name, session]));
  }

  async flush(): Promise<KernelOutcome> {
    this.#armed = new Map();
    return this.#write(flushCommands(this.#options.durations));
  }

  guard(addresses: readonly Address[]): Promise<KernelOutcome> {
    const names = new Set(addresses.map(formatAddress));
    this.#device.keep(names);
    this.#guardWished = names;
    // One after another: of two at once the second would take out what the first has taken out already, and fail.
    this.#guardNext ??= this.#guarding.then(() => {
      this.#guardNext = undefined;
      return this.#guardExactly(this.#guardWished);
    });
    this.#guarding = this.#guardNext;
    return this.#guardNext;
  }

  async #guardExactly(names: ReadonlySet<string>): Promise<KernelOutcome> {
    const added = await this.#write(guardCommands([...names]));
    if (added.kind !== 'ok') return added;
    this.#guarded = new Set([...this.#guarded, ...names]);
    return this.#unguard([...this.#guarded].filter((name) => !names.has(name) && !this.#armed.has(name)));
  }

  /** First off the device, then out of the guard: what is on the device is never without it. */
  async #unguard(gone: readonly string[]): Promise<KernelOutcome> {
    if (gone.length === 0) return { kind: 'ok' };
    const removed = await this.#device.settle();
    if (removed.kind !== 'ok') return removed;
    const outcome = await this.#write(unguardCommands(gone));
    if (outcome.kind === 'ok')
      this.#guarded = new Set([...this.#guarded].filter((name) => !gone.includes(name)));
    return outcome;
  }

  async standBy(addresses: readonly Address[]): Promise<KernelOutcome> {
    await this.#guarding;
    return this.#device.standBy(
      new Set(addresses.map(formatAddress).filter((name) => this.#guarded.has(name))),
    );
  }

  beat(session: number, seq: number): Promise<KernelOutcome> {
    return this.#command({ operation: 'beat', key: heartbeatMark(session, seq) });
  }

  grant(session: number, seq: number): void {
    this.#options.commands.send({
      operation: 'grant',
      key: heartbeatMark(session, seq),
      value: sessionMark(session),
    });
  }

  async arm(address: Address, session: number): Promise<KernelOutcome> {
    const name = formatAddress(address);
    this.#armed = new Map([...this.#armed, [name, { address, session }]]);
    await this.#guarding;
    const guarded = this.#guarded.has(name) ? undefined : await this.#write(guardCommands([name]));
    if (guarded !== undefined && guarded.kind !== 'ok') return guarded;
    this.#guarded = new Set([...this.#guarded, name]);
    const armed = await this.#commandForGood({ operation: 'arm', key: address, value: sessionMark(session) });
    if (armed.kind !== 'ok') return armed;
    const prepared = await this.#device.ensurePrepared(name);
    // Nobody has to wait for this part: the kernel answers without it.
    if (prepared.kind === 'ok') this.#device.show(name);
    return prepared;
  }

  async disarm(address: Address): Promise<KernelOutcome> {
    const name = formatAddress(address);
    this.#armed = new Map([...this.#armed].filter(([other]) => other !== name));
    const silenced = await this.#commandForGood({ operation: 'disarm', key: address });
    // What is left on the device is silent.
    if (silenced.kind === 'ok') void this.#device.settle();
    return silenced;
  }

  announce(addresses: readonly Address[]): void {
    this.#options.announcer.announce(addresses.map(formatAddress));
  }

  refresh(addresses: readonly Address[]): void {
    this.#options.announcer.refresh(addresses.map(formatAddress));
  }

  async reassert(): Promise<KernelOutcome> {
    this.#base = undefined;
    this.#device.forget();
    const rewriting = this.#write(addressCommands(this.#sessions()));
    this.#rewriting = rewriting;
    const written = await rewriting;
    if (this.#rewriting === rewriting) this.#rewriting = undefined;
    return written.kind === 'ok' ? this.#device.settle() : written;
  }

  steer(address: Address, gateway: Address): void {
    this.#options.commands.send({
      operation: 'steer',
      key: address,
      value: gatewayMark(tunnelMac(gateway)),
    });
  }

  async readFenced(): Promise<number> {
    return (await readGuardTable(this.#options.runner)).fenced;
  }
}

interface Armed {
  readonly address: Address;
  readonly session: number;
}
