/**
 * Gratuitous ARP. arping can only send from an address that the node owns as a local one, which an egress IP never is:
 * so it asks for the egress IP from the node's own address, and the guard on the uplink turns the question into the
 * announcement (sender = target = egress IP) if the address is armed, and drops it if not.
 */
import { spawn } from 'node:child_process';

/** Announcements per address, one a second apart: a switch or peer may lose the first. */
const REPEATS = 3;
/** Processes running at once; further addresses wait for those. */
const PARALLEL_MAX = 16;

export interface AnnouncerOptions {
  readonly execPrefix: readonly string[];
  readonly uplink: string;
  readonly self: string;
}

export interface Announcer {
  /** Never waited for: what goes wrong shows in traffic, and the address's own answers mend it. */
  announce(addresses: readonly string[]): void;
  close(): void;
}

export function createAnnouncer({ execPrefix, uplink, self }: AnnouncerOptions): Announcer {
  const waiting = new Set<string>();
  const running = new Map<string, ReturnType<typeof spawn>>();
  const next = (): void => {
    for (const address of waiting) {
      if (running.size >= PARALLEL_MAX) return;
      if (running.has(address)) continue;
      waiting.delete(address);
      const words = ['arping', '-q', '-b', '-c', String(REPEATS), '-w', String(REPEATS), '-I', uplink];
      const [file = '', ...args] = [...execPrefix, ...words, '-s', self, address];
      const child = spawn(file, args, { stdio: 'ignore' });
      running.set(address, child);
      const done = (): void => {
        running.delete(address);
        next();
      };
      child.on('error', done);
      child.on('exit', done);
    }
  };
  return {
    announce(addresses) {
      for (const address of addresses) waiting.add(address);
      next();
    },
    close() {
      waiting.clear();
      for (const child of running.values()) child.kill();
    },
  };
}
