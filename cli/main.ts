#!/usr/bin/env node
/** The command `sallyport`, also as `kubectl sallyport`. */
import { readCliConfig } from './config.ts';
import { runCommand } from './io/runCommand.ts';

// A reader that has seen enough (`sallyport status | head`) closes the pipe: no error, and nothing is left to say.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

process.exitCode = await runCommand(process.argv.slice(2), {
  terminal: {
    out: (text) => void process.stdout.write(text),
    tell: (line) => void process.stderr.write(`${line}\n`),
  },
  stdin: process.stdin,
  config: readCliConfig(),
});
