/** Runs one short-lived system tool with a deadline, in the network namespace that the prefix leads to. */
import { spawn } from 'node:child_process';
import type { ToolStarter } from './toolStarter.ts';

export interface ToolRunner {
  /** Words before every command, e.g. `['ip', 'netns', 'exec', 'gw-1']`; empty: this process's own namespace. */
  readonly execPrefix: readonly string[];
  /** After this a tool is killed and its effect is unknown. */
  readonly deadlineMs: number;
  /** Starts it in this process's place, which must not stand still for that; absent: this process does. */
  readonly starter?: Pick<ToolStarter, 'run'>;
}

export type ToolResult =
  | { readonly kind: 'done'; readonly code: number; readonly stdout: string; readonly stderr: string }
  /** The tool never started: nothing happened. */
  | { readonly kind: 'absent'; readonly message: string }
  /** Killed midway: it may or may not have had its effect. */
  | { readonly kind: 'unknown'; readonly message: string };

/** A listing of 64 addresses with 1,008 granules each is about 8 MB of JSON; more than this is not ours. */
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

export function runTool(runner: ToolRunner, command: readonly string[], input = ''): Promise<ToolResult> {
  const { execPrefix, deadlineMs, starter } = runner;
  if (starter !== undefined)
    return starter.run([...execPrefix, ...command], { deadlineMs, outputBytesMax: OUTPUT_BYTES_MAX, input });
  const [file = '', ...args] = [...execPrefix, ...command];
  return new Promise((resolve) => {
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    const output = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    let bytes = 0;
    let stopped = '';
    const stop = (why: string): void => {
      stopped = why;
      child.kill('SIGKILL');
    };
    const timer = setTimeout(() => stop(`no end within ${runner.deadlineMs} ms`), runner.deadlineMs);
    const collect = (into: Buffer[]) => (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > OUTPUT_BYTES_MAX) stop(`more than ${OUTPUT_BYTES_MAX} bytes of output`);
      else into.push(chunk);
    };
    child.stdout.on('data', collect(output.stdout));
    child.stderr.on('data', collect(output.stderr));
    child.stdin.on('error', () => undefined); // A tool that ends before it has read all says why on stderr.
    child.on('error', (error) => {
      clearTimeout(timer);
      resolve({ kind: 'absent', message: `${file}: ${error.message}` });
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      const text = (chunks: readonly Buffer[]): string => Buffer.concat(chunks).toString('utf8');
      if (stopped !== '' || code === null) {
        resolve({ kind: 'unknown', message: `${command.join(' ')}: ${stopped || 'killed'}` });
      } else {
        resolve({ kind: 'done', code, stdout: text(output.stdout), stderr: text(output.stderr) });
      }
    });
    child.stdin.end(input);
  });
}

/** Parsed `-j` output of a tool; undefined when it failed or printed nothing, as iproute2 does for empty answers. */
export async function readJson(runner: ToolRunner, command: readonly string[]): Promise<unknown> {
  const result = await runTool(runner, command);
  if (result.kind !== 'done' || result.code !== 0 || result.stdout.trim() === '') return undefined;
  try {
    return JSON.parse(result.stdout) as unknown;
  } catch {
    return undefined;
  }
}

/** The objects of a JSON array; anything else gives none. */
export function jsonObjects(value: unknown): readonly Readonly<Record<string, unknown>>[] {
  if (!Array.isArray(value)) return [];
  return value.filter(
    (item): item is Readonly<Record<string, unknown>> =>
      typeof item === 'object' && item !== null && !Array.isArray(item),
  );
}
