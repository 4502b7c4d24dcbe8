/** TCP connections of one kind from the pod to the outside server, and what became of each. */
import { connect, type Socket } from 'node:net';
import { Arrivals } from './arrivals.ts';
import { startPacer } from './pacer.ts';
import type { ConnectionsReport } from './report.ts';

export type ConnectionKind = 'podPush' | 'serverPush' | 'idle';

export interface GroupOptions {
  readonly kind: ConnectionKind;
  readonly host: string;
  readonly port: number;
  readonly count: number;
  /** Between two lines that the pod sends. */
  readonly intervalMs: number;
}

/** Enough for a SYN that was lost twice. */
const CONNECT_TIMEOUT_MS = 5_000;
/** A burst that no listen queue drops from. */
const CONNECTING_MAX = 100;
const ALIVE_WINDOW_MS = 1_000;
/** An unreachable server stops getting new lines. */
const UNSENT_MAX_BYTES = 65_536;
/** A resumed connection may have to wait for TCP's retransmissions, which double from 200 ms. */
const RESUME_TIMEOUT_MS = 10_000;
/** `source ` and an IPv6 address. */
const GREETING = /^source ([0-9a-f.:]{2,45})\n/;
const GREETING_MAX_BYTES = 64;

interface Connection {
  readonly socket: Socket;
  readonly heard: Arrivals;
  greeting: string;
  end: 'none' | 'reset' | 'closed';
  onData?: () => void;
}

export class ConnectionGroup {
  readonly #options: GroupOptions;
  readonly #connections: Connection[] = [];
  readonly #failures = new Map<string, number>();
  #stopPushing: () => void = () => undefined;

  constructor(options: GroupOptions) {
    this.#options = options;
  }

  /** Ends when each one is open or has failed. */
  async open(): Promise<void> {
    const { count, kind, intervalMs } = this.#options;
    for (let first = 0; first < count; first += CONNECTING_MAX) {
      const batch = Array.from({ length: Math.min(CONNECTING_MAX, count - first) }, () => this.#connect());
      await Promise.all(batch);
    }
    if (kind === 'podPush') this.#stopPushing = startPacer(1000 / intervalMs, () => this.#push());
  }

  get opened(): number {
    return this.#connections.length;
  }

  mark(): void {
    for (const { heard } of this.#connections) heard.mark();
  }

  /** Sends one line on each connection; how many had it back. */
  async resume(): Promise<number> {
    const answers = await Promise.all(this.#connections.map((connection) => answered(connection)));
    return answers.filter((had) => had).length;
  }

  report(nowMs: number): ConnectionsReport {
    const all = this.#connections;
    const sources = new Map<string, number>();
    for (const { greeting } of all) {
      const source = GREETING.exec(greeting)?.[1];
      if (source !== undefined) sources.set(source, (sources.get(source) ?? 0) + 1);
    }
    const talking = this.#options.kind !== 'idle';
    const alive = all.filter(
      ({ end, heard }) => end === 'none' && (!talking || heard.heardWithin(ALIVE_WINDOW_MS, nowMs)),
    );
    return {
      asked: this.#options.count,
      opened: all.length,
      alive: alive.length,
      reset: all.filter(({ end }) => end === 'reset').length,
      closed: all.filter(({ end }) => end === 'closed').length,
      longestGapMs: talking ? Math.max(0, ...all.map(({ heard }) => heard.longestGapMs(nowMs))) : 0,
      sources: Object.fromEntries(sources),
      failures: Object.fromEntries(this.#failures),
    };
  }

  close(): void {
    this.#stopPushing();
    for (const { socket } of this.#connections) socket.destroy();
  }

  #connect(): Promise<void> {
    const { host, port } = this.#options;
    const socket = connect({ host, port, noDelay: true });
    return new Promise((resolve) => {
      const fail = (code: string): void => {
        clearTimeout(deadline);
        socket.destroy();
        this.#failures.set(code, (this.#failures.get(code) ?? 0) + 1);
        resolve();
      };
      const onError = (error: NodeJS.ErrnoException): void => fail(error.code ?? 'unknown');
      const deadline = setTimeout(() => fail('timeout'), CONNECT_TIMEOUT_MS);
      socket.once('error', onError);
      socket.once('connect', () => {
        clearTimeout(deadline);
        socket.off('error', onError);
        this.#connections.push(adopt(socket));
        resolve();
      });
    });
  }

  #push(): void {
    for (const { socket, end } of this.#connections)
      if (end === 'none' && socket.writableLength < UNSENT_MAX_BYTES) socket.write('push\n');
  }
}

function adopt(socket: Socket): Connection {
  const connection: Connection = {
    socket,
    heard: new Arrivals(performance.now()),
    greeting: '',
    end: 'none',
  };
  socket.on('data', (data) => {
    const missing = GREETING_MAX_BYTES - connection.greeting.length;
    const greeted = connection.greeting.includes('\n');
    if (!greeted && missing > 0) connection.greeting += data.toString('latin1').slice(0, missing);
    connection.heard.note(performance.now());
    // The greeting alone answers nothing.
    if (greeted) connection.onData?.();
  });
  socket.on('error', () => {
    connection.end = 'reset';
  });
  socket.on('close', () => {
    if (connection.end === 'none') connection.end = 'closed';
  });
  return connection;
}

function answered(connection: Connection): Promise<boolean> {
  if (connection.end !== 'none') return Promise.resolve(false);
  return new Promise((resolve) => {
    const settle = (had: boolean): void => {
      clearTimeout(deadline);
      connection.socket.off('close', onClose);
      delete connection.onData;
      resolve(had);
    };
    const onClose = (): void => settle(false);
    const deadline = setTimeout(() => settle(false), RESUME_TIMEOUT_MS);
    connection.socket.once('close', onClose);
    connection.onData = () => settle(true);
    connection.socket.write('resume\n');
  });
}
