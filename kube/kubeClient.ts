/**
 * The port through which every program speaks to the API server. `restClient.ts` is the real one (HTTP/1.1, one small
 * pool, a deadline on each request); the simulation has another. Both pass `test/contract/kubeClient`.
 */
export type KubeErrorCode =
  | 'not-found'
  | 'conflict'
  | 'already-exists'
  | 'unauthorized'
  | 'forbidden'
  | 'invalid'
  | 'gone'
  | 'too-many-requests'
  | 'server-error'
  | 'timeout'
  | 'unreachable'
  | 'protocol';

/** Classified once, at the adapter. */
export interface KubeError {
  readonly code: KubeErrorCode;
  /** Worth the same try again later, without a change of the request. */
  readonly transient: boolean;
  /** HTTP status, absent where no answer came. */
  readonly status?: number;
  /** The API server's own message where there is one. */
  readonly message: string;
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/**
 * Three-valued: `unknown` means a write whose answer was lost; it may have taken effect and must be read back.
 * Reads are never `unknown`.
 */
export type KubeOutcome<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'refused'; readonly error: KubeError }
  | { readonly kind: 'unknown'; readonly error: KubeError };

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface WatchFrame {
  readonly type: string;
  readonly object: unknown;
}

/** All paths are absolute API paths (`/apis/sallyport.dev/v1alpha1/egressips/203.0.113.10`). Bodies are unparsed JSON values. */
export interface KubeClient {
  get(path: string, query?: Query): Promise<KubeOutcome<unknown>>;
  create(path: string, body: unknown): Promise<KubeOutcome<unknown>>;
  /** PUT; the body's `metadata.resourceVersion` makes it a compare-and-swap. */
  replace(path: string, body: unknown): Promise<KubeOutcome<unknown>>;
  /** RFC 7386. */
  mergePatch(path: string, patch: unknown): Promise<KubeOutcome<unknown>>;
  /** RFC 6902. */
  jsonPatch(path: string, patch: readonly unknown[]): Promise<KubeOutcome<unknown>>;
  /** Server-side apply. */
  apply(
    path: string,
    body: unknown,
    options: { readonly fieldManager: string; readonly force?: boolean },
  ): Promise<KubeOutcome<unknown>>;
  remove(
    path: string,
    preconditions?: { readonly uid?: string; readonly resourceVersion?: string },
  ): Promise<KubeOutcome<unknown>>;
  /**
   * Opens one watch and yields its frames until the server ends it, `signal` aborts it or nothing (not even a
   * bookmark) came for the idle limit. Ends by returning; throws a `KubeFailure` where the watch could not be opened or broke.
   */
  watch(path: string, query: Query, signal: AbortSignal): AsyncIterable<WatchFrame>;
  close(): Promise<void>;
}

/** The one throwable of this folder: a watch has no outcome value to return. */
export class KubeFailure extends Error {
  readonly error: KubeError;
  constructor(error: KubeError) {
    super(error.message, error.cause === undefined ? undefined : { cause: error.cause });
    this.name = 'KubeFailure';
    this.error = error;
  }
}
