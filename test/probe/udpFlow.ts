/** One UDP flow of the pod: its own sequence up, the server's sequence down. */
import { createSocket, type Socket } from 'node:dgram';
import { Arrivals } from './arrivals.ts';
import { datagramType, parseDown, renderUp } from './datagram.ts';
import { startPacer } from './pacer.ts';
import type { UdpReport } from './report.ts';
import { SEQUENCES_MAX, SequenceRecord } from './sequenceRecord.ts';
import { readSocketDrops } from './socketDrops.ts';

/** What was sent last is given this long to be seen by the server and told back before it counts as lost. */
const DRAIN_MS = 500;

export class UdpFlow {
  readonly #host: string;
  readonly #socket: Socket;
  readonly #record = new SequenceRecord();
  readonly #sources = new Map<string, number>();
  readonly #rate: number;
  readonly #run: string;
  #heard = new Arrivals(performance.now());
  #sent = 0;
  #receivedUp = 0;
  #longestGapUpMs = 0;
  #mark = 0;
  #stopSending: () => void = () => undefined;
  #onDown: () => void = () => undefined;
  #port = 0;

  constructor(options: { readonly run: string; readonly ratePerSecond: number; readonly host: string }) {
    this.#host = options.host;
    this.#socket = createSocket(datagramType(options.host));
    this.#run = options.run;
    this.#rate = options.ratePerSecond;
  }

  async open(port: number): Promise<void> {
    if (this.#rate === 0) return;
    // Unreachable for a while is what is being measured, not an end.
    this.#socket.on('error', () => undefined);
    this.#socket.on('message', (data) => this.#absorb(data.toString('latin1')));
    await new Promise<void>((resolve) => this.#socket.bind(0, resolve));
    this.#port = this.#socket.address().port;
    this.#heard = new Arrivals(performance.now());
    this.#stopSending = startPacer(this.#rate, () => {
      if (this.#sent >= SEQUENCES_MAX) return;
      const text = renderUp({ run: this.#run, sequence: this.#sent, rate: this.#rate, mark: this.#mark });
      this.#sent += 1;
      this.#socket.send(text, port, this.#host, () => undefined);
    });
  }

  /** The server counts its gaps anew from the next packet that reaches it. */
  mark(): void {
    this.#mark += 1;
    this.#longestGapUpMs = 0;
    this.#heard.mark();
  }

  /** Sends no more, and waits for the server to have told of the last packet, at most DRAIN_MS. */
  async drain(): Promise<void> {
    this.#stopSending();
    if (this.#receivedUp >= this.#sent) return;
    await new Promise<void>((resolve) => {
      const deadline = setTimeout(resolve, DRAIN_MS);
      this.#onDown = () => {
        if (this.#receivedUp < this.#sent) return;
        clearTimeout(deadline);
        resolve();
      };
    });
  }

  report(nowMs: number): UdpReport {
    return {
      sent: this.#sent,
      lostUp: this.#sent - this.#receivedUp,
      lostDown: this.#record.missing,
      droppedDown: this.#dropped(),
      duplicatesDown: this.#record.duplicates,
      receivedDown: this.#record.received,
      longestGapUpMs: this.#longestGapUpMs,
      longestGapDownMs: this.#rate === 0 ? 0 : this.#heard.longestGapMs(nowMs),
      sources: Object.fromEntries(this.#sources),
    };
  }

  #dropped(): number {
    return this.#port === 0 ? 0 : readSocketDrops(this.#port);
  }

  close(): void {
    this.#stopSending();
    if (this.#rate > 0) this.#socket.close();
  }

  #absorb(text: string): void {
    const datagram = parseDown(text);
    if (datagram?.run !== this.#run) return;
    const { sequence, received, mark, longestGapMs, source } = datagram;
    this.#heard.note(performance.now());
    this.#record.note(sequence);
    this.#receivedUp = Math.max(this.#receivedUp, received);
    if (mark === this.#mark) this.#longestGapUpMs = Math.max(this.#longestGapUpMs, longestGapMs);
    this.#sources.set(source, (this.#sources.get(source) ?? 0) + 1);
    this.#onDown();
  }
}
