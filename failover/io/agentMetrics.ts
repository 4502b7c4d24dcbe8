/** What Prometheus reads of an agent. Labels are of closed sets only. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { HEALTH_REASONS, HEALTHY, type Health } from '../core/agent/health.ts';
import type { DataPlaneCounters } from '../core/dataPlane.ts';
import type { OwnershipWord } from '../core/ownership/ownershipWord.ts';
import type { OverReason } from '../core/ownership/peerSession.ts';
import type { OwnershipStats } from './ownershipProtocol.ts';
import { DROP_REASONS } from './peerTransport.ts';

export interface AgentMetrics {
  readonly registry: Registry;
  word(word: OwnershipWord): void;
  stats(stats: OwnershipStats): void;
  sessionOver(reason: OverReason): void;
  /** By counter of the data plane. */
  packets(packets: DataPlaneCounters['packets']): void;
  /** Undefined: the node is no gateway. */
  health(health: Health | undefined): void;
  /** See core/agent/podWaits.ts. */
  podWaited(ms: number): void;
}

/** A change of the rules takes milliseconds, a node's first ports a round through the controller and the holder. */
const POD_WAIT_SECONDS = [0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export function createAgentMetrics(): AgentMetrics {
  const registry = new Registry();
  const registers = [registry];
  const gauge = (name: string, help: string): Gauge => new Gauge({ name, help, registers });
  const holding = gauge('sallyport_agent_addresses_held', 'Egress IPs that this node answers for.');
  const session = gauge('sallyport_agent_session', 'Number of the session that the voters granted; 0: none.');
  const voters = gauge('sallyport_agent_voter_config_version', 'The newest voter configuration it knows.');
  const stall = gauge(
    'sallyport_agent_heartbeat_stall_seconds',
    'The longest that a heartbeat was late since the last look, because this node did not run the agent.',
  );
  const fenced = gauge(
    'sallyport_agent_fenced_packets',
    'ARP that the dead-man switch kept in, since the guard was made.',
  );
  const lapses = gauge(
    'sallyport_agent_session_lapses',
    'Times that no majority granted the session in time, since the start.',
  );
  const healthy = gauge(
    'sallyport_agent_healthy',
    '0: the checks of this gateway fail; 1: they do not, or it is none.',
  );
  const failing = new Gauge({
    name: 'sallyport_agent_check_failing',
    help: '1: a check of this kind fails on this gateway, and its addresses go elsewhere.',
    labelNames: ['reason'],
    registers,
  });
  const tellHealth = (health: Health = HEALTHY): void => {
    healthy.set(health.healthy ? 1 : 0);
    for (const reason of HEALTH_REASONS) failing.set({ reason }, health.reasons.includes(reason) ? 1 : 0);
  };
  tellHealth();
  const dropped = new Gauge({
    name: 'sallyport_agent_peer_packets_dropped',
    help: 'Packets of other agents, or of others, that were not in order, since the start.',
    labelNames: ['reason'],
    registers,
  });
  const counted = new Gauge({
    name: 'sallyport_agent_packets',
    help: 'What the rules of this node counted since they were made: `exhausted` are connections refused because every port towards their destination was in use.',
    labelNames: ['counter'],
    registers,
  });
  const overs = new Counter({
    name: 'sallyport_agent_sessions_over_total',
    help: 'Sessions that ended before their agent did, by reason.',
    labelNames: ['reason'],
    registers,
  });
  const waits = new Histogram({
    name: 'sallyport_agent_pod_wait_seconds',
    help: 'From the moment that the address of a new, selected pod is known to the moment that its connections leave with its egress IP.',
    buckets: POD_WAIT_SECONDS,
    registers,
  });
  return {
    registry,
    podWaited: (ms) => waits.observe(ms / 1000),
    word(word) {
      holding.set(word.holdings.length);
      session.set(word.session);
      voters.set(word.config?.version ?? 0);
    },
    stats(stats) {
      fenced.set(stats.fenced);
      lapses.set(stats.lapses);
      stall.set(stats.longestStallMs / 1000);
      for (const reason of DROP_REASONS) dropped.set({ reason }, stats.dropped[reason]);
    },
    packets(packets) {
      for (const [counter, value] of Object.entries(packets)) counted.set({ counter }, value);
    },
    sessionOver: (reason) => overs.inc({ reason }),
    health: tellHealth,
  };
}
