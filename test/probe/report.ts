/** What the probes print: one JSON object a line, told apart by `event`. */

/** Ports of the outside server; 0 lets the kernel choose. */
export interface ProbePorts {
  /** TCP: what comes is sent back. */
  readonly echo: number;
  /** TCP: only the server talks. */
  readonly push: number;
  readonly udp: number;
  /** HTTP: /source and /report. */
  readonly http: number;
}

export const DEFAULT_PORTS: ProbePorts = { echo: 7001, push: 7002, udp: 7003, http: 7080 };

/** How many connections or packets came from each source address, as the server saw it. */
export type Sources = Readonly<Record<string, number>>;

export interface ConnectionsReport {
  readonly asked: number;
  readonly opened: number;
  /** Data came in the last second, and neither side ever reset or closed it. For idle ones: not reset or closed. */
  readonly alive: number;
  readonly reset: number;
  readonly closed: number;
  /** The longest silence on any connection that was opened, the current one included. */
  readonly longestGapMs: number;
  readonly sources: Sources;
  /** Why the others could not be opened: error code → how many. */
  readonly failures: Readonly<Record<string, number>>;
}

export interface UdpReport {
  readonly sent: number;
  /** Packets up that the server never saw, as far as its last packet down told. */
  readonly lostUp: number;
  /** Missing between the first and the last packet down. What was lost after the last shows as a gap. */
  readonly lostDown: number;
  /** Packets down that this client had no room for: most of them are in `lostDown` as well. */
  readonly droppedDown: number;
  readonly duplicatesDown: number;
  readonly receivedDown: number;
  /** Measured at the server since the last mark that reached it. */
  readonly longestGapUpMs: number;
  /** Measured at the client since the last mark. */
  readonly longestGapDownMs: number;
  readonly sources: Sources;
}

export interface ClientReport {
  readonly event: 'report' | 'snapshot';
  readonly seconds: number;
  readonly podPush: ConnectionsReport;
  readonly serverPush: ConnectionsReport;
  readonly idle: ConnectionsReport;
  readonly udp: UdpReport;
  /** The longest that the client itself could not run: gaps up to this may be its own. */
  readonly loopStallMs: number;
}

export interface ClientReady {
  readonly event: 'ready';
  readonly opened: { readonly podPush: number; readonly serverPush: number; readonly idle: number };
}

/** After `resume`: idle connections that sent one line and had it back. */
export interface ClientResumed {
  readonly event: 'resumed';
  readonly opened: number;
  readonly answered: number;
  readonly reset: number;
}

export type ClientEvent = ClientReport | ClientReady | ClientResumed;

export interface ServerReady {
  readonly event: 'listening';
  readonly ports: ProbePorts;
}

export interface ServedConnections {
  readonly accepted: number;
  readonly open: number;
  readonly reset: number;
  /** The longest silence of a client on the echo port, idle ones included; 0 on the push port, where clients say nothing. */
  readonly longestGapMs: number;
  readonly sources: Sources;
}

export interface ServedFlow {
  readonly run: string;
  readonly received: number;
  readonly missing: number;
  /** Packets that the server had no room for since the flow began, whosever they were. */
  readonly dropped: number;
  readonly duplicates: number;
  readonly sent: number;
  readonly longestGapMs: number;
  /** One address with one port where NAT held; each further one is a rebinding. */
  readonly sources: Sources;
}

export interface ServerReport {
  readonly event: 'report';
  readonly echo: ServedConnections;
  readonly push: ServedConnections;
  readonly flows: readonly ServedFlow[];
}

export type ServerEvent = ServerReady | ServerReport;
