/** Collects what is asked for while one run is under way into the next: all of a run share its outcome. */

interface Waiting<T> {
  readonly items: Set<string>;
  readonly outcome: Promise<T>;
}

/** @param run is called with everything that was asked for since the last run began, never twice at once */
export function createBatch<T>(run: (items: readonly string[]) => Promise<T>): (item: string) => Promise<T> {
  let running: Promise<unknown> = Promise.resolve();
  let waiting: Waiting<T> | undefined;
  return (item) => {
    if (waiting === undefined) {
      const items = new Set<string>();
      const begin = (): Promise<T> => {
        waiting = undefined;
        return run([...items]);
      };
      const outcome = running.then(begin, begin);
      waiting = { items, outcome };
      running = outcome;
    }
    waiting.items.add(item);
    return waiting.outcome;
  };
}
