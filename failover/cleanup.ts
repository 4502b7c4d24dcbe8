/**
 * Clears a node's kernel of Sallyport: `cleanup.js`, by hand, ends when it is done. `cleanup.js --stay`, in place of the agent
 * before an uninstall, is ready when it is done and waits to be ended, as a DaemonSet's pods must.
 */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { startHealthServer } from '../runtime/healthServer.ts';
import { createLogger, type Logger } from '../runtime/logger.ts';
import { installShutdown } from '../runtime/shutdown.ts';
import { type CleanupConfig, readCleanupConfig } from './cleanupConfig.ts';
import { BOOT_FILE } from './io/bootGate.ts';
import { cleanKernel } from './io/cleanKernel.ts';

const TOOL_DEADLINE_MS = 5000;
/** A tool that fails on a busy machine succeeds soon after, or not at all. */
const ATTEMPTS = 3;
const PAUSE_MS = 1000;
const SHUTDOWN_MS = 2000;
const EXIT_NOT_CLEAR = 1;
/** Wrong settings: the exit code that says a restart will not help. */
const EXIT_CONFIG = 2;

async function clear({ stateDir }: CleanupConfig, logger: Logger, attempts: number): Promise<boolean> {
  if (stateDir !== '') await rm(path.join(stateDir, BOOT_FILE), { force: true });
  for (let attempt = 1; attempt <= attempts; attempt += 1) {
    const left = await cleanKernel({ execPrefix: [], deadlineMs: TOOL_DEADLINE_MS });
    if (left.length === 0) {
      logger.info('nothing of Sallyport is left in the kernel of this node');
      return true;
    }
    logger.error('this node is not clear', { left, attempt });
    await setTimeout(PAUSE_MS);
  }
  return false;
}

async function stay(config: CleanupConfig, logger: Logger): Promise<void> {
  const { metricsPort: port } = config;
  const shutdown = installShutdown({ logger, deadlineMs: SHUTDOWN_MS });
  let done = false;
  const readiness = { kernel: () => (done ? undefined : 'not clear yet') };
  const health = await startHealthServer({ port, liveness: {}, readiness, registry: new Registry(), logger });
  shutdown.onEnd('health', () => health.stop());
  done = await clear(config, logger, Number.POSITIVE_INFINITY);
}

const config = readCleanupConfig();
if (config.kind === 'ok') {
  const logger = createLogger({ program: 'cleanup', level: config.value.logLevel });
  if (process.argv.includes('--stay')) await stay(config.value, logger);
  else if (!(await clear(config.value, logger, ATTEMPTS))) process.exitCode = EXIT_NOT_CLEAR;
} else {
  process.stderr.write(config.error.map((problem) => `${problem}\n`).join(''));
  process.exitCode = EXIT_CONFIG;
}
