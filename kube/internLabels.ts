/**
 * One object for equal labels, and one string for equal texts: pods of a workload differ in nothing else that is kept of
 * them. What was not seen since the turn before the last is forgotten, so labels of old rollouts do not pile up.
 */
type Labels = Readonly<Record<string, string>>;

export interface Interner {
  labels(labels: Labels): Labels;
  text(text: string): string;
  /** To be called once for each full list. */
  turn(): void;
}

export function createInterner(): Interner {
  const labels = new Generations<Labels>();
  const texts = new Generations<string>();
  const text = (value: string): string => texts.get(value, () => value);
  return {
    text,
    labels: (value) =>
      labels.get(JSON.stringify(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))), () =>
        Object.fromEntries(Object.entries(value).map(([key, it]) => [text(key), text(it)])),
      ),
    turn: () => {
      labels.turn();
      texts.turn();
    },
  };
}

class Generations<T> {
  #young = new Map<string, T>();
  #old = new Map<string, T>();

  get(key: string, make: () => T): T {
    let value = this.#young.get(key);
    if (value === undefined) {
      value = this.#old.get(key) ?? make();
      this.#young.set(key, value);
    }
    return value;
  }

  turn(): void {
    this.#old = this.#young;
    this.#young = new Map();
  }
}
