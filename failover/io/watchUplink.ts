/** Tells when links or addresses of the node change, so that what a flap of an uplink undid is done again. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Uplinks } from '../core/uplinks.ts';

export interface UplinkWatch {
  stop(): void;
}

/** Events of one flap of a link come in a bunch; one look after them is enough. */
const FLAP_SETTLE_MS = 10;

/** An egress IP is shown so. */
const SHOWN = /^ +inet \S+\/32 .*\bnoprefixroute\b/;

/**
 * What undoes something: an uplink itself changes, or an address goes off it; and what can be done again only then: an address of
 * the node's own, which ways to the egress IPs name, comes back. What we add, and what happens to other devices, as with every pod
 * that comes or goes, is none of it.
 */
export function isDisturbance(line: string, uplinks: Uplinks): boolean {
  const [, deleted, device, rest = ''] = /^(Deleted )?\d+: ([^\s:@]+)(.*)$/.exec(line) ?? [];
  if (!uplinks.some((uplink) => uplink.device === device)) return false;
  return deleted !== undefined || /^[@:]/.test(rest) || (/^ +inet /.test(rest) && !SHOWN.test(rest));
}

export function watchUplink(
  {
    execPrefix,
    uplinks,
  }: {
    readonly execPrefix: readonly string[];
    /** As they are now. */
    readonly uplinks: () => Uplinks;
  },
  onChange: () => void,
  warn: (message: string) => void,
): UplinkWatch {
  const [file = '', ...args] = [...execPrefix, 'ip', 'monitor', 'link', 'address'];
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  createInterface(child.stdout).on('line', (line) => {
    if (stopped || !isDisturbance(line, uplinks())) return;
    timer ??= setTimeout(() => {
      timer = undefined;
      if (!stopped) onChange();
    }, FLAP_SETTLE_MS);
  });
  child.on('error', (error) => warn(`the uplinks are not watched: ${error.message}`));
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
      child.kill();
    },
  };
}
