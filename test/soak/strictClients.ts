/**
 * Clients that connect anew all the time and believe nothing but a bundle that they read a moment ago, as an API server does that
 * learned of it late: what the API server's own connections, which it keeps, cannot show.
 */
import { connect } from 'node:tls';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { HOST, must } from '../contract/webhookProgram.ts';

const INTERVAL_MS = 100;
/** A quarter of what the programs of certificateGround.ts wait. */
const LATE_MS = 500;
const FAILURES_KEPT_MAX = 20;

export interface StrictClients {
  stop(): Promise<{ readonly handshakes: number; readonly failures: readonly string[] }>;
}

export function startStrictClients(
  client: KubeClient,
  configuration: string,
  ports: readonly number[],
): StrictClients {
  const pending = new Set<Promise<void>>();
  const failures: string[] = [];
  let handshakes = 0;
  const attempt = async (): Promise<void> => {
    const bundle = await readBundle(client, configuration);
    await new Promise((resolve) => setTimeout(resolve, LATE_MS));
    for (const port of ports) {
      const failure = await shakeHands(port, bundle);
      handshakes += 1;
      if (failure !== undefined && failures.length < FAILURES_KEPT_MAX)
        failures.push(`${new Date().toISOString()} port ${port}: ${failure}`);
    }
  };
  const timer = setInterval(() => {
    const done = attempt().finally(() => pending.delete(done));
    pending.add(done);
  }, INTERVAL_MS);
  return {
    async stop() {
      clearInterval(timer);
      await Promise.all(pending);
      return { handshakes, failures };
    },
  };
}

async function readBundle(client: KubeClient, name: string): Promise<string> {
  const path = `/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/${name}`;
  const { webhooks } = must(await client.get(path)) as {
    readonly webhooks: readonly { readonly clientConfig: { readonly caBundle?: string } }[];
  };
  return Buffer.from(webhooks[0]?.clientConfig.caBundle ?? '', 'base64').toString('utf8');
}

function shakeHands(port: number, ca: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: HOST, port, servername: HOST, ca, session: undefined }, () => {
      socket.end();
      resolve(undefined);
    });
    socket.once('error', (error) => resolve(error.message));
  });
}
