/** The controller program, started as it is deployed but with metrics on a free port. */
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { waitUntil } from '../cluster/waitUntil.ts';
import { type MemoryLimit, wrapped } from '../lab/memoryLimit.ts';
import type { ApiServer } from './apiServer.ts';

const PROGRAM = path.resolve(import.meta.dirname, '../../failover/controller.ts');

export interface ControllerProgram {
  readonly child: ChildProcess;
  log(): string;
  isReady(): Promise<boolean>;
  leads(): Promise<boolean>;
  /** The exit code; null where the signal ended it. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

export async function startControllerProgram(
  { kubeconfigPath }: Pick<ApiServer, 'kubeconfigPath'>,
  podName: string,
  /** Environment beside the usual, or in its place. */
  settings: Readonly<Record<string, string>>,
  limit?: MemoryLimit,
): Promise<ControllerProgram> {
  const env = {
    PATH: process.env.PATH,
    KUBECONFIG: kubeconfigPath,
    POD_NAME: podName,
    METRICS_PORT: '0',
    ...settings,
  };
  const { command, args } = wrapped(limit, process.execPath, [PROGRAM]);
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  let log = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
  const port = await waitUntil(
    "the controller's port",
    async () => /"watching".*"port":(\d+)/.exec(log)?.[1],
  );
  const at = (route: string): Promise<Response> => fetch(`http://127.0.0.1:${port}${route}`);
  return {
    child,
    log: () => log,
    isReady: async () => (await at('/readyz')).ok,
    leads: async () => /^sallyport_controller_leader 1$/m.test(await (await at('/metrics')).text()),
    end(signal) {
      child.kill(signal);
      return exited;
    },
  };
}
