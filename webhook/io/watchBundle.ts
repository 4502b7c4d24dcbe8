/** Follows a file of CA certificates: a mounted ConfigMap changes under a program that runs on. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Logger } from '../../runtime/logger.ts';

/** The kubelet itself takes about a minute to bring a change into a mount. */
const CHECK_INTERVAL_MS = 30_000;

export interface BundleWatch {
  /** Looks now. */
  check(): void;
  stop(): void;
}

export interface BundleWatchOptions {
  readonly path: string;
  readonly logger: Logger;
  /** Gets the bundle, now and after each change. */
  readonly onBundle: (pem: string) => void;
}

/** Throws where the file cannot be read at the start; later the bundle before stays. */
export function watchBundle({ path, logger, onBundle }: BundleWatchOptions): BundleWatch {
  let current = readBundle(path);
  onBundle(current);
  const check = (): void => {
    try {
      const pem = readBundle(path);
      if (pem === current) return;
      onBundle(pem);
      current = pem;
      logger.info('client certificates are checked against a new bundle', { path });
    } catch (error) {
      logger.warn('the bundle for client certificates cannot be read; the one before stays', { path, error });
    }
  };
  const timer = setInterval(check, CHECK_INTERVAL_MS);
  return { check, stop: () => clearInterval(timer) };
}

/** An empty or damaged bundle would turn everybody away, or, by Node's default, trust public authorities. */
function readBundle(path: string): string {
  const pem = readFileSync(path, 'utf8');
  new X509Certificate(pem);
  return pem;
}
