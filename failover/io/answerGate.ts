/**
 * The dead-man switch in the kernel: the guard's table, whose sets and maps are written here alone, and the addresses on
 * the uplink that it guards. What is on the device is guarded from its first moment: the guard is written first.
 */
import { formatAddress } from '../../policy/address.ts';
import type { Address } from '../../policy/model.ts';
import type { AnswerGate, KernelOutcome } from '../core/dataPlane.ts';
import { steerCommands } from '../core/dataplane/diffElements.ts';
import {
  addressCommands,
  armCommands,
  disarmCommands,
  GUARD,
  GUARD_TABLE,
  grantCommands,
  guardCommands,
  insertCommand,
  renderGuardRuleset,
  unguardCommands,
} from '../core/dataplane/guardRuleset.ts';
import { tunnelMac } from '../core/dataplane/tunnelMac.ts';
import type { Announcer } from './announcer.ts';
import { createBatch } from './batch.ts';
import type { IpSession } from './ipSession.ts';
import { readJson, type ToolRunner } from './runTool.ts';
import { ensureAnswerable, makeAnswerable, readAnswerable, removeAnswerable } from './uplinkAddresses.ts';

export interface GateOptions {
  readonly runner: ToolRunner;
  readonly uplink: string;
  /** One transaction at a time, in the order asked. */
  readonly nft: { run(transaction: string): Promise<KernelOutcome> };
  readonly ip: Pick<IpSession, 'run'>;
  readonly announcer: Announcer;
}

export interface KernelGate extends AnswerGate {
  /** After a flap of the uplink the kernel has forgotten part of what answers, and a new device has no guard. */
  reassert(): Promise<KernelOutcome>;
  /**
   * Sends what leaves this node by the address to that gateway, at once. The plan of the data plane follows with the same;
   * where the map has no entry for the address nothing is changed.
   */
  steer(address: Address, gateway: Address): Promise<void>;
  /** Packets that the guard dropped. */
  readFenced(): Promise<number>;
}

type NftObject = Readonly<Record<string, Readonly<Record<string, unknown>> | undefined>>;

export function createAnswerGate(options: GateOptions): KernelGate {
  return new Gate(options);
}

class Gate implements KernelGate {
  readonly #options: GateOptions;
  /** What the kernel's set is known to hold. */
  #guarded: ReadonlySet<string> = new Set();
  #armed: ReadonlyMap<string, number> = new Map();
  /** Undefined: the table has to be looked at before it is written. */
  #base: Promise<KernelOutcome> | undefined;

  /** A dead gateway's addresses come many at once: a process for each would take longer than the detection. */
  readonly #makeAnswerable: (name: string) => Promise<KernelOutcome>;
  readonly #removeAnswerable: (name: string) => Promise<KernelOutcome>;

  constructor(options: GateOptions) {
    this.#options = options;
    const { runner, uplink, ip } = options;
    this.#makeAnswerable = createBatch((names) => makeAnswerable({ runner, ip }, uplink, names));
    this.#removeAnswerable = createBatch((names) => {
      // Armed again meanwhile.
      const still = names.filter((name) => !this.#armed.has(name));
      return removeAnswerable(runner, uplink, still);
    });
  }

  async #write(transaction: string): Promise<KernelOutcome> {
    this.#base ??= this.#ensureTable();
    const base = await this.#base;
    const outcome = base.kind === 'ok' ? await this.#options.nft.run(transaction) : base;
    // Somebody may have taken the table away: the next write looks.
    if (outcome.kind !== 'ok') this.#base = undefined;
    return outcome;
  }

  /**
   * What a table that is there says stays in force: a restarted agent must not be the reason for silence. Where there is
   * none, all that a former run left on the device is guarded with the first breath.
   */
  async #ensureTable(): Promise<KernelOutcome> {
    const { uplink, nft, runner } = this.#options;
    const { text, fingerprint } = renderGuardRuleset(uplink);
    const objects = await this.#readTable();
    const chains = new Set(objects.map(({ chain }) => chain?.name));
    // A base chain goes with its device, so the table counts only while it is there.
    if (chains.has(fingerprint) && chains.has('guard')) {
      const elements = objects.find((it) => it.set?.name === 'guarded')?.set?.elem;
      this.#guarded = new Set(Array.isArray(elements) ? elements.map(String) : []);
      return { kind: 'ok' };
    }
    const guarded = [...new Set([...this.#guarded, ...(await readAnswerable(runner, uplink))])];
    const made = await nft.run(text + guardCommands(guarded) + addressCommands(this.#armed));
    if (made.kind === 'ok') this.#guarded = new Set([...guarded, ...this.#armed.keys()]);
    return made;
  }

  async #readTable(): Promise<readonly NftObject[]> {
    const listed = await readJson(this.#options.runner, [
      'nft',
      '-j',
      'list',
      'table',
      'netdev',
      GUARD_TABLE,
    ]);
    const items = (listed as { readonly nftables?: unknown } | undefined)?.nftables; // nft's own JSON.
    return Array.isArray(items) ? (items as readonly NftObject[]) : [];
  }

  #writeAddresses(): Promise<KernelOutcome> {
    return this.#write(addressCommands(this.#armed));
  }

  async flush(): Promise<KernelOutcome> {
    this.#armed = new Map();
    return this.#write(
      `${addressCommands(this.#armed)}flush map ${GUARD} session_heartbeat\nflush set ${GUARD} live\n`,
    );
  }

  async guard(addresses: readonly Address[]): Promise<KernelOutcome> {
    const names = new Set(addresses.map(formatAddress));
    const added = await this.#write(guardCommands([...names]));
    if (added.kind !== 'ok') return added;
    this.#guarded = new Set([...this.#guarded, ...names]);
    return this.#unguard([...this.#guarded].filter((name) => !names.has(name) && !this.#armed.has(name)));
  }

  /** First off the device, then out of the guard: what is on the device is never without it. */
  async #unguard(gone: readonly string[]): Promise<KernelOutcome> {
    if (gone.length === 0) return { kind: 'ok' };
    const { runner, uplink } = this.#options;
    const removed = await removeAnswerable(runner, uplink, gone);
    if (removed.kind !== 'ok') return removed;
    const outcome = await this.#write(unguardCommands(gone));
    if (outcome.kind === 'ok')
      this.#guarded = new Set([...this.#guarded].filter((name) => !gone.includes(name)));
    return outcome;
  }

  beat(session: number, seq: number, options: { readonly lifetimeMs: number; readonly grant?: number }) {
    const { lifetimeMs, grant } = options;
    const granted = grant === undefined ? '' : grantCommands(session, grant);
    return this.#write(insertCommand(session, seq, lifetimeMs) + granted);
  }

  grant(session: number, seq: number): Promise<KernelOutcome> {
    return this.#write(grantCommands(session, seq));
  }

  async arm(address: Address, session: number): Promise<KernelOutcome> {
    const name = formatAddress(address);
    const wasArmed = this.#armed.has(name);
    this.#armed = new Map([...this.#armed, [name, session]]);
    this.#guarded = new Set([...this.#guarded, name]);
    const armed = await this.#change(wasArmed ? undefined : armCommands(name, session));
    return armed.kind === 'ok' ? this.#makeAnswerable(name) : armed;
  }

  async disarm(address: Address): Promise<KernelOutcome> {
    const name = formatAddress(address);
    const wasArmed = this.#armed.has(name);
    this.#armed = new Map([...this.#armed].filter(([other]) => other !== name));
    const silenced = await this.#change(wasArmed ? disarmCommands(name) : undefined);
    // Nobody has to wait for this part: what is left on the device is silent.
    if (silenced.kind === 'ok') void this.#removeAnswerable(name);
    return silenced;
  }

  /** The small change, or all addresses anew where it is none or the kernel is not as it was left. */
  async #change(commands: string | undefined): Promise<KernelOutcome> {
    const changed = commands === undefined ? undefined : await this.#write(commands);
    return changed?.kind === 'ok' ? changed : this.#writeAddresses();
  }

  announce(addresses: readonly Address[]): void {
    this.#options.announcer.announce(addresses.map(formatAddress));
  }

  async reassert(): Promise<KernelOutcome> {
    this.#base = undefined;
    const written = await this.#writeAddresses();
    const { runner, uplink } = this.#options;
    if (written.kind !== 'ok') return written;
    await this.#forgetStrangers();
    return ensureAnswerable(runner, uplink, [...this.#armed.keys()]);
  }

  /** Addresses on the uplink that a former run left there and that this one does not answer for. */
  async #forgetStrangers(): Promise<void> {
    const { runner, uplink } = this.#options;
    const left = (await readAnswerable(runner, uplink)).filter((name) => !this.#armed.has(name));
    await removeAnswerable(runner, uplink, left);
  }

  async steer(address: Address, gateway: Address): Promise<void> {
    await this.#options.nft.run(steerCommands(formatAddress(address), tunnelMac(gateway)));
  }

  async readFenced(): Promise<number> {
    const counter = (await this.#readTable()).find((it) => it.counter?.name === 'fenced')?.counter;
    return Number(counter?.packets ?? 0);
  }
}
