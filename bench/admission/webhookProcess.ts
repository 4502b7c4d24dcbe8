/** The webhook as it is deployed, bundled and as a process of its own, beside whatever asks it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { build } from 'esbuild';
import { Agent, request } from 'undici';
import { freePort } from '../../test/lab/freePort.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const READY_DEADLINE_MS = 180_000;
const POLL_MS = 100;
/** As scripts/bundle.ts has it: CommonJS packages ask for Node's own modules by `require`. */
const BANNER = `import { createRequire as bundledCreateRequire } from 'node:module';
const require = bundledCreateRequire(import.meta.url);`;
/** The name of its Service, under which the API servers of a bench can reach it. */
export const WEBHOOK_HOST = 'localhost';
/** Of both webhook configurations. */
export const CONFIGURATION = 'sallyport';
export const NAMESPACE = 'sallyport';

export interface WebhookProcess {
  readonly port: number;
  /** Resolves when it is ready to decide. */
  ready(): Promise<void>;
  /** Resident memory in MiB, now and at its highest. */
  memoryMb(): { readonly now: number; readonly peak: number };
  stop(): Promise<void>;
}

export interface WebhookProcessOptions {
  readonly kubeconfigPath: string;
  /** Networks that count as routed. */
  readonly routable: string;
}

export async function startWebhookProcess(options: WebhookProcessOptions): Promise<WebhookProcess> {
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-bench-'));
  const bundle = path.join(folder, 'webhook.mjs');
  await build({
    absWorkingDir: ROOT,
    entryPoints: ['webhook/main.ts'],
    outfile: bundle,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    banner: { js: BANNER },
    logLevel: 'error',
  });
  const port = await freePort();
  const child = spawn(process.execPath, [bundle], {
    env: {
      KUBECONFIG: options.kubeconfigPath,
      LOG_LEVEL: 'error',
      POD_NAME: 'webhook-0',
      SALLYPORT_NAMESPACE: NAMESPACE,
      WEBHOOK_PORT: String(port),
      WEBHOOK_SERVICE: WEBHOOK_HOST,
      CERT_SECRET: 'webhook-cert',
      VALIDATING_CONFIGURATION: CONFIGURATION,
      MUTATING_CONFIGURATION: CONFIGURATION,
      CONTROLLER_SERVICE_ACCOUNT: 'sallyport-controller',
      AGENT_SERVICE_ACCOUNT: 'sallyport-agent',
      ROUTABLE_CIDRS: options.routable,
    },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  return {
    port,
    ready: () => waitUntilReady(child, port),
    memoryMb: () => {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      const mb = (field: string): number =>
        Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) / 1024;
      return { now: mb('VmRSS'), peak: mb('VmHWM') };
    },
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        const exited = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGKILL');
        await exited;
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function waitUntilReady(child: ChildProcess, port: number): Promise<void> {
  const agent = new Agent({ connect: { rejectUnauthorized: false }, allowH2: false });
  const deadlineMs = performance.now() + READY_DEADLINE_MS;
  try {
    for (let reason = 'nothing'; ; ) {
      try {
        const { statusCode, body } = await request(`https://127.0.0.1:${port}/readyz`, { dispatcher: agent });
        reason = await body.text();
        if (statusCode === 200) return;
      } catch (error) {
        reason = String(error);
      }
      if (child.exitCode !== null) throw new Error(`the webhook ended with ${child.exitCode}`);
      if (performance.now() > deadlineMs) throw new Error(`the webhook is not ready: ${reason}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  } finally {
    await agent.close();
  }
}
