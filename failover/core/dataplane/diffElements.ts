/**
 * The smallest transaction that turns one state of our sets, maps and content-named chains into another. Order matters
 * within it: chains come before the elements that point at them and go after the elements that did.
 */
import {
  type Elements,
  type KernelState,
  MANAGED_NAMES,
  type ManagedName,
  NO_ELEMENTS,
  qualified,
  TABLE,
} from './kernelState.ts';

/** Elements in one command: keeps lines readable in a log; nft itself has no such limit. */
const ELEMENTS_PER_COMMAND = 512;

/** nft commands, one a line, to be run as one transaction; empty: nothing to do. */
export function diffElements(current: KernelState, desired: KernelState): string {
  const added = [...desired.chains].filter(([name]) => !current.chains.has(name));
  const removed = [...current.chains.keys()].filter((name) => !desired.chains.has(name));
  const changes = MANAGED_NAMES.map((name) =>
    change(name, current.elements.get(name) ?? NO_ELEMENTS, desired.elements.get(name) ?? NO_ELEMENTS),
  );
  const lines = [
    ...added.map(([name]) => `add chain inet ${TABLE} ${name}`),
    ...added.flatMap(([name, rules]) => rules.map((rule) => `add rule inet ${TABLE} ${name} ${rule}`)),
    ...changes.flatMap(({ deletions }) => deletions),
    ...changes.flatMap(({ additions }) => additions),
    ...removed.map((name) => `flush chain inet ${TABLE} ${name}`),
    ...removed.map((name) => `delete chain inet ${TABLE} ${name}`),
  ];
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

/** A changed value is a deletion and an addition: adding over another value is refused (EEXIST). */
function change(
  name: ManagedName,
  current: Elements,
  desired: Elements,
): { readonly deletions: readonly string[]; readonly additions: readonly string[] } {
  const gone = [...current].filter(([key, value]) => desired.get(key) !== value).map(([key]) => key);
  const come = [...desired]
    .filter(([key, value]) => current.get(key) !== value)
    .map(([key, value]) => (value === '' ? key : `${key} : ${value}`));
  return {
    deletions: commands(`delete element ${qualified(name)}`, gone),
    additions: commands(`add element ${qualified(name)}`, come),
  };
}

function commands(command: string, elements: readonly string[]): readonly string[] {
  const count = Math.ceil(elements.length / ELEMENTS_PER_COMMAND);
  return Array.from({ length: count }, (_, index) => {
    const part = elements.slice(index * ELEMENTS_PER_COMMAND, (index + 1) * ELEMENTS_PER_COMMAND);
    return `${command} { ${part.join(', ')} }`;
  });
}
