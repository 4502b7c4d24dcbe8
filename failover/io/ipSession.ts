/**
 * Commands of iproute2 through one long-lived `ip -batch -`: an address is taken over without the start of a process. ip
 * says nothing of a command that succeeded, so each batch is followed by a word that it does not know; the complaint about
 * that word says that all before it is done, and what stands before the complaint is what went wrong.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { KernelOutcome } from '../core/dataPlane.ts';
import type { ToolRunner } from './runTool.ts';

export interface IpSession {
  /** Lines as `ip` takes them, run as far as possible; the first complaint is the outcome's message. In the order asked. */
  run(lines: readonly string[]): Promise<KernelOutcome>;
  close(): Promise<void>;
}

/** What of a complaint is worth keeping in a log line. */
const MESSAGE_LENGTH_MAX = 400;

export function openIpSession(runner: ToolRunner): IpSession {
  let process = new IpProcess(runner);
  let last: Promise<unknown> = Promise.resolve();
  return {
    run(lines) {
      const outcome = last.then(() => {
        if (!process.usable) process = new IpProcess(runner);
        return process.run(lines);
      });
      last = outcome;
      return outcome;
    },
    async close() {
      await last;
      await process.end();
    },
  };
}

class IpProcess {
  usable = true;
  readonly #deadlineMs: number;
  readonly #child: ChildProcess;
  readonly #gone: Promise<void>;
  #batches = 0;
  #heard = '';
  #settle: ((outcome: KernelOutcome) => void) | undefined;

  constructor({ execPrefix, deadlineMs }: ToolRunner) {
    const [file = '', ...args] = [...execPrefix, 'ip', '-force', '-batch', '-'];
    this.#deadlineMs = deadlineMs;
    this.#child = spawn(file, args, { stdio: ['pipe', 'ignore', 'pipe'] });
    this.#child.stdin?.on('error', () => undefined); // Its end is told by `close`.
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#hear(text));
    this.#gone = new Promise((resolve) => {
      const gone = (message: string): void => {
        this.usable = false;
        this.#settle?.({ kind: 'unknown', message });
        resolve();
      };
      this.#child.on('error', (error) => gone(`${file}: ${error.message}`));
      this.#child.on('close', (code) => gone(`ip ended with code ${code}`));
    });
  }

  run(lines: readonly string[]): Promise<KernelOutcome> {
    return new Promise((resolve) => {
      this.#batches += 1;
      this.#heard = '';
      const timer = setTimeout(() => {
        this.usable = false;
        this.#child.kill('SIGKILL');
      }, this.#deadlineMs);
      this.#settle = (outcome) => {
        clearTimeout(timer);
        this.#settle = undefined;
        resolve(outcome);
      };
      this.#child.stdin?.write(`${[...lines, this.#mark].join('\n')}\n`);
    });
  }

  get #mark(): string {
    return `sallyport_mark_${this.#batches}`;
  }

  #hear(text: string): void {
    this.#heard += text;
    // To its very end: what is left of it would be taken for a complaint about the next batch.
    const end = this.#heard.search(
      new RegExp(`Object "${this.#mark}" is unknown, [^\\n]*\\nCommand failed -:\\d+\\n`),
    );
    if (end < 0) return;
    const complaint = this.#heard.slice(0, end).trim().slice(0, MESSAGE_LENGTH_MAX);
    this.#settle?.(complaint === '' ? { kind: 'ok' } : { kind: 'refused', message: `ip: ${complaint}` });
  }

  async end(): Promise<void> {
    this.usable = false;
    this.#child.kill('SIGKILL');
    await this.#gone;
  }
}
