/** Tells when links or addresses of the node change, so that what a flap of the uplink undid is done again. */
import { spawn } from 'node:child_process';

export interface UplinkWatch {
  stop(): void;
}

/** Events of one flap of a link come in a bunch; one look after them is enough. */
const FLAP_SETTLE_MS = 10;

/** `ip monitor` prints on every change, our own included: a look finds those in order. */
export function watchUplink(
  execPrefix: readonly string[],
  onChange: () => void,
  warn: (message: string) => void,
): UplinkWatch {
  const [file = '', ...args] = [...execPrefix, 'ip', 'monitor', 'link', 'address'];
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  child.stdout.on('data', () => {
    if (stopped) return;
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
