/** Tells when the node's routes or routing rules change, of either family. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface RoutesWatch {
  stop(): void;
}

/** Changes come in a bunch, as with a link that comes up; one look after them is enough. */
const SETTLE_MS = 20;

/** A watch that ended is not begun again: the agent looks at the routes each time it looks at its node as well. */
export function watchRoutes(
  execPrefix: readonly string[],
  onChange: () => void,
  warn: (message: string) => void,
): RoutesWatch {
  const [file = '', ...args] = [...execPrefix, 'ip', 'monitor', 'route', 'rule'];
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  createInterface(child.stdout).on('line', () => {
    if (stopped) return;
    timer ??= setTimeout(() => {
      timer = undefined;
      if (!stopped) onChange();
    }, SETTLE_MS);
  });
  child.on('error', (error) => warn(`the routes are not watched: ${error.message}`));
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
      child.kill();
    },
  };
}
