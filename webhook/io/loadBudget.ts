/**
 * Bounds what unfinished requests hold in memory: how many there are, and the bytes of their bodies in all. Each one has
 * a small share of its own, so that a few large bodies that stand still do not keep out the many small ones.
 */

/** More than an API server has in flight by default (400 reads and 200 writes). */
const REQUESTS_MAX = 600;
/** Reviews of policies are mostly 2–10 KiB; 600 of these shares are 9.4 MiB. */
const OWN_BYTES = 16 * 1024;
/** Beyond the shares, for all together: four bodies of the largest size. */
const COMMON_BYTES_MAX = 32 * 1024 * 1024;

export interface LoadLimits {
  readonly requestsMax: number;
  readonly ownBytes: number;
  readonly commonBytesMax: number;
}

export const LOAD_LIMITS: LoadLimits = {
  requestsMax: REQUESTS_MAX,
  ownBytes: OWN_BYTES,
  commonBytesMax: COMMON_BYTES_MAX,
};

export interface LoadLease {
  /** False where so many more bytes are too many; nothing is taken then. */
  take(bytes: number): boolean;
  /** Gives back everything. Once; later calls do nothing. */
  release(): void;
}

export interface LoadBudget {
  /** Undefined where there are too many requests. */
  begin(): LoadLease | undefined;
  readonly requests: number;
  readonly commonBytes: number;
}

export function createLoadBudget(limits: LoadLimits = LOAD_LIMITS): LoadBudget {
  let requests = 0;
  let commonBytes = 0;
  const beyondShare = (bytes: number): number => Math.max(0, bytes - limits.ownBytes);
  return {
    get requests() {
      return requests;
    },
    get commonBytes() {
      return commonBytes;
    },
    begin: () => {
      if (requests >= limits.requestsMax) return undefined;
      requests += 1;
      let held = 0;
      let released = false;
      return {
        take: (bytes) => {
          const more = beyondShare(held + bytes) - beyondShare(held);
          if (commonBytes + more > limits.commonBytesMax) return false;
          commonBytes += more;
          held += bytes;
          return true;
        },
        release: () => {
          if (released) return;
          released = true;
          requests -= 1;
          commonBytes -= beyondShare(held);
        },
      };
    },
  };
}
