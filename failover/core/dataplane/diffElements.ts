/**
 * The smallest transactions that turn one state of our sets, maps and content-named chains into another. Order matters
 * within one: chains come before the elements that point at them and go after the elements that did.
 *
 * nft holds the namespace's one commit lock for as long as the kernel takes a transaction, and everybody else's firewall
 * waits. So what does not fit one transaction goes in pieces: first all that decides which packets leave, then the ports
 * of whole addresses. Until a gateway knows a port it drops what comes from it and for it.
 */
import {
  type Elements,
  type GranuleMap,
  type KernelState,
  MANAGED_NAMES,
  type ManagedName,
  NO_ELEMENTS,
  qualified,
  TABLE,
} from './kernelState.ts';
import { type PortChange, portChanges, RANGES_NAMES } from './portElements.ts';

/** Elements in one command: keeps lines readable in a log; nft itself has no such limit. */
const ELEMENTS_PER_COMMAND = 512;
/** Some 50 ms of the kernel's lock, and 20 MB of memory for nft. */
const ELEMENTS_PER_TRANSACTION = 16_384;

type Name = ManagedName | GranuleMap;
type Deletion = readonly [name: Name, key: string];
type Addition = readonly [name: Name, key: string, value: string];
interface Change {
  readonly deletions: readonly Deletion[];
  readonly additions: readonly Addition[];
}

export interface DiffOptions {
  readonly elementsMax?: number;
  /** The rules of all chains are gone from the kernel, their names and what points at them are not. */
  readonly emptied?: boolean;
}

/** nft commands, one a line, to be run as one transaction; empty: nothing to do. */
export function diffElements(current: KernelState, desired: KernelState): string {
  return [...diffInPieces(current, desired, { elementsMax: Number.POSITIVE_INFINITY })].join('');
}

/** Transactions to be run in this order, each made when it is asked for. The first may be empty, and is for the chains. */
export function* diffInPieces(
  current: KernelState,
  desired: KernelState,
  { elementsMax = ELEMENTS_PER_TRANSACTION, emptied = false }: DiffOptions = {},
): Generator<string> {
  const rest = MANAGED_NAMES.filter((name) => !RANGES_NAMES.some((it) => it === name));
  const decisive = joined(rest.map((name) => change(name, ...elementsOf(name, current, desired))));
  const pieces = piecesOf(portChangesOf(current, desired), elementsMax);
  const first = pieces.next().value ?? joined([]);
  const second = pieces.next().value;
  const [before, after] = chainCommands(current, desired, emptied);
  const fits = second === undefined && size(first) + size(decisive) <= elementsMax;
  yield text([...before, ...commandsOf(fits ? joined([decisive, first]) : decisive), ...after]);
  if (fits) return;
  yield text(commandsOf(first));
  if (second !== undefined) yield text(commandsOf(second));
  for (const piece of pieces) yield text(commandsOf(piece));
}

function text(lines: readonly string[]): string {
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

/** What comes before the elements, and what after. */
function chainCommands(
  current: KernelState,
  desired: KernelState,
  emptied: boolean,
): readonly [before: readonly string[], after: readonly string[]] {
  const added = [...desired.chains].filter(([name]) => !current.chains.has(name));
  const filled = emptied ? [...desired.chains] : added;
  const removed = [...current.chains.keys()].filter((name) => !desired.chains.has(name));
  return [
    [
      ...added.map(([name]) => `add chain inet ${TABLE} ${name}`),
      ...filled.flatMap(([name, rules]) => rules.map((rule) => `add rule inet ${TABLE} ${name} ${rule}`)),
    ],
    [
      ...removed.map((name) => `flush chain inet ${TABLE} ${name}`),
      ...removed.map((name) => `delete chain inet ${TABLE} ${name}`),
    ],
  ];
}

function* portChangesOf(current: KernelState, desired: KernelState): Generator<PortChange> {
  for (const name of RANGES_NAMES) yield* portChanges(name, ...elementsOf(name, current, desired));
}

function elementsOf(name: ManagedName, current: KernelState, desired: KernelState): [Elements, Elements] {
  return [current.elements.get(name) ?? NO_ELEMENTS, desired.elements.get(name) ?? NO_ELEMENTS];
}

/** A changed value is a deletion and an addition: adding over another value is refused (EEXIST). */
function change(name: ManagedName, current: Elements, desired: Elements): Change {
  return {
    deletions: [...current].flatMap(([key, value]) => (desired.get(key) === value ? [] : [[name, key]])),
    additions: [...desired].flatMap(([key, value]) =>
      current.get(key) === value ? [] : [[name, key, value]],
    ),
  };
}

/** Whole addresses together: what of an address changes hands does so at once. */
function* piecesOf(changes: Iterable<PortChange>, elementsMax: number): Generator<Change, undefined> {
  let piece: PortChange[] = [];
  let room = elementsMax;
  for (const it of changes) {
    if (size(it) > room && piece.length > 0) {
      yield joined(piece);
      piece = [];
      room = elementsMax;
    }
    piece.push(it);
    room -= size(it);
  }
  if (piece.length > 0) yield joined(piece);
}

function size({ deletions, additions }: Change): number {
  return deletions.length + additions.length;
}

function joined(changes: readonly Change[]): Change {
  return {
    deletions: changes.flatMap(({ deletions }) => deletions),
    additions: changes.flatMap(({ additions }) => additions),
  };
}

function commandsOf({ deletions, additions }: Change): readonly string[] {
  const keys = grouped(deletions, ([, key]) => key);
  const pairs = grouped(additions, ([, key, value]) => (value === '' ? key : `${key} : ${value}`));
  return [
    ...[...keys].flatMap(([name, elements]) => commands(`delete element ${qualified(name)}`, elements)),
    ...[...pairs].flatMap(([name, elements]) => commands(`add element ${qualified(name)}`, elements)),
  ];
}

function grouped<T extends Deletion | Addition>(
  changes: readonly T[],
  text: (of: T) => string,
): ReadonlyMap<Name, readonly string[]> {
  const groups = new Map<Name, string[]>();
  for (const it of changes) {
    const group = groups.get(it[0]);
    if (group === undefined) groups.set(it[0], [text(it)]);
    else group.push(text(it));
  }
  return groups;
}

function commands(command: string, elements: readonly string[]): readonly string[] {
  const count = Math.ceil(elements.length / ELEMENTS_PER_COMMAND);
  return Array.from({ length: count }, (_, index) => {
    const part = elements.slice(index * ELEMENTS_PER_COMMAND, (index + 1) * ELEMENTS_PER_COMMAND);
    return `${command} { ${part.join(', ')} }`;
  });
}
