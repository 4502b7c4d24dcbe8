/**
 * Decides what a command line asks for. The words were split by Node's parser along commandOptions.ts; here they become
 * one value of the command union, or one sentence that says what is wrong with them.
 */
import { nearestName } from '../../policy/nearestName.ts';
import { ok, type Result, refused } from '../../policy/result.ts';
import { COMMAND_NAMES, type Command, type CommandName, type UsageProblem } from './command.ts';
import { type SplitWords, WordReader } from './wordReader.ts';

const REPORT_FORMATS = ['text', 'json', 'sarif'] as const;
const STATUS_FORMATS = ['text', 'json'] as const;

/** The command that the first word names. */
export function parseCommandName(word: string): Result<CommandName, UsageProblem> {
  const name = COMMAND_NAMES.find((known) => known === word);
  if (name !== undefined) return ok(name);
  const near = nearestName(word, COMMAND_NAMES);
  const hint = near === undefined ? `the commands are ${COMMAND_NAMES.join(', ')}` : `did you mean ${near}?`;
  return refused({ message: `${JSON.stringify(word)} is no command; ${hint}` });
}

export function parseCommand(command: CommandName, words: SplitWords): Result<Command, UsageProblem> {
  if (words.values.help === true) return ok({ kind: 'help', topic: command });
  const problems: string[] = [];
  const parsed = parseFor(command, new WordReader(words, problems));
  const [message] = problems;
  return message === undefined ? ok(parsed) : refused({ message, command });
}

function parseFor(command: CommandName, words: WordReader): Command {
  const cluster = words.cluster();
  switch (command) {
    case 'validate':
      return {
        kind: 'validate',
        cluster,
        sources: words.sources(),
        facts: words.facts(),
        configured: { routable: words.cidrs('routable'), networks: words.networks() },
        settings: words.settings(),
        format: words.format(REPORT_FORMATS),
        strict: words.flag('strict'),
      };
    case 'facts':
      words.none();
      return { kind: 'facts', cluster };
    case 'status':
      words.none();
      return { kind: 'status', cluster, format: words.format(STATUS_FORMATS) };
    case 'drain':
      return { kind: 'drain', cluster, node: words.one('NODE'), ...words.wait() };
    case 'undrain':
      return { kind: 'undrain', cluster, node: words.one('NODE') };
    case 'rebalance':
      return { kind: 'rebalance', cluster, policy: words.policy(), ...words.wait() };
    case 'rotate-peer-key': {
      words.none();
      const namespace = words.text('namespace');
      return { kind: 'rotate-peer-key', cluster, ...(namespace === undefined ? {} : { namespace }) };
    }
    case 'certs': {
      const namespace = words.text('namespace');
      const act = words.certs(STATUS_FORMATS);
      return { kind: 'certs', cluster, act, ...(namespace === undefined ? {} : { namespace }) };
    }
    default:
      return command satisfies never;
  }
}
