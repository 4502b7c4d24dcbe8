import { setTimeout as delay } from 'node:timers/promises';
import { ClusterError } from './command.ts';

const POLL_MS = 150;
/** A pod's image is on its node already, and the slowest start seen is a tenth of this. */
const DEFAULT_TIMEOUT_MS = 90_000;

export interface WaitOptions {
  readonly timeoutMs?: number;
}

/** Asks again until the probe gives a value; at the deadline throws what was awaited and the probe's last error. */
export async function waitUntil<T>(
  what: string,
  probe: () => Promise<T | undefined>,
  options: WaitOptions = {},
): Promise<T> {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const end = performance.now() + timeoutMs;
  let last = '';
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined) return value;
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
    if (performance.now() > end)
      throw new ClusterError('waiting', `for ${what}: not within ${timeoutMs} ms`, last);
    await delay(POLL_MS);
  }
}
