/**
 * Where the API server is and how to prove who we are, from the service account's files in a pod. Apart from
 * `clusterAccess.ts` for one reason: that one brings client-node along, 19 MB of resident memory on every node.
 */
import { readFileSync } from 'node:fs';

export interface ClusterAccess {
  /** `https://host:port`, without a path. */
  readonly server: string;
  readonly ca?: string;
  readonly clientCertificate?: { readonly cert: string; readonly key: string };
  /** Read anew for each request's header: projected tokens rotate. The reader caches. */
  readonly readToken?: () => string;
  /** The name that the server's certificate must carry, where it is not the server's own. */
  readonly serverName?: string;
  /** Only where a person asked for it: whoever answers is believed to be the server. */
  readonly unverified?: true;
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
/** Projected tokens live an hour and are replaced at 80% of that: a minute late is early enough. */
const TOKEN_CACHE_MS = 60_000;

/** The pod's own access; `host` and `port` are what Kubernetes puts into every pod's environment. */
export function inClusterAccess(options: {
  readonly host: string;
  readonly port: string;
  readonly folder?: string;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
}): ClusterAccess {
  const folder = options.folder ?? SERVICE_ACCOUNT;
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  return {
    server: `https://${host}:${options.port}`,
    ca: readFileSync(`${folder}/ca.crt`, 'utf8'),
    readToken: cachedFile(`${folder}/token`, options.now ?? (() => performance.now())),
  };
}

/** Throws where the file was never readable; later the last text stands in, which outlives its replacement. */
function cachedFile(path: string, now: () => number): () => string {
  let text: string | undefined;
  let readAtMs = Number.NEGATIVE_INFINITY;
  return () => {
    if (text !== undefined && now() - readAtMs < TOKEN_CACHE_MS) return text;
    try {
      text = readFileSync(path, 'utf8').trim();
    } catch (error) {
      if (text === undefined) throw error;
    }
    readAtMs = now();
    return text;
  };
}
