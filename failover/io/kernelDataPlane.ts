/**
 * The data plane over nftables and iproute2. The kernel is the only memory: every apply reads what is there and changes
 * what differs, so that a new process on a working node changes nothing, and closing leaves the node forwarding.
 */
import { spawn } from 'node:child_process';
import { formatAddress } from '../../policy/address.ts';
import type { DataPlane, KernelOutcome, NodeDataPlane } from '../core/dataPlane.ts';
import { diffElements } from '../core/dataplane/diffElements.ts';
import { type KernelState, TABLE } from '../core/dataplane/kernelState.ts';
import type { ParsedTables } from '../core/dataplane/parseTables.ts';
import { renderElements } from '../core/dataplane/renderElements.ts';
import { renderStaticRuleset } from '../core/dataplane/staticRuleset.ts';
import { createAnnouncer } from './announcer.ts';
import { createAnswerGate, type KernelGate } from './answerGate.ts';
import { ensurePeers, ensureTunnel, readMtu, removeTunnel, type TunnelOptions } from './iproute.ts';
import { kernelSelfTest } from './kernelSelfTest.ts';
import { createNftables, type Nftables } from './nftables.ts';
import type { ToolRunner } from './runTool.ts';
import { readAnswerable, removeAnswerable } from './uplinkAddresses.ts';

export interface KernelDataPlaneOptions extends Omit<TunnelOptions, 'sysctlDir'> {
  /** Default `/proc/sys/net`. */
  readonly sysctlDir?: string;
  /** Words before every tool, e.g. to enter a network namespace. Default none. */
  readonly execPrefix?: readonly string[];
  /** Told what could not be mended in the background. */
  readonly warn?: (message: string) => void;
}

export interface KernelDataPlane extends DataPlane {
  /** Removes every trace from the kernel: for uninstalling. */
  cleanup(): Promise<void>;
}

/** Far beyond any of these tools' normal few milliseconds: past it the machine is in trouble, not the tool slow. */
const TOOL_DEADLINE_MS = 5_000;
/** Events of one flap of a link come in a bunch; one look after them is enough. */
const FLAP_SETTLE_MS = 10;
const NO_STATE: KernelState = { elements: new Map(), chains: new Map() };

export function createKernelDataPlane(options: KernelDataPlaneOptions): KernelDataPlane {
  const runner: ToolRunner = { execPrefix: options.execPrefix ?? [], deadlineMs: TOOL_DEADLINE_MS };
  const tunnel: TunnelOptions = { ...options, sysctlDir: options.sysctlDir ?? '/proc/sys/net' };
  const nftables = createNftables(runner);
  const announcer = createAnnouncer({
    execPrefix: runner.execPrefix,
    uplink: options.uplink,
    self: formatAddress(options.self),
  });
  let base: Promise<KernelOutcome> | undefined;
  // One apply at a time: each compares with what the one before it left.
  let applying: Promise<unknown> = Promise.resolve();
  const ensureBase = (): Promise<KernelOutcome> => {
    base ??= makeEqual(undefined).then((outcome) => {
      if (outcome.kind !== 'ok') base = undefined;
      return outcome;
    });
    return base;
  };
  const gate: KernelGate = createAnswerGate({
    runner,
    uplink: options.uplink,
    nftables,
    announcer,
    ensureBase,
  });
  const makeEqual = (plan: NodeDataPlane | undefined): Promise<KernelOutcome> =>
    makeKernelEqual({ runner, tunnel, nftables, gate }, plan);
  const watch = watchUplink(runner, () => gate.reassert(), options.warn ?? (() => undefined));

  return {
    gate,
    selfTest: () => kernelSelfTest(runner, tunnel),
    apply(plan) {
      const outcome = applying.then(async () => {
        const ready = await ensureBase();
        return ready.kind === 'ok' ? makeEqual(plan) : ready;
      });
      applying = outcome;
      return outcome;
    },
    async readCounters() {
      return { packets: (await nftables.read()).counters };
    },
    async readHolders() {
      return (await nftables.read()).state.elements.get('netdev gateway_macs') ?? new Map();
    },
    async close() {
      watch.stop();
      announcer.close();
    },
    async cleanup() {
      watch.stop();
      announcer.close();
      await removeAnswerable(runner, options.uplink, await readAnswerable(runner, options.uplink));
      // Added first so that the deletion succeeds where a table is already gone.
      await nftables.run(
        ['inet', 'netdev']
          .map((family) => `table ${family} ${TABLE}\ndelete table ${family} ${TABLE}\n`)
          .join(''),
      );
      await removeTunnel(runner);
    },
  };
}

interface Parts {
  readonly runner: ToolRunner;
  readonly tunnel: TunnelOptions;
  readonly nftables: Nftables;
  readonly gate: KernelGate;
}

/** Without a plan only the ground is made: tunnel, rules and empty maps where none are. */
async function makeKernelEqual(parts: Parts, plan: NodeDataPlane | undefined): Promise<KernelOutcome> {
  const { runner, tunnel, nftables, gate } = parts;
  const uplinkMtu = await readMtu(runner, tunnel.uplink);
  if (uplinkMtu === undefined) return { kind: 'refused', message: `there is no device ${tunnel.uplink}` };
  const made = await ensureTunnel(runner, tunnel, uplinkMtu);
  if (made.kind !== 'ok') return made;
  const rules = renderStaticRuleset({ ...tunnel, uplinkMtu });
  const tables = await nftables.read();
  const upToDate = isUpToDate(tables, rules.fingerprint);
  if (plan === undefined) return upToDate ? made : nftables.run(rules.text);
  const meshed = await ensurePeers(runner, plan.peers);
  if (meshed.kind !== 'ok') return meshed;
  const desired = renderElements(plan, tables.state);
  const changes = upToDate
    ? diffElements(withArmed(tables.state, gate), withArmed(desired, gate))
    : rules.text + diffElements(NO_STATE, desired) + gate.rearmCommands();
  const applied = await nftables.run(changes);
  if (applied.kind === 'ok') await forgetStrangers(parts, plan);
  return applied;
}

/** Armed addresses stay fenced whether or not a plan still names them. */
function withArmed(state: KernelState, gate: KernelGate): KernelState {
  const elements = new Map(state.elements);
  for (const name of ['inet egress_ips', 'netdev egress_ips'] as const) {
    const armed = [...gate.armedAddresses()].map((address) => [address, ''] as const);
    elements.set(name, new Map([...(elements.get(name) ?? []), ...armed]));
  }
  return { ...state, elements };
}

/** Base chains go with their device, so the rules count only while both of those are there. */
function isUpToDate({ chains }: ParsedTables, fingerprint: string): boolean {
  return [`inet ${fingerprint}`, `netdev ${fingerprint}`, 'netdev into_tunnel', 'netdev guard'].every(
    (name) => chains.has(name),
  );
}

/** Addresses that a former run left on the uplink and that nothing speaks of any more. */
async function forgetStrangers({ runner, tunnel, gate }: Parts, plan: NodeDataPlane): Promise<void> {
  const known = new Set([
    ...plan.addresses.map(({ address }) => formatAddress(address)),
    ...gate.armedAddresses(),
  ]);
  const left = (await readAnswerable(runner, tunnel.uplink)).filter((address) => !known.has(address));
  await removeAnswerable(runner, tunnel.uplink, left);
}

/** `ip monitor` prints on every change of links and addresses, our own included: a look finds those in order. */
function watchUplink(
  { execPrefix }: ToolRunner,
  reassert: () => Promise<KernelOutcome>,
  warn: (message: string) => void,
): { readonly stop: () => void } {
  const [file = '', ...args] = [...execPrefix, 'ip', 'monitor', 'link', 'address'];
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  child.stdout.on('data', () => {
    if (stopped) return;
    timer ??= setTimeout(() => {
      timer = undefined;
      void reassert().then((outcome) => {
        if (outcome.kind !== 'ok') warn(`the uplink's addresses could not be restored: ${outcome.message}`);
      });
    }, FLAP_SETTLE_MS);
  });
  child.on('error', (error) => warn(`the uplink is not watched: ${error.message}`));
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
      child.kill();
    },
  };
}
