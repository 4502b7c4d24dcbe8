/** Splits the words of a command line by Node's own parser and gives them to core, which says what they mean. */
import { parseArgs } from 'node:util';
import { nearestName } from '../../policy/nearestName.ts';
import { ok, type Result, refused } from '../../policy/result.ts';
import type { Command, CommandName, UsageProblem } from '../core/command.ts';
import { COMMAND_OPTIONS } from '../core/commandOptions.ts';
import { parseCommand, parseCommandName } from '../core/parseCommand.ts';

/** @param words what follows the program's own name. */
export function readCommandLine(words: readonly string[]): Result<Command, UsageProblem> {
  const [first, ...rest] = words;
  if (first === undefined) return refused({ message: 'no command is given' });
  if (first === '--version' || first === 'version') return ok({ kind: 'version' });
  if (first === '--help' || first === '-h') return ok({ kind: 'help' });
  if (first === 'help') return readHelp(rest);
  if (first.startsWith('-')) return refused({ message: `${first} stands before the command; put it behind` });
  const name = parseCommandName(first);
  return name.kind === 'ok' ? readOptions(name.value, rest) : name;
}

function readHelp([topic]: readonly string[]): Result<Command, UsageProblem> {
  if (topic === undefined) return ok({ kind: 'help' });
  const name = parseCommandName(topic);
  return name.kind === 'ok' ? ok({ kind: 'help', topic: name.value }) : name;
}

function readOptions(command: CommandName, words: readonly string[]): Result<Command, UsageProblem> {
  const options = COMMAND_OPTIONS[command];
  try {
    const { values, positionals } = parseArgs({
      args: [...words],
      options,
      allowPositionals: true,
      strict: true,
    });
    return parseCommand(command, { values, positionals });
  } catch (error) {
    if (!(error instanceof TypeError && 'code' in error)) throw error;
    return refused({ command, message: explain(error, Object.keys(options)) });
  }
}

/** The first sentence of what Node says, and the option that was probably meant. */
function explain({ message }: TypeError, known: readonly string[]): string {
  const sentence = message.split(/\.(?:\s|$)/)[0] ?? message;
  const unknown = /^Unknown option '--([^']+)'/.exec(message)?.[1];
  const near = unknown === undefined ? undefined : nearestName(unknown, known);
  return near === undefined ? sentence : `${sentence}; did you mean --${near}?`;
}
