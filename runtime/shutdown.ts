/**
 * How a program ends: on SIGTERM or SIGINT its hooks run one after the other, the last registered first, as what was
 * started last rests on what was started before. The exit code is 0 only if all of them were done in time. A second
 * signal ends it at once; so does what nobody caught, after a line in the log: a program that goes on after a bug
 * would act on a state that it does not understand.
 */
import { constants } from 'node:os';
import type { Logger } from './logger.ts';

export interface Shutdown {
  /** Aborted when the end begins. */
  readonly signal: AbortSignal;
  onEnd(name: string, hook: () => void | Promise<void>): void;
  /** Begins the end for another reason than a signal: exit code 1. */
  end(reason: string): void;
}

export interface ShutdownOptions {
  readonly logger: Logger;
  /** For all hooks together; less than the pod's terminationGracePeriodSeconds. */
  readonly deadlineMs: number;
}

const EXIT_OK = 0;
const EXIT_FAILED = 1;
/** What shells give a process that a signal ended. */
const EXIT_SIGNAL_BASE = 128;
const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

interface Hook {
  readonly name: string;
  readonly run: () => void | Promise<void>;
}

/** Call it first, and once: it takes over the process's signals and uncaught errors. */
export function installShutdown({ logger, deadlineMs }: ShutdownOptions): Shutdown {
  const hooks: Hook[] = [];
  const ending = new AbortController();
  const begin = (reason: string, exitCode: number): void => {
    logger.info('ending', { reason, deadlineMs });
    setTimeout(() => {
      logger.error('did not end in time', { deadlineMs });
      process.exit(EXIT_FAILED);
    }, deadlineMs);
    ending.abort(reason);
    void runHooks(hooks.toReversed(), logger).then((fine) => {
      logger.info('ended', { reason });
      process.exit(fine ? exitCode : EXIT_FAILED);
    });
  };
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      if (ending.signal.aborted) process.exit(EXIT_SIGNAL_BASE + constants.signals[signal]);
      begin(signal, EXIT_OK);
    });
  }
  process.on('uncaughtException', (error, origin) => {
    logger.error('uncaught', { origin, error });
    process.exit(EXIT_FAILED);
  });
  return {
    signal: ending.signal,
    onEnd(name, run) {
      hooks.push({ name, run });
    },
    end(reason) {
      if (!ending.signal.aborted) begin(reason, EXIT_FAILED);
    },
  };
}

/** False where one failed; those after it run all the same. */
async function runHooks(hooks: readonly Hook[], logger: Logger): Promise<boolean> {
  let fine = true;
  for (const { name, run } of hooks) {
    try {
      await run();
    } catch (error) {
      fine = false;
      logger.error('a part did not end well', { part: name, error });
    }
  }
  return fine;
}
