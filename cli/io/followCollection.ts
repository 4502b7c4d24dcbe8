/** Watches one collection until what is in it is as it should be, or time is up. Sees each change as it comes; never polls. */
import { type Reflector, type ReflectorEvent, startReflector } from '../../kube/reflector.ts';
import { createLogger } from '../../runtime/logger.ts';
import type { Cluster } from './connectCluster.ts';
import { describeKubeError } from './describeKubeError.ts';
import { Unusable } from './unusable.ts';

export interface FollowOptions<T> {
  readonly cluster: Cluster;
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly project: (raw: unknown) => { readonly key: string; readonly value: T } | undefined;
  /** Called with all that there is, at first and after each change. True ends the watch. */
  readonly isDone: (items: readonly T[]) => boolean;
  readonly timeoutMs: number;
}

/** Throws Unusable where the API server refuses the watch for a reason that time does not cure. */
export async function followCollection<T>(options: FollowOptions<T>): Promise<'done' | 'timed-out'> {
  const { cluster, path, query, project, isDone, timeoutMs } = options;
  const items = new Map<string, T>();
  const settled = Promise.withResolvers<'done' | 'timed-out'>();
  const timer = setTimeout(() => settled.resolve('timed-out'), timeoutMs);
  const onEvent = (event: ReflectorEvent<T>): void => {
    if (event.kind === 'disconnected') {
      const { error } = event;
      if (!error.transient && error.code !== 'gone')
        settled.reject(new Unusable([describeKubeError(`watching ${path}`, error)]));
      return;
    }
    absorb(items, event);
    if (isDone([...items.values()])) settled.resolve('done');
  };
  let reflector: Reflector | undefined;
  try {
    reflector = startReflector<T>({
      client: cluster.client,
      path,
      ...(query === undefined ? {} : { query }),
      project,
      onEvent,
      logger: createLogger({ program: 'sallyport', level: 'error' }),
    });
    return await settled.promise;
  } finally {
    clearTimeout(timer);
    await reflector?.stop();
  }
}

function absorb<T>(
  items: Map<string, T>,
  event: Exclude<ReflectorEvent<T>, { readonly kind: 'disconnected' }>,
): void {
  switch (event.kind) {
    case 'synced':
      items.clear();
      for (const [key, value] of event.items) items.set(key, value);
      return;
    case 'upserted':
      items.set(event.key, event.value);
      return;
    case 'removed':
      items.delete(event.key);
      return;
    default:
      return event satisfies never;
  }
}
