/** The ownership thread as the agent's main thread sees it: messages both ways, and an end that is waited for. */
import { Worker } from 'node:worker_threads';
import type { FromOwnership, OwnershipSettings, ToOwnership } from './ownershipProtocol.ts';

export interface OwnershipThread {
  post(message: ToOwnership): void;
  /** Resolves when the thread has closed its socket and its tools. */
  stop(): Promise<void>;
}

export interface OwnershipThreadOptions {
  /** The module to run: `ownership.js` beside the bundle. */
  readonly module: URL;
  readonly settings: OwnershipSettings;
  readonly onMessage: (message: FromOwnership) => void;
  /** The thread ended by itself: nothing renews the kernel's right to answer any more, and the agent has to start anew. */
  readonly onEnd: (reason: string) => void;
}

/** Heartbeats make short-lived garbage only; a small young generation is collected in well under a millisecond. */
const YOUNG_GENERATION_MB = 4;
const STOP_DEADLINE_MS = 2000;

/** Resolves once the thread listens. */
export function startOwnershipThread(options: OwnershipThreadOptions): Promise<OwnershipThread> {
  const { module, settings, onMessage, onEnd } = options;
  const worker = new Worker(module, {
    workerData: settings,
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
  });
  let stopping = false;
  let stopped: () => void = () => undefined;
  return new Promise((resolve, reject) => {
    worker.on('error', (error) => {
      reject(error);
      if (!stopping) onEnd(error.message);
    });
    worker.on('exit', (code) => {
      stopped();
      if (!stopping) onEnd(`it ended with code ${code}`);
    });
    worker.on('message', (message: FromOwnership) => {
      if (message.kind === 'ready')
        resolve({
          post: (to) => worker.postMessage(to),
          async stop() {
            stopping = true;
            const ended = new Promise<void>((end) => {
              stopped = end;
            });
            worker.postMessage({ kind: 'stop' } satisfies ToOwnership);
            const deadline = setTimeout(() => void worker.terminate(), STOP_DEADLINE_MS);
            await ended;
            clearTimeout(deadline);
          },
        });
      else if (message.kind === 'stopped') stopped();
      else onMessage(message);
    });
  });
}
