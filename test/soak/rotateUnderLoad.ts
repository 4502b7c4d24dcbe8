/** Rotates CA and leaf again and again while reviews come at a steady pace, and says what was lost. */
import { createRestClient } from '../../kube/restClient.ts';
import { type LoadReport, startReviewLoad } from '../scenarios/reviewLoad.ts';
import { type CertificateGround, WEBHOOK } from './certificateGround.ts';
import { startStrictClients } from './strictClients.ts';

export const REVIEWS_PER_SECOND = 50;
/** Each keeps four connections. */
const CLIENTS = 4;
const TIMEOUT = '90s';

export interface SoakReport {
  readonly load: LoadReport;
  readonly handshakes: number;
  /** Of clients that connect anew, see strictClients.ts. */
  readonly handshakeFailures: readonly string[];
  readonly seconds: number;
}

/** Throws where the work itself did not end as it should; what was lost meanwhile is in the report. */
export async function underLoad(ground: CertificateGround, work: () => Promise<void>): Promise<SoakReport> {
  const clients = Array.from({ length: CLIENTS }, () =>
    createRestClient(ground.api.access, { deadlineMs: 30_000 }),
  );
  const load = startReviewLoad(clients, REVIEWS_PER_SECOND);
  const ports = ground.programs.slice(0, 2).map(({ port }) => port);
  const strict = startStrictClients(ground.client, WEBHOOK, ports);
  const beganMs = performance.now();
  try {
    await work();
    const seconds = (performance.now() - beganMs) / 1000;
    const { handshakes, failures } = await strict.stop();
    return { load: await load.take(), handshakes, handshakeFailures: failures, seconds };
  } finally {
    await strict.stop();
    await load.stop();
    await Promise.all(clients.map((client) => client.close()));
  }
}

/** A CA with its leaf, then a leaf alone, by the command as people use it. */
export async function rotateBoth(ground: CertificateGround): Promise<void> {
  for (const words of [['--ca'], []]) {
    const { code, out, err } = await ground.sallyport(
      'certs',
      'rotate',
      ...words,
      '--wait',
      '--timeout',
      TIMEOUT,
    );
    if (code !== 0) throw new Error(`certs rotate ${words.join(' ')} ended with ${code}: ${out}${err}`);
  }
}
