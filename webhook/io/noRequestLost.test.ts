/** What an API server sees, which keeps connections and opens new ones, while certificates change and a replica goes. */
import { Agent } from 'node:https';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { issueCa, issueLeaf } from '../../certs/io/issue.ts';
import {
  type Certificates,
  createReview,
  issueCertificates,
  SERVER_NAME,
  send,
  startTestWebhook,
  type TestWebhook,
} from '../../test/lab/testWebhook.ts';

/** How many senders go on side by side, each with a connection that it keeps. */
const SENDERS = 4;
/** Keys are made and handshakes done by the dozen, on a machine that may have other work. */
const PATIENCE_MS = 30_000;

let certificates: Certificates;
beforeAll(async () => {
  certificates = await issueCertificates();
});
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(pause?: () => Promise<unknown>): Promise<TestWebhook> {
  const webhook = await startTestWebhook(certificates, pause === undefined ? {} : { pause });
  cleanups.push(webhook.end);
  return webhook;
}

interface Seen {
  readonly answered: number;
  readonly failures: readonly string[];
  readonly serials: ReadonlySet<string>;
  readonly kept: number;
  readonly fresh: number;
}

/**
 * Sends until told to stop. Half of the senders keep their connection as long as the server lets them, the others open
 * one for each review. A new connection goes where `pick` says at that moment, as a Service's would.
 */
function sendOnAndOn(pick: () => TestWebhook, caPem: string) {
  const seen = { answered: 0, failures: [] as string[], serials: new Set<string>(), kept: 0, fresh: 0 };
  let stopped = false;
  const waiting: (() => void)[] = [];
  const open = (keepAlive: boolean) => ({
    port: pick().port,
    agent: new Agent({ ca: caPem, servername: SERVER_NAME, keepAlive, maxSockets: 1 }),
  });
  const run = async (keepAlive: boolean): Promise<void> => {
    let connection = open(keepAlive);
    for (let sent = 0; !stopped; sent += 1) {
      const uid = `uid-${sent}`;
      let keep = false;
      try {
        const reply = await send(connection, '/validate?timeout=5s', {
          body: JSON.stringify(createReview(uid)),
        });
        if (reply.status !== 200 || JSON.parse(reply.body).response.uid !== uid)
          seen.failures.push(`${reply.status} ${reply.body}`);
        seen.answered += 1;
        if (reply.serial !== '') seen.serials.add(reply.serial);
        seen[reply.reusedSocket ? 'kept' : 'fresh'] += 1;
        keep = keepAlive && reply.headers.connection !== 'close';
      } catch (error) {
        seen.failures.push(String(error));
      }
      for (const wake of waiting.splice(0)) wake();
      if (keep) continue;
      connection.agent.destroy();
      connection = open(keepAlive);
    }
    connection.agent.destroy();
  };
  const ended = Promise.all(Array.from({ length: SENDERS }, (_, at) => run(at % 2 === 0)));
  return {
    seen: seen as Seen,
    /** Resolves when so many more are answered, or one failed. */
    more: async (count: number): Promise<void> => {
      const goal = seen.answered + count;
      while (seen.answered < goal && seen.failures.length === 0)
        await new Promise<void>((resolve) => waiting.push(resolve));
    },
    stop: async (): Promise<Seen> => {
      stopped = true;
      await ended;
      return seen;
    },
  };
}

test(
  'no request fails while leaf and CA are changed under load, on kept and on new connections',
  async () => {
    const webhook = await start();
    const nextCa = await issueCa(Date.now());
    const sender = sendOnAndOn(() => webhook, certificates.ca.certPem + nextCa.certPem);
    await sender.more(25);
    webhook.server.useCertificate(await issueLeaf(certificates.ca, [SERVER_NAME], Date.now()));
    await sender.more(25);
    webhook.server.useCertificate(await issueLeaf(nextCa, [SERVER_NAME], Date.now()));
    await sender.more(25);
    const seen = await sender.stop();
    expect(seen.failures).toEqual([]);
    expect(seen.serials.size).toBe(3);
    expect(seen.kept).toBeGreaterThan(0);
    expect(seen.fresh).toBeGreaterThan(0);
  },
  PATIENCE_MS,
);

test(
  'no request fails while one of two replicas drains and ends under load',
  async () => {
    const drained = Promise.withResolvers<void>();
    const [going, staying] = [await start(() => drained.promise), await start()];
    let target = going;
    const sender = sendOnAndOn(() => target, certificates.ca.certPem);
    await sender.more(25);
    const ended = going.end();
    // The readiness probe takes a moment: so long new connections still come to the one that goes.
    await sender.more(25);
    target = staying;
    await sender.more(25);
    drained.resolve();
    await ended;
    await sender.more(25);
    const seen = await sender.stop();
    expect(seen.failures).toEqual([]);
    expect(seen.kept).toBeGreaterThan(0);
  },
  PATIENCE_MS,
);
