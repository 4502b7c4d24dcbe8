/** What the controller counts. Every label takes its values from a closed set; no names of objects. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Phase } from '../core/controller/controllerView.ts';
import { MOVE_REASONS, type MoveReason } from '../core/controller/moves.ts';

/** From a planned move, which takes API writes and watch hops, to a Lease's silence and beyond. */
const DURATION_BUCKETS_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const PHASES: readonly Phase[] = ['Announced', 'Moving', 'Pending', 'Unplaced'];

export interface ControllerMetrics {
  readonly registry: Registry;
  /** Without a duration: it is not known when the move began. */
  moved(reason: MoveReason, durationMs: number | undefined): void;
  leads(leading: boolean): void;
  /** Of the key that agents sign with. */
  peerKeyAge(ageMs: number): void;
}

/** Asked for at each scrape. */
export interface SeenEgressIps {
  phases(): ReadonlyMap<Phase, number>;
  /** Of the address that has the fewest ports left: 0, all are free, to 1. */
  portsTakenRatio(): number;
}

export function createControllerMetrics(seen: SeenEgressIps): ControllerMetrics {
  const registry = new Registry();
  const registers = [registry];
  const moves = new Counter({
    name: 'sallyport_controller_moves_total',
    help: 'Moves of egress IPs that were completed, by why they were begun.',
    labelNames: ['reason'],
    registers,
  });
  for (const reason of MOVE_REASONS) moves.inc({ reason }, 0);
  const durations = new Histogram({
    name: 'sallyport_controller_failover_duration_seconds',
    help: 'From the reason of a move being noticed to the new holder stating that it answers.',
    labelNames: ['reason'],
    buckets: DURATION_BUCKETS_SECONDS,
    registers,
  });
  const leader = new Gauge({
    name: 'sallyport_controller_leader',
    help: '1 while this replica leads.',
    registers,
  });
  leader.set(0);
  const egressIps = new Gauge({
    name: 'sallyport_controller_egress_ips',
    help: 'Egress IPs by phase, as this replica sees them.',
    labelNames: ['phase'],
    registers,
    collect() {
      const counts = seen.phases();
      for (const phase of PHASES) egressIps.set({ phase }, counts.get(phase) ?? 0);
    },
  });
  const portsTaken: Gauge = new Gauge({
    name: 'sallyport_controller_ports_taken_ratio',
    help: 'Of the egress IP with the fewest ports left, the part that nodes hold or that rests, as this replica sees it.',
    registers,
    collect() {
      portsTaken.set(seen.portsTakenRatio());
    },
  });
  const peerKeyAge = new Gauge({
    name: 'sallyport_controller_peer_key_age_seconds',
    help: 'Age of the key that agents sign their datagrams with, as the leader last read it; 0 elsewhere.',
    registers,
  });
  return {
    registry,
    moved(reason, durationMs) {
      moves.inc({ reason });
      if (durationMs !== undefined) durations.observe({ reason }, durationMs / 1000);
    },
    leads: (leading) => leader.set(leading ? 1 : 0),
    peerKeyAge: (ageMs) => peerKeyAge.set(ageMs / 1000),
  };
}
