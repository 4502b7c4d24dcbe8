/**
 * The data plane over nftables and iproute2. The kernel is the memory: the first apply reads what is there and changes
 * what differs, so that a new process on a working node changes nothing; later ones compare with what was written last,
 * until they are told to forget it or something failed. A process that ends leaves the node forwarding.
 */
import { formatAddress } from '../../policy/address.ts';
import type { DataPlane, KernelOutcome, NodeDataPlane } from '../core/dataPlane.ts';
import { diffElements, diffInPieces } from '../core/dataplane/diffElements.ts';
import { keepsPorts } from '../core/dataplane/endedFlows.ts';
import { type FastRoutes, renderFastRoutes } from '../core/dataplane/fastRoutes.ts';
import { tokenElement } from '../core/dataplane/kernelCommands.ts';
import type { KernelState } from '../core/dataplane/kernelState.ts';
import { parsePressed } from '../core/dataplane/portLimits.ts';
import { HOLDER_MAPS, holdersIn, indicesIn } from '../core/dataplane/renderElements.ts';
import { nothingRendered, type RenderedPlan, renderNext } from '../core/dataplane/renderedPlan.ts';
import { ATTEND_COMMANDS, LEAVE_COMMAND, renderStaticRuleset } from '../core/dataplane/staticRuleset.ts';
import { sameUplinks, type Uplinks } from '../core/uplinks.ts';
import { createBootGate } from './bootGate.ts';
import { cleanKernel } from './cleanKernel.ts';
import { createFastPathGround, type FastPathGround } from './fastPathGround.ts';
import { createFlowForgetter } from './forgetFlows.ts';
import { ensurePeers, ensureTunnel, readMtu, type TunnelOptions } from './iproute.ts';
import { kernelSelfTest } from './kernelSelfTest.ts';
import { createNftables, type Nftables } from './nftables.ts';
import { type NftSession, openNftSession } from './nftSession.ts';
import { compareRules, type ReadKernel, readDoubted } from './readKernel.ts';
import type { ToolRunner } from './runTool.ts';
import type { ToolStarter } from './toolStarter.ts';
import { ensureUplinkRoutes } from './uplinkRoutes.ts';

export interface KernelDataPlaneOptions extends Omit<TunnelOptions, 'sysctlDir' | 'uplinks'> {
  /** Default `/proc/sys/net`. */
  readonly sysctlDir?: string;
  /** Words before every tool, e.g. to enter a network namespace. Default none. */
  readonly execPrefix?: readonly string[];
  /** Default: this process starts its tools itself. */
  readonly starter?: ToolStarter;
  /** Of those who may steer by datagram (core/dataplane/kernelCommands.ts). */
  readonly token: Uint8Array;
  /** Whether what can be is forwarded past routing and connection tracking, where the kernel can; default: it is not. */
  readonly fastPath?: boolean;
  /** Hears where the fast path leads, and why it does not, whenever that is another than before. */
  readonly onFastRoutes?: (routes: FastRoutes) => void;
  /** Where what is to be held after the next boot is kept; default: nowhere. */
  readonly stateDir?: string;
  /** Hears what went wrong that the next apply mends. */
  readonly warn?: (message: string) => void;
}

export interface KernelDataPlane extends DataPlane {
  /** After a boot: holds what was to be held when the node was seen last, until the first plan is applied. */
  holdAtBoot(): Promise<void>;
  /** The node's routes or routing rules changed: the fast path and the uplinks' own tables follow them. */
  routesChanged(): void;
  /** Removes every trace from the kernel, and says what is left. */
  cleanup(): Promise<readonly string[]>;
}

/** Far beyond any of these tools' normal few milliseconds: past it the machine is in trouble, not the tool slow. */
const TOOL_DEADLINE_MS = 5_000;
const NO_STATE: KernelState = { elements: new Map(), chains: new Map() };

export function createKernelDataPlane(options: KernelDataPlaneOptions): KernelDataPlane {
  const { execPrefix = [], starter } = options;
  const runner: ToolRunner = { execPrefix, deadlineMs: TOOL_DEADLINE_MS, ...(starter && { starter }) };
  const tunnel: TunnelOptions = { ...options, sysctlDir: options.sysctlDir ?? '/proc/sys/net' };
  const nftables = createNftables(runner);
  const session = openNftSession(runner);
  // One apply at a time: each compares with what the one before it left.
  let applying: Promise<unknown> = Promise.resolve();
  let known: KnownKernel | undefined;
  // What was known before somebody else may have changed it.
  let doubted: RenderedPlan | undefined;
  const { token, fastPath: wanted = false, onFastRoutes: onRoutes = () => undefined } = options;
  const fastPath = createFastPathGround(runner, { ...tunnel, wanted, onRoutes });
  const { warn = () => undefined } = options;
  const flows = createFlowForgetter(runner, warn);
  const boot = createBootGate({ folder: options.stateDir ?? '', runner, nftables, warn });
  const parts: Parts = { runner, tunnel, nftables, session, token, fastPath };
  const makeEqual = async (plan: NodeDataPlane): Promise<KernelOutcome> => {
    if (known !== undefined && !sameUplinks(known.uplinks, plan.uplinks)) {
      doubted = known.rendered;
      known = undefined;
    }
    const made = known === undefined ? await makeGround(parts, plan.uplinks, doubted) : known;
    doubted = undefined;
    if ('outcome' in made) return made.outcome;
    const applied = await applyPlan(parts, plan, made);
    known = applied.known;
    if (known !== undefined && !leadsAlike(made.rendered?.plan, plan)) flows.planned(plan);
    if (known !== undefined) await boot.planned(plan);
    return applied.outcome;
  };

  return {
    selfTest: () => kernelSelfTest(runner, tunnel),
    apply(plan) {
      const outcome = applying.then(() => makeEqual(plan));
      applying = outcome;
      return outcome;
    },
    holdAtBoot: () => boot.hold(),
    attend: () => session.run(ATTEND_COMMANDS),
    leave: () => session.run(LEAVE_COMMAND),
    routesChanged() {
      applying = applying.then(async () => {
        if (known !== undefined) known = await followRoutes(parts, known);
      });
    },
    forget() {
      applying = applying.then(() => {
        doubted = known?.rendered;
        known = undefined;
      });
    },
    async readCounters() {
      return { packets: (await nftables.read([]))?.counters ?? {} };
    },
    async readPressed() {
      const { egress = new Map<string, number>() } = known?.rendered?.indices ?? {};
      const names = new Map([...egress].map(([name, index]) => [index, name]));
      return widest(
        (await nftables.readPressed()).map(parsePressed).flatMap(({ index, ports }) => {
          const name = names.get(index);
          return name === undefined ? [] : [[name, ports] as const];
        }),
      );
    },
    async readHolders() {
      return holdersIn((await nftables.read(HOLDER_MAPS))?.state ?? NO_STATE);
    },
    async close() {
      await Promise.all([session.close(), flows.close()]);
    },
    cleanup: () => cleanKernel(runner),
  };
}

/** No flow that could stay under one has to end under the other. */
function leadsAlike(before: NodeDataPlane | undefined, after: NodeDataPlane): boolean {
  if (before === undefined || before.pods !== after.pods || before.direct !== after.direct) return false;
  return keepsPorts(before, after);
}

/** An address is listed once for each number of ports that it had within the minute. */
function widest(pressed: readonly (readonly [name: string, ports: number])[]): ReadonlyMap<string, number> {
  return new Map(pressed.toSorted(([, a], [, b]) => a - b));
}

interface Parts {
  readonly runner: ToolRunner;
  readonly tunnel: TunnelOptions;
  readonly nftables: Nftables;
  /** Small changes, such as a move, are in the kernel without the start of a process. */
  readonly session: NftSession;
  readonly token: Uint8Array;
  readonly fastPath: FastPathGround;
}

/** What the kernel holds, as read or as written last: reading it again is what an apply would mostly cost. */
interface KnownKernel {
  readonly uplinks: Uplinks;
  readonly uplinkMtu: number;
  /** The tunnel's forwarding entries, as text; undefined: not looked at yet. */
  readonly peers: string | undefined;
  readonly fast: FastRoutes;
  /** Undefined: nothing was written yet since it was read. */
  readonly rendered: RenderedPlan | undefined;
  readonly read: ReadKernel;
}

/** The tunnel and the ways into it, and whether the rules are there. */
async function makeGround(
  { runner, nftables, fastPath, ...parts }: Parts,
  uplinks: Uplinks,
  doubted: RenderedPlan | undefined,
): Promise<KnownKernel | { readonly outcome: KernelOutcome }> {
  const tunnel: TunnelOptions = { ...parts.tunnel, uplinks };
  const uplinkMtu = await readMtu(runner, tunnel.uplink);
  if (uplinkMtu === undefined)
    return { outcome: { kind: 'refused', message: `there is no device ${tunnel.uplink}` } };
  const outcome = await ensureTunnel(runner, tunnel, uplinkMtu);
  if (outcome.kind !== 'ok') return { outcome };
  // Before the rules that mark packets for them; and before the fast path asks which rules there are.
  const routed = await ensureUplinkRoutes(runner, uplinks);
  if (routed.kind !== 'ok') return { outcome: routed };
  const fast = await fastPath.read(uplinkMtu);
  const capable = await fastPath.capable();
  const tables = await readDoubted(nftables, doubted);
  if (tables === undefined)
    return { outcome: { kind: 'unknown', message: 'nft did not say what the tables hold' } };
  const rules = renderStaticRuleset({ ...tunnel, uplinkMtu, fastPath: capable });
  return {
    uplinks,
    uplinkMtu,
    peers: undefined,
    fast,
    rendered: undefined,
    read: compareRules(tables, rules, capable),
  };
}

/** The same state but for what follows from the routes. */
async function followRoutes(
  { runner, session, fastPath }: Parts,
  before: KnownKernel,
): Promise<KnownKernel | undefined> {
  const routed: KernelOutcome =
    before.uplinks.length === 1 ? { kind: 'ok' } : await ensureUplinkRoutes(runner, before.uplinks);
  if (routed.kind !== 'ok') return undefined;
  const fast = await fastPath.read(before.uplinkMtu);
  if (before.rendered === undefined) return { ...before, fast };
  const [current, desired] = [before.fast, fast].map((it) => ({
    elements: new Map(renderFastRoutes(it)),
    chains: NO_STATE.chains,
  }));
  const outcome = await session.run(diffElements(current ?? NO_STATE, desired ?? NO_STATE));
  return outcome.kind === 'ok' ? { ...before, fast } : undefined;
}

async function applyPlan(
  { runner, session, token }: Parts,
  plan: NodeDataPlane,
  before: KnownKernel,
): Promise<{ readonly known: KnownKernel | undefined; readonly outcome: KernelOutcome }> {
  const samePeers = before.rendered?.plan?.peers === plan.peers;
  const peers = samePeers
    ? before.peers
    : JSON.stringify(plan.peers.map(({ mac, address }) => [mac, formatAddress(address)]));
  const meshed: KernelOutcome = peers === before.peers ? { kind: 'ok' } : await ensurePeers(runner, plan);
  if (meshed.kind !== 'ok') return { known: undefined, outcome: meshed };
  const { rendered, transactions } =
    before.rendered === undefined ? planFirst(plan, before, token) : planNext(plan, before.rendered);
  const outcome = await runAll(session, transactions);
  return { known: outcome.kind === 'ok' ? { ...before, peers, rendered } : undefined, outcome };
}

interface PlannedChange {
  readonly rendered: RenderedPlan;
  readonly transactions: Iterable<string>;
}

/** Against what was read from the kernel. */
function planFirst(plan: NodeDataPlane, { read, fast }: KnownKernel, token: Uint8Array): PlannedChange {
  const { rendered, desired } = renderNext(nothingRendered(indicesIn(read.state, plan.peers)), plan);
  const tokens = new Map([[tokenElement(token), '']]);
  const elements = new Map([...desired.elements, ...renderFastRoutes(fast)]).set('netdev tokens', tokens);
  const { rules, emptied } = read;
  const current = rules === '' || emptied ? read.state : NO_STATE;
  const pieces = diffInPieces(current, { ...desired, elements }, { emptied });
  return { rendered, transactions: withFirst(rules, pieces) };
}

function* withFirst(rules: string, pieces: Iterable<string>): Generator<string> {
  let before = rules;
  for (const piece of pieces) {
    yield before + piece;
    before = '';
  }
}

function planNext(plan: NodeDataPlane, before: RenderedPlan): PlannedChange {
  const { rendered, current, desired } = renderNext(before, plan);
  return { rendered, transactions: diffInPieces(current, desired) };
}

async function runAll(session: NftSession, transactions: Iterable<string>): Promise<KernelOutcome> {
  for (const transaction of transactions) {
    const outcome = await session.run(transaction);
    if (outcome.kind !== 'ok') return outcome;
  }
  return { kind: 'ok' };
}
