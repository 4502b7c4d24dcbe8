/** Collects a reflector's events and lets a test wait until they satisfy it. */
import type { ReflectorEvent } from '../../kube/reflector.ts';

export interface ReflectorCollector<T> {
  readonly items: ReadonlyMap<string, T>;
  readonly events: readonly ReflectorEvent<T>[];
  count(kind: ReflectorEvent<T>['kind']): number;
  readonly onEvent: (event: ReflectorEvent<T>) => void;
  until(satisfied: () => boolean): Promise<void>;
}

export function collectReflector<T>(): ReflectorCollector<T> {
  const items = new Map<string, T>();
  const events: ReflectorEvent<T>[] = [];
  const waiting = new Set<() => void>();
  return {
    items,
    events,
    count: (kind) => events.filter((event) => event.kind === kind).length,
    onEvent(event) {
      events.push(event);
      if (event.kind === 'synced') {
        items.clear();
        for (const [key, value] of event.items) items.set(key, value);
      } else if (event.kind === 'upserted') items.set(event.key, event.value);
      else if (event.kind === 'removed') items.delete(event.key);
      for (const check of waiting) check();
    },
    until: (satisfied) =>
      new Promise((resolve) => {
        const check = (): void => {
          if (!satisfied()) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
  };
}
