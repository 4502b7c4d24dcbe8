/** What main.ts knows of a bench. */

/** `null` is a figure that could not be measured; the text for people says why. */
export interface Figures {
  readonly [name: string]: number | null | Figures;
}

export interface Bench {
  /** What it measures, in a few words, for the list of benches. */
  readonly about: string;
  /** Tells people line by line what it saw; throws where a figure would be wrong. */
  run(say: (line: string) => void, options: { readonly runs: number }): Figures | Promise<Figures>;
}
