/**
 * The outside host of the probes. TCP echo, TCP push, UDP each way, HTTP. Greets every TCP connection with
 * `source ADDRESS\n`, the client's address as seen here.
 */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { Arrivals } from './arrivals.ts';
import { datagramType, parseUp, renderDown, type UpDatagram } from './datagram.ts';
import { startPacer } from './pacer.ts';
import type { ProbePorts, ServedConnections, ServedFlow, ServerReport } from './report.ts';
import { SequenceRecord } from './sequenceRecord.ts';
import { readSocketDrops } from './socketDrops.ts';

export interface ProbeServerOptions {
  readonly host: string;
  readonly ports: ProbePorts;
  /** Between two lines on the push port. */
  readonly intervalMs: number;
}

export interface ProbeServer {
  readonly ports: ProbePorts;
  report(): ServerReport;
  close(): Promise<void>;
}

/** More than any scenario opens; beyond it connections are refused at once. */
const CONNECTIONS_MAX = 10_000;
const FLOWS_MAX = 1_000;
/** A flow is answered through any failover worth measuring, not for ever. */
const FLOW_SILENCE_MAX_MS = 60_000;
/** A peer that cannot be reached stops getting new lines: the kernel's own retransmissions say all there is to say. */
const UNSENT_MAX_BYTES = 65_536;

/** Throws what `listen` throws, e.g. a port that is taken. */
export async function startProbeServer(options: ProbeServerOptions): Promise<ProbeServer> {
  const echo = new TcpService();
  const push = new TcpService();
  const udp = new UdpService(options.host);
  echo.onSocket = (socket, heard) =>
    socket.on('data', (data) => {
      heard.note(performance.now());
      socket.write(data);
    });
  const stopPushing = startPacer(1000 / options.intervalMs, () => {
    for (const socket of push.sockets) if (socket.writableLength < UNSENT_MAX_BYTES) socket.write('push\n');
  });
  const report = (): ServerReport => ({
    event: 'report',
    echo: echo.report(),
    push: { ...push.report(), longestGapMs: 0 },
    flows: udp.report(),
  });
  const http = createHttpServer((request, response) => {
    if (request.url === '/source') response.end(`${plainAddress(request.socket.remoteAddress)}\n`);
    else if (request.url === '/report') response.end(`${JSON.stringify(report())}\n`);
    else response.writeHead(404).end();
  });
  const { host, ports } = options;
  const taken: ProbePorts = {
    echo: await listen(echo.server, host, ports.echo),
    push: await listen(push.server, host, ports.push),
    udp: await udp.bind(host, ports.udp),
    http: await listen(http, host, ports.http),
  };
  return {
    ports: taken,
    report,
    async close() {
      stopPushing();
      http.closeAllConnections();
      await Promise.all([echo.close(), push.close(), udp.close(), closed(http)]);
    },
  };
}

/** The connections of one port. */
class TcpService {
  readonly server: Server;
  readonly sockets = new Set<Socket>();
  readonly #arrivals = new Map<Socket, Arrivals>();
  readonly #sources = new Map<string, number>();
  #accepted = 0;
  #reset = 0;
  #longestGapMs = 0;
  onSocket: (socket: Socket, heard: Arrivals) => void = (socket) => socket.resume();

  constructor() {
    this.server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
    this.server.maxConnections = CONNECTIONS_MAX;
  }

  #accept(socket: Socket): void {
    const heard = new Arrivals(performance.now());
    const source = plainAddress(socket.remoteAddress);
    this.#accepted += 1;
    this.#sources.set(source, (this.#sources.get(source) ?? 0) + 1);
    this.sockets.add(socket);
    this.#arrivals.set(socket, heard);
    socket.on('error', () => {
      this.#reset += 1;
    });
    // A connection that ends is no gap: only what came before its end counts.
    socket.once('end', () => this.#settle(socket));
    socket.once('close', () => {
      this.#settle(socket);
      this.sockets.delete(socket);
    });
    socket.write(`source ${source}\n`);
    this.onSocket(socket, heard);
  }

  #settle(socket: Socket): void {
    const heard = this.#arrivals.get(socket);
    if (heard !== undefined)
      this.#longestGapMs = Math.max(this.#longestGapMs, heard.longestGapMs(performance.now()));
    this.#arrivals.delete(socket);
  }

  report(): ServedConnections {
    const nowMs = performance.now();
    const gaps = [...this.#arrivals.values()].map((heard) => heard.longestGapMs(nowMs));
    return {
      accepted: this.#accepted,
      open: this.sockets.size,
      reset: this.#reset,
      longestGapMs: Math.max(this.#longestGapMs, ...gaps),
      sources: Object.fromEntries(this.#sources),
    };
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await closed(this.server);
  }
}

interface Flow {
  readonly run: string;
  readonly record: SequenceRecord;
  readonly heard: Arrivals;
  readonly sources: Map<string, number>;
  address: string;
  port: number;
  sent: number;
  /** Of the socket, before the flow. */
  readonly droppedBefore: number;
  mark: number;
  stop: () => void;
}

/** Flows of datagrams; each is answered with a sequence of the server's own, to wherever the last one came from. */
class UdpService {
  readonly #socket: DatagramSocket;
  readonly #flows = new Map<string, Flow>();
  #port = 0;

  constructor(host: string) {
    this.#socket = createSocket(datagramType(host));
  }

  async bind(host: string, port: number): Promise<number> {
    this.#socket.on('message', (data, { address, port: from }) => {
      const datagram = parseUp(data.toString('latin1'));
      if (datagram !== undefined) this.#absorb(datagram, address, from);
    });
    await new Promise<void>((resolve, reject) => {
      this.#socket.once('error', reject);
      this.#socket.bind(port, host, resolve);
    });
    this.#socket.removeAllListeners('error');
    // What a send cannot reach comes back as ICMP; the receiver's sequence numbers already tell.
    this.#socket.on('error', () => undefined);
    this.#port = this.#socket.address().port;
    return this.#port;
  }

  #absorb(datagram: UpDatagram, address: string, port: number): void {
    const nowMs = performance.now();
    const known = this.#flows.get(datagram.run);
    if (known === undefined && this.#flows.size >= FLOWS_MAX) return;
    const flow = known ?? this.#open(datagram, nowMs);
    flow.address = address;
    flow.port = port;
    const source = `${address}:${port}`;
    flow.sources.set(source, (flow.sources.get(source) ?? 0) + 1);
    if (datagram.mark > flow.mark) {
      flow.mark = datagram.mark;
      flow.heard.mark();
    }
    flow.heard.note(nowMs);
    flow.record.note(datagram.sequence);
  }

  #open({ run, rate }: UpDatagram, nowMs: number): Flow {
    const flow: Flow = {
      run,
      record: new SequenceRecord(),
      heard: new Arrivals(nowMs),
      sources: new Map(),
      address: '',
      port: 0,
      sent: 0,
      droppedBefore: this.#dropped(),
      mark: 0,
      stop: startPacer(rate, () => this.#answer(flow)),
    };
    this.#flows.set(run, flow);
    return flow;
  }

  #answer(flow: Flow): void {
    const nowMs = performance.now();
    if (!flow.heard.heardWithin(FLOW_SILENCE_MAX_MS, nowMs)) {
      flow.stop();
      return;
    }
    const { run, sent: sequence, mark, address: source } = flow;
    const longestGapMs = flow.heard.longestGapMs(nowMs);
    const text = renderDown({ run, sequence, received: flow.record.received, mark, longestGapMs, source });
    flow.sent += 1;
    this.#socket.send(text, flow.port, flow.address, () => undefined);
  }

  #dropped(): number {
    return readSocketDrops(this.#port);
  }

  report(): readonly ServedFlow[] {
    const nowMs = performance.now();
    const dropped = this.#dropped();
    return [...this.#flows.values()].map(({ run, record, heard, sources, sent, droppedBefore }) => ({
      run,
      received: record.received,
      missing: record.missing,
      dropped: dropped - droppedBefore,
      duplicates: record.duplicates,
      sent,
      longestGapMs: heard.longestGapMs(nowMs),
      sources: Object.fromEntries(sources),
    }));
  }

  async close(): Promise<void> {
    for (const flow of this.#flows.values()) flow.stop();
    await new Promise<void>((resolve) => this.#socket.close(resolve));
  }
}

async function listen(server: Server, host: string, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return (server.address() as AddressInfo).port;
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

function plainAddress(address: string | undefined): string {
  return (address ?? 'unknown').replace(/^::ffff:/, '');
}
