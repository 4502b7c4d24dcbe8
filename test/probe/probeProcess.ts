/**
 * Runs the probes as processes of their own and reads what they print: in a pod through `kubectl exec -i`, in a network
 * namespace through `nsenter` or `ip netns exec`, or right here.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type {
  ClientEvent,
  ClientReady,
  ClientReport,
  ClientResumed,
  ProbePorts,
  ServerEvent,
  ServerReport,
} from './report.ts';

/** How the programs are started right here; in the probe image they are `/usr/bin/node /probe/client.ts`. */
export const LOCAL_CLIENT: readonly string[] = [
  process.execPath,
  path.join(import.meta.dirname, 'client.ts'),
];
export const LOCAL_SERVER: readonly string[] = [
  process.execPath,
  path.join(import.meta.dirname, 'server.ts'),
];
export const IMAGE_CLIENT: readonly string[] = ['/usr/bin/node', '/probe/client.ts'];

/** Connections that time out, and a slow machine on top. */
const ANSWER_TIMEOUT_MS = 60_000;
const STDERR_MAX_CHARACTERS = 4_000;

export interface RunningClient {
  readonly ready: ClientReady;
  snapshot(): Promise<ClientReport>;
  mark(): void;
  resume(): Promise<ClientResumed>;
  /** The final report; the process has ended then. */
  stop(): Promise<ClientReport>;
  /** Ends it without a report; of use in clean-up, and harmless after stop(). */
  kill(): void;
}

export interface RunningServer {
  readonly ports: ProbePorts;
  report(): Promise<ServerReport>;
  stop(): Promise<void>;
}

/** `argv`: whatever enters the place, then the program and its options. Throws where it ends before it is ready. */
export async function startClient(argv: readonly string[]): Promise<RunningClient> {
  const probe = new LineProcess<ClientEvent>(argv);
  const ready = await probe.next('ready');
  return {
    ready,
    snapshot: () => probe.ask('snapshot', 'snapshot'),
    mark: () => probe.send('mark'),
    resume: () => probe.ask('resume', 'resumed'),
    stop: async () => {
      const report = await probe.ask('stop', 'report');
      await probe.ended();
      return report;
    },
    kill: () => probe.kill(),
  };
}

export async function startServer(argv: readonly string[]): Promise<RunningServer> {
  const probe = new LineProcess<ServerEvent>(argv);
  const { ports } = await probe.next('listening');
  return {
    ports,
    report: () => probe.ask('report', 'report'),
    stop: async () => {
      probe.send('stop');
      await probe.ended();
    },
  };
}

interface Waiter<E> {
  readonly event: string;
  readonly resolve: (event: E) => void;
  readonly reject: (error: Error) => void;
}

/** A process that prints one JSON object a line and obeys lines. */
class LineProcess<E extends { readonly event: string }> {
  readonly #argv: readonly string[];
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #unread: E[] = [];
  readonly #ended: Promise<unknown>;
  #waiters: readonly Waiter<E>[] = [];
  #stderr = '';
  #over = false;

  constructor(argv: readonly string[]) {
    const [program = '', ...args] = argv;
    this.#argv = argv;
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_MAX_CHARACTERS);
    });
    // A process that is gone says so by its end.
    this.#child.stdin.on('error', () => undefined);
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#absorb(line));
    this.#ended = once(this.#child, 'close').catch((error: Error) => {
      this.#stderr += error.message;
    });
    void this.#ended.then(() => {
      this.#over = true;
      for (const { reject, event } of this.#waiters) reject(this.#failure(`ended before its ${event}`));
      this.#waiters = [];
    });
  }

  send(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  ask<K extends E['event']>(line: string, event: K): Promise<Extract<E, { readonly event: K }>> {
    const answer = this.next(event);
    this.send(line);
    return answer;
  }

  /** The next object of that event, also one that came already. */
  next<K extends E['event']>(event: K): Promise<Extract<E, { readonly event: K }>> {
    type Wanted = Extract<E, { readonly event: K }>;
    const index = this.#unread.findIndex((one) => one.event === event);
    // The event's literal is what the unions are told apart by.
    if (index >= 0) return Promise.resolve(this.#unread.splice(index, 1)[0] as Wanted);
    if (this.#over) return Promise.reject(this.#failure(`ended before its ${event}`));
    return new Promise((resolve, reject) => {
      const deadline = setTimeout(() => {
        this.kill();
        reject(this.#failure(`did not print ${event} within ${ANSWER_TIMEOUT_MS / 1000} s`));
      }, ANSWER_TIMEOUT_MS);
      const waiter: Waiter<E> = {
        event,
        resolve: (one) => {
          clearTimeout(deadline);
          resolve(one as Wanted);
        },
        reject: (error) => {
          clearTimeout(deadline);
          reject(error);
        },
      };
      this.#waiters = [...this.#waiters, waiter];
    });
  }

  async ended(): Promise<void> {
    await this.#ended;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #absorb(line: string): void {
    const object = parseEvent<E>(line);
    if (object === undefined) return;
    const waiter = this.#waiters.find(({ event }) => event === object.event);
    if (waiter === undefined) {
      this.#unread.push(object);
      return;
    }
    this.#waiters = this.#waiters.filter((one) => one !== waiter);
    waiter.resolve(object);
  }

  #failure(what: string): Error {
    return new Error(`\`${this.#argv.join(' ')}\` ${what}${this.#stderr === '' ? '' : `\n${this.#stderr}`}`);
  }
}

/** Undefined for a line that is no event, such as a warning of kubectl's. */
function parseEvent<E extends { readonly event: string }>(line: string): E | undefined {
  try {
    const raw: unknown = JSON.parse(line);
    const isEvent = typeof raw === 'object' && raw !== null && 'event' in raw;
    // Both ends are in this folder and share report.ts.
    return isEvent ? (raw as E) : undefined;
  } catch {
    return undefined;
  }
}
