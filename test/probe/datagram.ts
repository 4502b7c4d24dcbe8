/** The two datagrams of the probe, as text: what a pod sends up and what the outside host sends down. */

/** Of the pod; `run` names its flow whatever source address and port the packets have on arrival. */
export interface UpDatagram {
  readonly run: string;
  readonly sequence: number;
  /** Packets a second that the server is to send back. */
  readonly rate: number;
  /** How often the client asked for gaps to be counted anew. */
  readonly mark: number;
}

/** Of the server: its own sequence, and what it has seen of the flow so far. */
export interface DownDatagram {
  readonly run: string;
  readonly sequence: number;
  readonly received: number;
  /** The mark that the gap was counted from. */
  readonly mark: number;
  readonly longestGapMs: number;
  /** The pod's source address as the server sees it. */
  readonly source: string;
}

/** A server serves strangers too in a shared namespace: more is not asked of it. */
export const RATE_MAX = 5_000;
const UP = /^up ([0-9a-f]{8}) (\d{1,9}) (\d{1,5}) (\d{1,9})$/;
const DOWN = /^down ([0-9a-f]{8}) (\d{1,9}) (\d{1,9}) (\d{1,9}) (\d{1,9}) ([0-9a-f.:]{2,45})$/;

export function renderUp({ run, sequence, rate, mark }: UpDatagram): string {
  return `up ${run} ${sequence} ${rate} ${mark}`;
}

export function parseUp(text: string): UpDatagram | undefined {
  const [, run, sequence, rate, mark] = UP.exec(text) ?? [];
  if (run === undefined || Number(rate) > RATE_MAX) return undefined;
  return { run, sequence: Number(sequence), rate: Number(rate), mark: Number(mark) };
}

export function renderDown({ run, sequence, received, mark, longestGapMs, source }: DownDatagram): string {
  return `down ${run} ${sequence} ${received} ${mark} ${Math.ceil(longestGapMs)} ${source}`;
}

export function parseDown(text: string): DownDatagram | undefined {
  const [, run, sequence, received, mark, longestGapMs, source] = DOWN.exec(text) ?? [];
  if (run === undefined || source === undefined) return undefined;
  return {
    run,
    sequence: Number(sequence),
    received: Number(received),
    mark: Number(mark),
    longestGapMs: Number(longestGapMs),
    source,
  };
}

/** Of the socket that sends to the host or takes what comes to it. */
export function datagramType(host: string): 'udp4' | 'udp6' {
  return host.includes(':') ? 'udp6' : 'udp4';
}
