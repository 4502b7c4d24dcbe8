/**
 * Small transactions on nftables, such as those of a pod that comes or goes, through one long-lived `nft -i`: 0.4 ms of CPU
 * each where a process each costs 5. nft has no mark of success, so every transaction is one line (which nft commits as a whole or not
 * at all) and the line after it is a word that nft does not know: the complaint about that word says that all before it is
 * done, and what stands before the complaint is the kernel's or the parser's refusal. Nothing before it: committed.
 *
 * Cheap whatever else the node has in nftables are `flush …` and `add set|map … { type …; elements = { … }; }` of a set that
 * exists. `add element` and `delete element` make nft 1.0.6 read all chains and all interval sets of all tables first.
 */
import { spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import type { KernelOutcome } from '../core/dataPlane.ts';
import { createNftables } from './nftables.ts';
import type { ToolRunner } from './runTool.ts';

export interface NftSession {
  /** One transaction (commands separated by newlines), atomic, in the order asked. What it prints is thrown away. */
  run(transaction: string): Promise<KernelOutcome>;
  /** What has not been sent is refused; resolves when no process is left. */
  close(): Promise<void>;
}

/** Transactions waiting at the most: a kernel this far behind is as good as gone. */
const QUEUE_LENGTH_MAX = 256;
/** nft reads its input byte by byte, 0.6 µs each: beyond this a process of its own (`nft -f -`) is cheaper. */
const LINE_LENGTH_MAX = 8_192;
/** nft keeps every line it was given and walks through them all at each: +0.04 ms after 1,000 transactions. */
const TRANSACTIONS_PER_PROCESS = 2_000;
/** Before the successor of a process that ended without a single confirmation. */
const RESTART_PAUSE_MS = 100;
/** nft repeats the whole line for every command that failed in it: 200 commands in the longest line. */
const COMPLAINT_LENGTH_MAX = 4 * 1024 * 1024;
/** What of a complaint is worth keeping in a log line. */
const MESSAGE_LENGTH_MAX = 400;

/**
 * No home: nft would read its settings and the history of its lines there, and write them at the end. The last two keep
 * glibc from giving memory back after each transaction and fetching it again, which can cost more than the transaction.
 */
const NFT_COMMAND: readonly string[] = [
  'env',
  '--unset=EDITRC',
  'HOME=/dev/null',
  'MALLOC_TRIM_THRESHOLD_=67108864',
  'MALLOC_MMAP_THRESHOLD_=33554432',
  'nft',
  '-i',
];

/** `execPrefix` must end in an exec and `deadlineMs` runs from a transaction's start to its confirmation. */
export function openNftSession(options: ToolRunner): NftSession {
  const supply = createSupply(options);
  const oneShot = createNftables(options);
  let last: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  let closed = false;
  const transact = async (transaction: string): Promise<KernelOutcome> => {
    if (closed) return refused('the session is closed');
    const nft = await supply.ready();
    if (!(nft instanceof NftProcess)) return nft;
    const line = oneLine(transaction);
    return line === undefined ? oneShot.run(transaction) : nft.run(line, options.deadlineMs);
  };
  return {
    run(transaction) {
      if (transaction.trim() === '') return Promise.resolve({ kind: 'ok' });
      if (waiting >= QUEUE_LENGTH_MAX) {
        return Promise.resolve(refused(`${waiting} transactions are waiting for the kernel`));
      }
      waiting += 1;
      const outcome = last.then(() => transact(transaction));
      last = outcome.finally(() => {
        waiting -= 1;
        supply.renew();
      });
      return outcome;
    },
    async close() {
      closed = true;
      await last;
      await supply.end();
    },
  };
}

/** Newlines and semicolons mean the same to nft. Undefined: not for the terminal that `nft -i` believes to read from. */
function oneLine(transaction: string): string | undefined {
  const commands = transaction.split('\n').map((command) => command.trim());
  const line = commands.filter((command) => command !== '').join('; ');
  // A comment would swallow the commands after it, and the rest would be reported as done.
  return line.length <= LINE_LENGTH_MAX && /^[ -~]*$/.test(line) && !/[#\\]/.test(line) ? line : undefined;
}

interface Supply {
  /** The process for the next transaction; an outcome while the former one may still be at work. */
  ready(): Promise<NftProcess | KernelOutcome>;
  /** Replaces a process that has grown slow, ahead of need: no heartbeat has to wait for the start of another. */
  renew(): void;
  end(): Promise<void>;
}

function createSupply({ execPrefix, deadlineMs }: ToolRunner): Supply {
  const left = new Set<NftProcess>();
  let nft: NftProcess | undefined;
  const start = (): NftProcess | KernelOutcome => {
    try {
      const started = new NftProcess(execPrefix);
      left.add(started);
      void started.gone.then(() => left.delete(started));
      nft = started;
      return started;
    } catch (error) {
      return refused(`nft cannot be started: ${String(error)}`);
    }
  };
  return {
    async ready() {
      if (nft?.usable) return nft;
      if (nft !== undefined) {
        // A transaction that it still has in the kernel's hands would land on top of the next one.
        const ended = await within(deadlineMs, nft.gone);
        if (!ended) return refused(`the former nft has not ended within ${deadlineMs} ms`);
        if (nft.confirmed === 0) await delay(RESTART_PAUSE_MS);
      }
      return start();
    },
    renew() {
      if (!nft?.usable || nft.confirmed < TRANSACTIONS_PER_PROCESS) return;
      nft.kill(); // With nothing in its hands: its successor need not wait for its end.
      nft = undefined;
      start();
    },
    async end() {
      for (const process of left) process.kill();
      await within(deadlineMs, Promise.all([...left].map(({ gone }) => gone)));
    },
  };
}

class NftProcess {
  /** When nothing of it can reach the kernel any more. */
  readonly gone: Promise<void>;
  usable = true;
  /** How many transactions it has said anything definite about. */
  confirmed = 0;
  readonly #child;
  #heard = '';
  #pending: ((outcome: KernelOutcome) => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(execPrefix: readonly string[]) {
    const [file = '', ...args] = [...execPrefix, ...NFT_COMMAND];
    const child = spawn(file, args, { stdio: ['pipe', 'ignore', 'pipe'] });
    this.#child = child;
    let failure = '';
    child.on('error', (error) => {
      failure = `${file}: ${error.message}`;
    });
    child.stdin.on('error', () => undefined); // Its end is told by `close`.
    child.stderr.setEncoding('utf8').on('data', (text: string) => this.#hear(text));
    this.gone = new Promise((resolve) => {
      // Only now its last word is read; and whoever else still holds the pipe may still be at work.
      child.on('close', (code, signal) => {
        this.usable = false;
        const message = trimmed(`nft -i ended (${signal ?? code}): ${this.#heard}`);
        this.#settle(child.pid === undefined ? refused(failure) : { kind: 'unknown', message });
        resolve();
      });
    });
  }

  /** One at a time. Not confirmed within the deadline: unknown, and the process is killed. */
  run(line: string, deadlineMs: number): Promise<KernelOutcome> {
    return new Promise((resolve) => {
      // A look at what has arrived meanwhile: after a stall of this process nft is not to blame.
      const expire = (): unknown =>
        setImmediate(
          () => this.#pending === resolve && this.#giveUp(`no confirmation within ${deadlineMs} ms`),
        );
      this.#heard = '';
      this.#pending = resolve;
      this.#timer = setTimeout(expire, deadlineMs);
      this.#child.stdin.write(`${line}\n${this.#mark()}\n`);
    });
  }

  kill(): void {
    this.usable = false;
    this.#child.kill('SIGKILL');
  }

  #mark(): string {
    return `sallyport_mark_${this.confirmed}`;
  }

  #hear(text: string): void {
    this.#heard += text;
    const complaint = complaintBefore(this.#mark(), this.#heard);
    if (complaint !== undefined) {
      this.confirmed += 1;
      this.#settle(outcomeOf(complaint));
    } else if (this.#heard.length > COMPLAINT_LENGTH_MAX) this.#giveUp('it complains without an end');
  }

  #giveUp(why: string): void {
    this.kill();
    this.#settle({ kind: 'unknown', message: `nft -i: ${why}` });
  }

  #settle(outcome: KernelOutcome): void {
    clearTimeout(this.#timer);
    const resolve = this.#pending;
    this.#pending = undefined;
    resolve?.(outcome);
  }
}

/** What nft said before it complained about the mark; undefined as long as it has not. */
function complaintBefore(mark: string, heard: string): string | undefined {
  const start = heard.lastIndexOf('Error: ');
  const [, word] = /^Error: [^\n]*\n(\w+)\n *\^+\n$/.exec(heard.slice(Math.max(start, 0))) ?? [];
  return word === mark ? heard.slice(0, start) : undefined;
}

/** A complaint that names no place in the commands is about the talk with the kernel, which may have heard all of it. */
function outcomeOf(complaint: string): KernelOutcome {
  if (complaint === '') return { kind: 'ok' };
  const placed = complaint.startsWith('Error: ') && !complaint.includes('\nnetlink: Error: ');
  return { kind: placed ? 'refused' : 'unknown', message: trimmed(complaint) };
}

function refused(message: string): KernelOutcome {
  return { kind: 'refused', message };
}

function trimmed(message: string): string {
  return message.trim().slice(0, MESSAGE_LENGTH_MAX);
}

/** False when the time has passed first. */
async function within(ms: number, event: Promise<unknown>): Promise<boolean> {
  const timer = new AbortController();
  const passed = delay(ms, false, { signal: timer.signal }).catch(() => false);
  const happened = await Promise.race([event.then(() => true), passed]);
  timer.abort();
  return happened;
}
