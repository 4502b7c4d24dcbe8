/** Runs what a command line asks for and gives the exit code. The one place that knows how commands fail. */
import { type Command, EXIT_FINE, EXIT_UNUSABLE } from '../core/command.ts';
import { renderHelp } from '../core/renderHelp.ts';
import { VERSION } from '../core/version.ts';
import { readCommandLine } from './readCommandLine.ts';
import { runFacts, runValidate, type Surroundings } from './runValidate.ts';
import { Unusable } from './unusable.ts';

/** @param words what follows the program's own name. */
export async function runCommand(words: readonly string[], around: Surroundings): Promise<number> {
  const command = readCommandLine(words);
  if (command.kind === 'refused') {
    const { message, command: about } = command.error;
    const name = about === undefined ? 'sallyport' : `sallyport ${about}`;
    around.terminal.tell(`${name}: ${message}`);
    around.terminal.tell(`see ${name} --help`);
    return EXIT_UNUSABLE;
  }
  try {
    return await run(command.value, around);
  } catch (error) {
    if (!(error instanceof Unusable)) throw error;
    for (const line of error.lines) around.terminal.tell(`sallyport ${command.value.kind}: ${line}`);
    return EXIT_UNUSABLE;
  }
}

async function run(command: Command, around: Surroundings): Promise<number> {
  switch (command.kind) {
    case 'help':
      around.terminal.out(renderHelp(command.topic));
      return EXIT_FINE;
    case 'version':
      around.terminal.out(`sallyport ${VERSION}\n`);
      return EXIT_FINE;
    case 'validate':
      return runValidate(command, around);
    case 'facts':
      return runFacts(command, around);
    case 'status':
    case 'drain':
    case 'undrain':
    case 'rebalance':
    case 'rotate-peer-key':
    case 'certs': {
      const { runClusterCommand } = await import('./runClusterCommand.ts');
      return runClusterCommand(command, around);
    }
    default:
      return command satisfies never;
  }
}
