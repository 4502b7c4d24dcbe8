import { spawn } from 'node:child_process';

/** Enough of a log to see why a step failed, short enough for a test report. */
const TAIL_CHARACTERS = 2_000;
const DEFAULT_TIMEOUT_MS = 60_000;

export interface CommandOptions {
  readonly stdin?: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly timeoutMs?: number;
  /** Exit codes other than 0 come back as a result instead of an error. */
  readonly allowFailure?: boolean;
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A step of building or driving the cluster that did not succeed: which one, by what command, and the end of its log. */
export class ClusterError extends Error {
  readonly step: string;
  readonly log: string;

  constructor(step: string, reason: string, log = '') {
    const tail = log.trim().slice(-TAIL_CHARACTERS);
    super(`${step}: ${reason}${tail === '' ? '' : `\n${tail}`}`);
    this.name = 'ClusterError';
    this.step = step;
    this.log = tail;
  }
}

/** Runs one command to its end. Throws ClusterError on a non-zero exit, unless allowed, and on the deadline always. */
export function runCommand(
  step: string,
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const [program, ...args] = argv;
  if (program === undefined) throw new ClusterError(step, 'empty command');
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    let late = false;
    const deadline = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.stdin.on('error', () => {
      // A command that ends without reading its input breaks the pipe; its exit code says what happened.
    });
    child.stdin.end(options.stdin ?? '');
    child.on('error', (error) => {
      clearTimeout(deadline);
      reject(new ClusterError(step, `${argv.join(' ')}: ${error.message}`));
    });
    child.on('close', (exitCode) => {
      clearTimeout(deadline);
      const code = exitCode ?? -1;
      if (late || (code !== 0 && options.allowFailure !== true)) {
        const reason = late ? 'did not end before its deadline' : `ended with ${code}`;
        reject(new ClusterError(step, `\`${argv.join(' ')}\` ${reason}`, `${stdout}${stderr}`));
      } else resolve({ code, stdout, stderr });
    });
  });
}
