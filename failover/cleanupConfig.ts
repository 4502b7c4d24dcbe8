/** The settings of the program that clears a node: read once from the environment. By hand on a node none is needed. */
import type { Result } from '../policy/result.ts';
import { LOG_LEVELS, type LogLevel } from '../runtime/logger.ts';
import { type Environment, readEnv } from '../runtime/readEnv.ts';

export interface CleanupConfig {
  /** LOG_LEVEL, default info. */
  readonly logLevel: LogLevel;
  /** Where agents keep what is to be held after a boot: it goes as well. STATE_DIR, default empty: nothing is looked for. */
  readonly stateDir: string;
  /** Where the kubelet asks whether the node is clear, 0..65535, while the program stays. METRICS_PORT, default 9092. */
  readonly metricsPort: number;
}

export function readCleanupConfig(
  // biome-ignore lint/style/noProcessEnv: this is the config.ts of one of the folder's programs.
  env: Environment = process.env,
): Result<CleanupConfig, readonly string[]> {
  return readEnv(env, (reader) => ({
    logLevel: reader.choice('LOG_LEVEL', LOG_LEVELS, 'info'),
    stateDir: reader.text('STATE_DIR', ''),
    metricsPort: reader.integer('METRICS_PORT', { min: 0, max: 65_535, fallback: 9092 }),
  }));
}
