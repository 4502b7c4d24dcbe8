/** kubectl of the built version against a test's API server. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import type { ApiServer } from './apiServer.ts';

export interface KubectlResult {
  readonly code: number | null;
  /** What it printed, to either stream. */
  readonly output: string;
}

export function runKubectl(api: ApiServer, args: readonly string[], input = ''): KubectlResult {
  const place = ['--kubeconfig', api.kubeconfigPath, '--cache-dir', `${api.kubeconfigPath}-cache`];
  const done = spawnSync(path.join(api.binaries, 'kubectl'), [...place, ...args], {
    input,
    encoding: 'utf8',
  });
  return { code: done.status, output: done.stdout + done.stderr };
}
