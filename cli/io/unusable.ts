/**
 * Why a command ends without having judged or done anything. Thrown, as it has to come up from below every step of a
 * command; caught once, by runCommand.
 */
export class Unusable extends Error {
  readonly lines: readonly string[];
  constructor(lines: readonly string[]) {
    super(lines.join('\n'));
    this.name = 'Unusable';
    this.lines = lines;
  }
}
