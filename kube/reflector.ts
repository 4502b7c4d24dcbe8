/**
 * Keeps a copy of one collection: lists it page by page, then watches from where the list was taken. A new list
 * replaces the whole copy only when its last page is in. Only what `project` keeps stays in memory.
 */
import { FieldReader } from '../policy/fieldReader.ts';
import type { Logger } from '../runtime/logger.ts';
import { isOlderVersion } from './core/isOlderVersion.ts';
import { type Attempt, decideRetry, type Failures, NO_FAILURES } from './core/retry.ts';
import type { KubeClient, KubeError } from './kubeClient.ts';
import { KubeFailure } from './kubeClient.ts';
import { errorFromStatus } from './kubeErrors.ts';

export type ReflectorEvent<T> =
  | { readonly kind: 'synced'; readonly items: ReadonlyMap<string, T> }
  | { readonly kind: 'upserted'; readonly key: string; readonly value: T }
  | { readonly kind: 'removed'; readonly key: string }
  | { readonly kind: 'disconnected'; readonly error: KubeError };

export interface ReflectorOptions<T> {
  readonly client: KubeClient;
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** What to keep of an object; undefined: as if it were not there. Runs on every object of every list and event. */
  readonly project: (raw: unknown) => { readonly key: string; readonly value: T } | undefined;
  /** Called in order, never at once. What it throws is a programmer error and ends the process. */
  readonly onEvent: (event: ReflectorEvent<T>) => void;
  readonly logger: Logger;
  /** A collection that is not served (its CRD is not installed) counts as empty and is asked for again. */
  readonly absentIsEmpty?: boolean;
  /** In [0, 1), for jitter. */
  readonly random?: () => number;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
}

export interface Reflector {
  /** Resolves when nothing is under way any more; no event comes after the call. */
  stop(): Promise<void>;
}

/** With a resourceVersion in the query the API server would ignore the limit. */
const PAGE_ITEMS = 500;
/** 500,000 objects: a server that never ends a list is not followed for ever. */
const PAGES_MAX = 1000;
const WATCH_SECONDS_MIN = 240;
const WATCH_SECONDS_MAX = 480;
/** A resourceVersion from the future (etcd was restored) stays silent: look again from time to time. */
const RELIST_MS = 10 * 60_000;
/**
 * After an outage of the API server, within which etcd may have been restored: in a minute, each at its own moment. Where
 * the history has gone back to before our version, it is seen at once.
 */
const RELIST_AFTER_OUTAGE_MS = 60_000;
/** A watch that broke is the first; whoever fails to open another one found nobody there. */
const OUTAGE_FAILURES = 2;
/** This share of it is jitter, or every node that started with us would list with us. */
const RELIST_JITTER = 0.2;

interface Run<T> {
  readonly options: ReflectorOptions<T>;
  readonly signal: AbortSignal;
  readonly random: () => number;
  readonly now: () => number;
  /** Told already that the collection is not served. */
  absent: boolean;
  /** Object's `namespace/name` → our key, for deletions and for objects that `project` no longer keeps. */
  readonly keys: Map<string, string>;
}

export function startReflector<T>(options: ReflectorOptions<T>): Reflector {
  const controller = new AbortController();
  const run: Run<T> = {
    options,
    signal: controller.signal,
    random: options.random ?? Math.random,
    now: options.now ?? (() => performance.now()),
    absent: false,
    keys: new Map(),
  };
  const ended = reflect(run).catch((error: unknown) => {
    // Programmer errors of the handler: surface as an uncaught exception, never as a silent stop.
    setImmediate(() => {
      throw error;
    });
  });
  return {
    async stop() {
      controller.abort();
      await ended;
    },
  };
}

interface Place {
  /** Where the next watch begins; undefined: list first. */
  readonly version: string | undefined;
  readonly relistAtMs: number;
  /** The API server was away meanwhile. */
  readonly wasAway?: boolean;
}

async function reflect<T>(run: Run<T>): Promise<void> {
  const { path, logger, onEvent } = run.options;
  let place: Place = { version: undefined, relistAtMs: 0 };
  let before: Failures = NO_FAILURES;
  while (!run.signal.aborted) {
    const { reached, error, ...attempt } = await follow(run, place);
    if (run.signal.aborted) return;
    const retry = decideRetry(before, attempt, run.random());
    const { failures } = retry;
    before = retry;
    place = failures >= OUTAGE_FAILURES ? { ...reached, wasAway: true } : reached;
    if (error !== undefined) {
      onEvent({ kind: 'disconnected', error });
      logger.debug('a watch broke', { path, failures, pauseMs: retry.pauseMs, reason: error.message });
    }
    await pause(retry.pauseMs, run.signal);
  }
}

interface Followed extends Attempt {
  readonly reached: Place;
  readonly error?: KubeError;
}

/** One list if it is due, then one watch. Ends when the watch does or the next list is due. */
async function follow<T>(run: Run<T>, from: Place): Promise<Followed> {
  let reached = from;
  let events = 0;
  let watchingSinceMs: number | undefined;
  const lastedMs = (): number => (watchingSinceMs === undefined ? 0 : run.now() - watchingSinceMs);
  try {
    if (reached.wasAway === true) reached = await lookBack(run, reached);
    if (reached.version === undefined || run.now() >= reached.relistAtMs) {
      const version = await list(run);
      const jitterMs = RELIST_MS * RELIST_JITTER * run.random();
      reached = { version, relistAtMs: run.now() + RELIST_MS - jitterMs };
    }
    watchingSinceMs = run.now();
    for await (const { changed, version } of watch(run, reached)) {
      if (changed) events += 1;
      if (version !== undefined) reached = { ...reached, version };
      if (run.now() >= reached.relistAtMs) break;
    }
    return { reached, events, lastedMs: lastedMs(), ending: 'ended' };
  } catch (thrown) {
    if (!(thrown instanceof KubeFailure)) throw thrown;
    const { error } = thrown;
    const { retryAfterMs } = error;
    // Where a kind went away under a watch, the list says so.
    const absent = isAbsence(run, error);
    return {
      reached: error.code === 'gone' || absent ? { ...reached, version: undefined } : reached,
      error,
      events,
      lastedMs: lastedMs(),
      ending: absent ? 'absent' : endingOf(error),
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    };
  }
}

/** A version in front of all that there is was given by an etcd that is no more. */
async function lookBack<T>(run: Run<T>, { version, relistAtMs }: Place): Promise<Place> {
  const { client, path, query, logger } = run.options;
  const outcome = await client.get(path, { ...query, limit: 1 });
  if (outcome.kind !== 'ok') throw new KubeFailure(outcome.error);
  const metadata = new FieldReader(outcome.value, '', []).child('metadata');
  const newest = metadata.optionalText('resourceVersion') ?? '';
  if (version !== undefined && isOlderVersion(newest, version)) {
    logger.warn('the API server has gone back in time: everything is listed again', {
      path,
      version,
      newest,
    });
    return { version: undefined, relistAtMs };
  }
  const soonMs = run.now() + RELIST_AFTER_OUTAGE_MS * run.random();
  return { version, relistAtMs: Math.min(relistAtMs, soonMs) };
}

function isAbsence<T>({ options }: Run<T>, { code }: KubeError): boolean {
  return code === 'not-found' && options.absentIsEmpty === true;
}

function endingOf({ code }: KubeError): Attempt['ending'] {
  return code === 'timeout' || code === 'unreachable' ? code : 'failed';
}

/** The version to watch from. */
async function list<T>(run: Run<T>): Promise<string> {
  const { client, path, query, project } = run.options;
  const items = new Map<string, T>();
  const keys = new Map<string, string>();
  let version: string | undefined;
  let token: string | undefined;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const outcome = await client.get(path, { ...query, limit: PAGE_ITEMS, continue: token });
    if (run.signal.aborted) return '';
    if (outcome.kind !== 'ok') {
      if (isAbsence(run, outcome.error)) publishAbsence(run);
      throw new KubeFailure(outcome.error);
    }
    for (const raw of itemsOf(outcome.value)) {
      const kept = project(raw);
      if (kept === undefined) continue;
      items.set(kept.key, kept.value);
      keys.set(identityOf(raw), kept.key);
    }
    const metadata = new FieldReader(outcome.value, '', []).child('metadata');
    version ??= metadata.optionalText('resourceVersion');
    token = metadata.optionalText('continue') || undefined;
    if (token !== undefined) continue;
    if (version === undefined) throw broken(`${path}: a list without a resourceVersion`);
    publish(run, items, keys);
    return version;
  }
  throw broken(`${path}: a list of more than ${PAGES_MAX} pages`);
}

/** Once: it is asked for again every few seconds. */
function publishAbsence<T>(run: Run<T>): void {
  if (!run.absent) publish(run, new Map(), new Map());
  run.absent = true;
}

function broken(message: string): KubeFailure {
  return new KubeFailure({ code: 'protocol', transient: true, message });
}

function publish<T>(run: Run<T>, items: ReadonlyMap<string, T>, keys: ReadonlyMap<string, string>): void {
  run.absent = false;
  run.keys.clear();
  for (const [identity, key] of keys) run.keys.set(identity, key);
  run.options.onEvent({ kind: 'synced', items });
}

function itemsOf(value: unknown): readonly unknown[] {
  const items = typeof value === 'object' && value !== null && 'items' in value ? value.items : [];
  return Array.isArray(items) ? items : [];
}

function identityOf(raw: unknown): string {
  const metadata = new FieldReader(raw, '', []).child('metadata');
  return `${metadata.optionalText('namespace') ?? ''}/${metadata.optionalText('name') ?? ''}`;
}

interface Seen {
  /** False for bookmarks. */
  readonly changed: boolean;
  /** The resourceVersion that this frame brings us to. */
  readonly version: string | undefined;
}

/** Ends when the server ends the watch, which is no failure, or when we were stopped. */
async function* watch<T>(run: Run<T>, { version = '', relistAtMs }: Place): AsyncGenerator<Seen> {
  const { client, path, query } = run.options;
  const wanted = WATCH_SECONDS_MIN + Math.floor((WATCH_SECONDS_MAX - WATCH_SECONDS_MIN) * run.random());
  // One that stays silent would be noticed by nothing else.
  const untilList = Math.max(1, Math.ceil((relistAtMs - run.now()) / 1000));
  const seconds = Math.min(wanted, untilList);
  const frames = client.watch(
    path,
    { ...query, resourceVersion: version, allowWatchBookmarks: true, timeoutSeconds: seconds },
    run.signal,
  );
  for await (const { type, object } of frames) {
    // Frames of one chunk are handed out one by one, also after an abort.
    if (run.signal.aborted) return;
    if (type === 'ERROR') throw failureOf(object);
    const changed = type !== 'BOOKMARK';
    if (changed) absorb(run, type, object);
    const version = new FieldReader(object, '', []).child('metadata').optionalText('resourceVersion');
    yield { changed, version };
  }
}

function absorb<T>(run: Run<T>, type: string, object: unknown): void {
  const identity = identityOf(object);
  const before = run.keys.get(identity);
  const kept = type === 'DELETED' ? undefined : run.options.project(object);
  if (before !== undefined && before !== kept?.key) {
    run.keys.delete(identity);
    run.options.onEvent({ kind: 'removed', key: before });
  }
  if (kept === undefined) return;
  run.keys.set(identity, kept.key);
  run.options.onEvent({ kind: 'upserted', key: kept.key, value: kept.value });
}

/** An ERROR event carries the Status that an HTTP answer would have had; 410: history before our version is gone. */
function failureOf(status: unknown): KubeFailure {
  const code = new FieldReader(status, '', []).optionalInteger('code') ?? 500;
  return new KubeFailure(errorFromStatus(code, status, undefined));
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted || ms === 0) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done, { once: true });
  });
}
