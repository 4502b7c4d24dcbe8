/** The time relations of ownership from the environment: the agents and the controller must have the same. */
import type { EnvReader } from '../runtime/readEnv.ts';
import {
  checkDurations,
  type Durations,
  deriveDurations,
  leastPromiseMs,
} from './core/ownership/durations.ts';

/**
 * HEARTBEAT_MILLISECONDS, H, 5..10000, default 25; SESSION_MILLISECONDS, L, 40..60000, default 200, at least four
 * heartbeats; PROMISE_MILLISECONDS, P, default the least that keeps two gateways apart: less is refused.
 */
export function readDurations(reader: EnvReader): Durations {
  const milliseconds = (
    name: string,
    min: number,
    { max, fallback }: { readonly max: number; readonly fallback: number },
  ) => reader.durationMs(name, { unit: 'milliseconds', min, max, fallback });
  const heartbeatMs = milliseconds('HEARTBEAT_MILLISECONDS', 5, { max: 10_000, fallback: 25 });
  const sessionMs = milliseconds('SESSION_MILLISECONDS', 40, { max: 60_000, fallback: 200 });
  const fallback = Math.ceil(leastPromiseMs(sessionMs));
  const promiseMs = milliseconds('PROMISE_MILLISECONDS', 1, { max: 120_000, fallback });
  const settings = { heartbeatMs, sessionMs, promiseMs };
  for (const problem of checkDurations(settings)) reader.refuse(problem);
  return deriveDurations(settings);
}
