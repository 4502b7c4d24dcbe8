/** Tells when links or addresses of the node change, so that what a flap of the uplink undid is done again. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface UplinkWatch {
  stop(): void;
}

/** Events of one flap of a link come in a bunch; one look after them is enough. */
const FLAP_SETTLE_MS = 10;

/**
 * What undoes something: the uplink itself changes, or an address goes off it. What is added, by us too, and what happens
 * to other devices, as with every pod that comes or goes, is none of it.
 */
export function isDisturbance(line: string, uplink: string): boolean {
  const [, deleted, device, rest] = /^(Deleted )?\d+: ([^\s:@]+)(.*)$/.exec(line) ?? [];
  return device === uplink && (deleted !== undefined || /^[@:]/.test(rest ?? ''));
}

export function watchUplink(
  { execPrefix, uplink }: { readonly execPrefix: readonly string[]; readonly uplink: string },
  onChange: () => void,
  warn: (message: string) => void,
): UplinkWatch {
  const [file = '', ...args] = [...execPrefix, 'ip', 'monitor', 'link', 'address'];
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  createInterface(child.stdout).on('line', (line) => {
    if (stopped || !isDisturbance(line, uplink)) return;
    timer ??= setTimeout(() => {
      timer = undefined;
      if (!stopped) onChange();
    }, FLAP_SETTLE_MS);
  });
  child.on('error', (error) => warn(`the uplink is not watched: ${error.message}`));
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
      child.kill();
    },
  };
}
