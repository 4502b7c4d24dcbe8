/**
 * The dead-man switch in the kernel: the guard's table, whose sets and maps are written here alone, and the addresses on
 * the uplinks that it guards. What is on a device is guarded from its first moment: the guard is written first, and nothing is
 * put on an uplink whose guard is not known to be there. A device that is no uplink any more keeps its guard until it is clean.
 *
 * Heartbeats, grants and moves are commands by datagram; what is declared or emptied goes through nft.
 */
import { formatAddress, parseAddress } from '../../policy/address.ts';
import type { Address } from '../../policy/model.ts';
import type { AnswerGate, KernelOutcome } from '../core/dataPlane.ts';
import {
  addressCommands,
  flushCommands,
  furtherGuard,
  guardCommands,
  heartbeatMark,
  isFurtherGuard,
  liftCommands,
  renderGuardRuleset,
  sessionMark,
  tokenCommands,
  unguardCommands,
} from '../core/dataplane/guardRuleset.ts';
import { gatewayMark, tunnelMac } from '../core/dataplane/tunnelMac.ts';
import type { Durations } from '../core/ownership/durations.ts';
import { deviceOf, type Uplinks } from '../core/uplinks.ts';
import type { Announcement, Announcer } from './announcer.ts';
import { DeviceAddresses } from './deviceAddresses.ts';
import { readGuardTable } from './guardTable.ts';
import type { KernelCommands } from './kernelCommands.ts';
import type { Nftables } from './nftables.ts';
import type { ToolRunner } from './runTool.ts';
import { readTraces } from './uplinkAddresses.ts';

export interface GateOptions {
  readonly runner: ToolRunner;
  /** The node's own address. */
  readonly self: Address;
  readonly uplinks: Uplinks;
  readonly durations: Pick<Durations, 'windows'>;
  /** That `commands` are sent with. */
  readonly token: Uint8Array;
  readonly commands: Pick<KernelCommands, 'run' | 'send'>;
  /** One transaction at a time, in the order asked. */
  readonly nft: Pick<Nftables, 'run'>;
  readonly announcer: Announcer;
}

export interface KernelGate extends AnswerGate {
  /** The node's uplinks are these from now on. Where they are those of before, what `reassert` does. */
  setUplinks(uplinks: Uplinks): Promise<KernelOutcome>;
  /** After a flap of an uplink the kernel has forgotten part of what answers, and a new device has no guard. */
  reassert(): Promise<KernelOutcome>;
  /** Sends what leaves this node by the address to that gateway, at once. The plan of the data plane follows with the same. */
  steer(address: Address, gateway: Address): void;
  /** Packets that the guard dropped. */
  readFenced(): Promise<number>;
}

export function createAnswerGate(options: GateOptions): KernelGate {
  return new Gate(options);
}

/** For milliseconds after a proxy's entry is gone the kernel still sends answers that it had begun. */
const LIFTED_AFTER_MS = 1000;
const THERE: KernelOutcome = { kind: 'ok' };

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
  #uplinks: Uplinks;
  /** How often the uplinks were set. */
  #uplinksAge = 0;
  /** Uplinks whose guard was there when the table was looked at last. */
  #guardedDevices: ReadonlySet<string> = new Set();
  /** Chains of further guards that the table was known to have then. */
  #furtherChains: readonly string[] = [];
  /** Those of them whose devices were found clean, and when first. */
  #unneededSinceMs: ReadonlyMap<string, number> = new Map();
  /** All sessions are being written anew, as they were when that was asked for: it undoes what is commanded meanwhile. */
  #rewriting: Promise<unknown> | undefined;
  /** Undefined: the table has to be looked at before it is written. */
  #base: Promise<KernelOutcome> | undefined;
  /** The table was there when it was looked at last, and every command since has come back. */
  #answers = false;
  /** Looks at the table, and guards that are lifted, go one after another: no look finds a guard that is about to go. */
  #looking: Promise<unknown> = Promise.resolve();

  constructor(options: GateOptions) {
    const { runner, self, uplinks } = options;
    this.#options = options;
    this.#uplinks = uplinks;
    this.#device = new DeviceAddresses({
      runner,
      source: formatAddress(self),
      uplinks: () => this.#uplinks,
      deviceOf: (name) => this.#guardedDeviceOf(name),
      answered: () => this.#armed.keys(),
    });
  }

  /** Undefined: its uplink is not known to be guarded. */
  #guardedDeviceOf(name: string): string | undefined {
    const parsed = parseAddress(name);
    if (parsed.kind !== 'ok') return undefined;
    const device = deviceOf(parsed.value, this.#uplinks);
    return this.#guardedDevices.has(device) ? device : undefined;
  }

  async #write(transaction: string): Promise<KernelOutcome> {
    const base = await this.#ready();
    const outcome = base.kind === 'ok' ? await this.#options.nft.run(transaction) : base;
    // Somebody may have taken the table away: the next write looks.
    if (outcome.kind !== 'ok') this.#base = undefined;
    return outcome;
  }

  /** No look holds it up that is under way meanwhile, and starts tools: where the table is gone by now, the command does not come back. */
  async #command(command: Parameters<KernelCommands['run']>[0]): Promise<KernelOutcome> {
    const base = this.#answers ? THERE : await this.#ready();
    const outcome = base.kind === 'ok' ? await this.#options.commands.run(command) : base;
    if (outcome.kind !== 'ok') [this.#base, this.#answers] = [undefined, false];
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
    this.#base ??= this.#inLook(async () => {
      const there = await this.#ensureTable();
      this.#answers = there.kind === 'ok';
      return there;
    });
    return this.#base;
  }

  #inLook(look: () => Promise<KernelOutcome>): Promise<KernelOutcome> {
    const outcome = this.#looking.then(look);
    this.#looking = outcome.catch(() => undefined); // Whoever asked for it hears of it.
    return outcome;
  }

  /**
   * What a table that is there says stays in force: a restarted agent must not be the reason for silence. Where there is
   * none, all that a former run left on the devices is guarded with the first breath, whatever is an uplink now.
   */
  async #ensureTable(): Promise<KernelOutcome> {
    const { nft, runner, durations, token } = this.#options;
    const uplinks = this.#uplinks;
    const [own] = uplinks;
    const devices = uplinks.map(({ device }) => device);
    const { text, fingerprint } = renderGuardRuleset(own.device, durations);
    const table = await readGuardTable(runner);
    // A base chain goes with its device, so the table counts only while it is there.
    if (table.chains.has(fingerprint) && table.chains.has('guard')) {
      this.#guarded = table.guarded;
      await this.#guardFurther(uplinks, table.chains);
      return nft.run(tokenCommands(token));
    }
    // It takes the further guards with it, so nothing more is put there before they are back.
    this.#guardedDevices = new Set([own.device]);
    const traces = await readTraces(runner, devices);
    const guarded = [...new Set([...this.#guarded, ...traces.addresses])];
    const further = traces.devices.filter((it) => it !== own.device).map(furtherGuard);
    const made = await nft.run(
      [text, ...further.map((it) => it.text)].join('') +
        tokenCommands(token) +
        guardCommands(guarded) +
        addressCommands(this.#sessions()),
    );
    if (made.kind !== 'ok') return made;
    this.#guarded = new Set([...guarded, ...this.#armed.keys()]);
    await this.#guardFurther(uplinks, new Set(further.map(({ chain }) => chain)));
    return made;
  }

  /** One by one: a device that is gone by now is the others' concern only in that nothing may be put on it. */
  async #guardFurther(uplinks: Uplinks, chains: ReadonlySet<string>): Promise<void> {
    const [own, ...others] = uplinks;
    const guarded = new Set([own.device]);
    const there = new Set([...chains].filter(isFurtherGuard));
    for (const { device } of others) {
      const { chain, text } = furtherGuard(device);
      if (!there.has(chain) && (await this.#options.nft.run(text)).kind !== 'ok') continue;
      there.add(chain);
      guarded.add(device);
    }
    // A look that was overtaken by a change of the uplinks knows less than the one that came of it.
    if (uplinks !== this.#uplinks) return;
    this.#guardedDevices = guarded;
    this.#furtherChains = [...there];
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
    this.#options.announcer.announce(this.#announcements(addresses));
  }

  refresh(addresses: readonly Address[]): void {
    this.#options.announcer.refresh(this.#announcements(addresses));
  }

  #announcements(addresses: readonly Address[]): readonly Announcement[] {
    return addresses.map(formatAddress).flatMap((address) => {
      const device = this.#guardedDeviceOf(address);
      return device === undefined ? [] : [{ address, device }];
    });
  }

  setUplinks(uplinks: Uplinks): Promise<KernelOutcome> {
    this.#uplinks = uplinks;
    this.#uplinksAge += 1;
    // Those of them that were guarded stay so; none is added before its guard is there.
    return this.reassert();
  }

  async reassert(): Promise<KernelOutcome> {
    this.#base = undefined;
    this.#device.forget();
    const rewriting = this.#write(addressCommands(this.#sessions()));
    this.#rewriting = rewriting;
    const written = await rewriting;
    if (this.#rewriting === rewriting) this.#rewriting = undefined;
    if (written.kind !== 'ok') return written;
    const age = this.#uplinksAge;
    const settled = await this.#device.settle();
    return settled.kind === 'ok' ? this.#inLook(() => this.#liftUnneeded(age)) : settled;
  }

  /**
   * Where nothing of ours is left on a device, its guard may go, some time later. That is known only of a settling that had the
   * uplinks of now: one with those of before may have put something there.
   */
  async #liftUnneeded(age: number): Promise<KernelOutcome> {
    if (age !== this.#uplinksAge) return { kind: 'ok' };
    const needed = new Set(this.#uplinks.map(({ device }) => furtherGuard(device).chain));
    const unneeded = this.#furtherChains.filter((it) => !needed.has(it));
    const nowMs = performance.now();
    const sinceMs = (chain: string): number => this.#unneededSinceMs.get(chain) ?? nowMs;
    const gone = unneeded.filter((it) => nowMs - sinceMs(it) >= LIFTED_AFTER_MS);
    this.#unneededSinceMs = new Map(
      unneeded.filter((it) => !gone.includes(it)).map((it) => [it, sinceMs(it)]),
    );
    this.#furtherChains = this.#furtherChains.filter((it) => !gone.includes(it));
    // One that went with its device cannot be deleted, and need not be.
    for (const chain of gone) await this.#options.nft.run(liftCommands([chain]));
    return { kind: 'ok' };
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
