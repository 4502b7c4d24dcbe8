/**
 * Decides which node holds which ports of one egress IP. Ports are handed out in granules of 64 (the gateway's map is
 * keyed by address and granule), never to two nodes at once, and a block that came back rests until peers have
 * forgotten its connections. Blocks never grow or shrink: a node that wants more gets one more block, and gives back whole ones.
 *
 * Relies on the caller to name a node gone, or a block returned, only when nothing of it can send any more.
 */
import type { PortBlock, RestingBlock } from '../egressIp.ts';

export const GRANULE_PORTS = 64;
/** Below are the ports that the outside may take for services. */
export const FIRST_PORT = 1024;
export const LAST_PORT = 65_535;
const GRANULES = (LAST_PORT + 1 - FIRST_PORT) / GRANULE_PORTS;
/** The last eighth is for nodes that have none yet: one that wants ever more must not keep others' pods from getting out. */
const KEPT_FOR_NEW_NODES = GRANULES / 8;

export interface Allocation {
  readonly blocksVersion: number;
  readonly blocks: readonly PortBlock[];
  readonly resting: readonly RestingBlock[];
}

export interface AllocationInput {
  readonly current: Allocation;
  /** Node → ports it wants in all. */
  readonly demand: ReadonlyMap<string, number>;
  /** Nodes that exist; the blocks of all others come back. */
  readonly nodes: ReadonlySet<string>;
  /** Node → the version up to which it has stopped using its blocks: those come back. */
  readonly returned: ReadonlyMap<string, number>;
  /** What a node starts with; less where many nodes share the address. */
  readonly initialPorts: number;
  readonly quarantineMs: number;
  /** Wall clock, milliseconds since the epoch: it has to outlive this process. */
  readonly nowMs: number;
}

/** The same object if nothing changed. `exhausted` names nodes that want ports and could get none. */
export function allocatePorts(input: AllocationInput): {
  readonly allocation: Allocation;
  readonly exhausted: readonly string[];
} {
  const { current, nodes, nowMs, quarantineMs } = input;
  const stays = ({ node, version }: PortBlock): boolean =>
    nodes.has(node) && version > (input.returned.get(node) ?? 0);
  const blocks = current.blocks.filter(stays);
  const returned = current.blocks.filter((block) => !stays(block));
  // What has rested stays known until it is handed out again: by it the oldest is found.
  const rested: readonly RestingBlock[] = [
    ...current.resting,
    ...returned.map(({ first, last }) => ({ first, last, untilMs: nowMs + quarantineMs })),
  ];
  const version = current.blocksVersion + 1;
  const wishes = wanting(input, blocks);
  // Most addresses want nothing most of the time: their granules need no looking at.
  const taken =
    wishes.length === 0
      ? []
      : markTaken([...blocks, ...rested.filter(({ untilMs }) => isResting(untilMs, nowMs))]);
  const usedUntil = wishes.length === 0 ? [] : lastUses(rested);
  let free = taken.filter((it) => !it).length;
  const exhausted: string[] = [];
  for (const [node, ports] of wishes) {
    const hasSome = blocks.some((block) => block.node === node);
    const wanted = Math.min(Math.ceil(ports / GRANULE_PORTS), hasSome ? free - KEPT_FOR_NEW_NODES : free);
    const block = wanted > 0 ? findFree(taken, wanted, usedUntil) : undefined;
    if (block === undefined) {
      exhausted.push(node);
      continue;
    }
    for (let granule = block.start; granule < block.start + block.length; granule += 1) taken[granule] = true;
    free -= block.length;
    blocks.push({ node, first: portOf(block.start), last: portOf(block.start + block.length) - 1, version });
  }
  const given = blocks.filter((block) => block.version === version);
  if (given.length === 0 && returned.length === 0) return { allocation: current, exhausted };
  const resting = given.reduce(without, rested);
  return { allocation: { blocksVersion: version, blocks, resting }, exhausted };
}

/** Peers may still remember its connections. */
export function isResting(untilMs: number, nowMs: number): boolean {
  return untilMs > nowMs;
}

/** What is left of resting blocks when some of their ports are handed out. */
function without(resting: readonly RestingBlock[], { first, last }: PortBlock): readonly RestingBlock[] {
  return resting.flatMap((rest) => {
    if (rest.last < first || rest.first > last) return [rest];
    return [
      ...(rest.first < first ? [{ ...rest, last: first - 1 }] : []),
      ...(rest.last > last ? [{ ...rest, first: last + 1 }] : []),
    ];
  });
}

/** Nodes that hold less than they want, and how much is missing; sorted, so that every controller decides alike. */
function wanting(
  input: AllocationInput,
  blocks: readonly PortBlock[],
): readonly (readonly [string, number])[] {
  const sharers = Math.max(1, [...input.demand.keys()].filter((node) => input.nodes.has(node)).length);
  const fairPorts = Math.max(1, Math.floor(GRANULES / sharers)) * GRANULE_PORTS;
  const start = Math.min(input.initialPorts, fairPorts);
  return [...input.demand]
    .filter(([node, ports]) => ports > 0 && input.nodes.has(node))
    .map(([node, ports]): readonly [string, number] => {
      const held = blocks
        .filter((block) => block.node === node)
        .reduce((sum, { first, last }) => sum + last - first + 1, 0);
      return [node, (held === 0 ? Math.max(ports, start) : ports) - held];
    })
    .filter(([, missing]) => missing > 0)
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
}

function markTaken(ranges: readonly { readonly first: number; readonly last: number }[]): boolean[] {
  const taken = Array.from({ length: GRANULES }, () => false);
  for (const { first, last } of ranges) {
    for (let granule = granuleOf(first); granule <= granuleOf(last); granule += 1) taken[granule] = true;
  }
  return taken;
}

/** By granule, when its quarantine ended; 0 for those never used. Ports that rested longest are handed out first. */
function lastUses(rested: readonly RestingBlock[]): readonly number[] {
  const uses = Array.from({ length: GRANULES }, () => 0);
  for (const { first, last, untilMs } of rested)
    for (let granule = granuleOf(first); granule <= granuleOf(last); granule += 1)
      uses[granule] = Math.max(uses[granule] ?? 0, untilMs);
  return uses;
}

/** A free run of the wanted length, or the longest there is; among equals the one that rested longest, then the lowest. */
function findFree(
  taken: readonly boolean[],
  wanted: number,
  usedUntil: readonly number[],
): { readonly start: number; readonly length: number } | undefined {
  let best: { readonly start: number; readonly length: number; readonly used: number } | undefined;
  let length = 0;
  for (let granule = 0; granule < GRANULES; granule += 1) {
    length = taken[granule] === true ? 0 : Math.min(length + 1, wanted);
    if (length === 0) continue;
    const start = granule - length + 1;
    if (best !== undefined && length < best.length) continue;
    // The youngest of its granules is the age of a run.
    const used = Math.max(...usedUntil.slice(start, granule + 1));
    if (best === undefined || length > best.length || used < best.used) best = { start, length, used };
  }
  return best;
}

/** Of the address's ports, the part that cannot be handed out: those that nodes hold, and those that rest. 0..1. */
export function portsTakenRatio(
  { blocks, resting }: Pick<Allocation, 'blocks' | 'resting'>,
  nowMs: number,
): number {
  const taken = [...blocks, ...resting.filter(({ untilMs }) => isResting(untilMs, nowMs))];
  const ports = taken.reduce((sum, { first, last }) => sum + last - first + 1, 0);
  return ports / (GRANULES * GRANULE_PORTS);
}

function granuleOf(port: number): number {
  return Math.floor((port - FIRST_PORT) / GRANULE_PORTS);
}

function portOf(granule: number): number {
  return FIRST_PORT + granule * GRANULE_PORTS;
}
