import type { ServedFlow, UdpReport } from './report.ts';

/**
 * Packets of both directions that the network lost. Up as the server counted it, where it did: the client's own count still
 * misses what was under way when it stopped. What reached a probe that had no room for it is no loss of the network's.
 */
export function lostOnTheWay(udp: UdpReport, served: ServedFlow | undefined): number {
  const up = served === undefined ? udp.lostUp : Math.max(0, served.missing - served.dropped);
  return up + Math.max(0, udp.lostDown - udp.droppedDown);
}
