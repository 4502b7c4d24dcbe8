/** The bench's own load generator, compiled on this machine for each use. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCE = fileURLToPath(new URL('load.c', import.meta.url));
/** Past what is asked of it, a program has this long to end. */
const GRACE_MS = 20_000;

export interface LoadProgram {
  /** Runs one mode in a namespace and gives the number that it prints. */
  run(prefix: readonly string[], ...args: readonly (string | number)[]): Promise<number>;
  /** A server in a namespace; resolves once it listens. */
  serve(prefix: readonly string[], address: string): Promise<{ stop(): void }>;
  remove(): void;
}

export function compileLoad(): LoadProgram {
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-load-'));
  const program = join(directory, 'load');
  try {
    execFileSync('gcc', ['-O2', '-o', program, SOURCE, '-lpthread'], { stdio: 'pipe' });
  } catch (error) {
    rmSync(directory, { recursive: true });
    throw new Error('the load generator cannot be compiled; is gcc installed (npm run setup)?', {
      cause: error,
    });
  }
  return {
    run(prefix, ...args) {
      const [file = '', ...rest] = [...prefix, program, ...args.map(String)];
      const timeout = Number(args.at(-1)) * 1000 + GRACE_MS;
      const child = spawn(file, rest, { stdio: ['ignore', 'pipe', 'pipe'], timeout: timeout || GRACE_MS });
      let text = '';
      let complaint = '';
      child.stdout.on('data', (data) => {
        text += String(data);
      });
      child.stderr.on('data', (data) => {
        complaint += String(data);
      });
      return new Promise((resolve, reject) => {
        child.on('error', reject);
        child.on('close', (code) => {
          if (code === 0) resolve(Number(text));
          else reject(new Error(`load ${args.join(' ')} ended with ${code}: ${complaint.trim()}`));
        });
      });
    },
    serve(prefix, address) {
      const [file = '', ...rest] = [...prefix, program, 'serve', address];
      const child = spawn(file, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
      return new Promise((resolve, reject) => {
        child.stdout.once('data', () => resolve({ stop: () => void child.kill('SIGKILL') }));
        child.once('exit', () => reject(new Error('the server of the load ended')));
        child.once('error', reject);
      });
    },
    remove: () => rmSync(directory, { recursive: true }),
  };
}
