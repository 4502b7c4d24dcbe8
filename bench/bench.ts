/** What main.ts knows of a bench. */

/** `null` is a figure that could not be measured; the text for people says why. */
export interface Figures {
  readonly [name: string]: number | null | Figures;
}

export interface BenchOptions {
  readonly runs: number;
  /** Some of the bench's classes; absent: all. */
  readonly classes?: readonly string[];
}

export interface Bench {
  /** What it measures, in a few words, for the list of benches. */
  readonly about: string;
  /** Of what `--classes` picks from; absent where there is nothing to pick. */
  readonly classes?: readonly string[];
  /** Tells people line by line what it saw; throws where a figure would be wrong. */
  run(say: (line: string) => void, options: BenchOptions): Figures | Promise<Figures>;
}
