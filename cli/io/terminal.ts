/** What a command writes to. Findings go out; what goes wrong, and what is said on the way, goes to the other one. */
export interface Terminal {
  out(text: string): void;
  /** A line. */
  tell(line: string): void;
}
