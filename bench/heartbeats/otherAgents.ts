/**
 * The other agents on the far end of the wire. `otherAgents.ts <role of the measured one>`: gateways and voters, the
 * product's own ownership runners with kernels that agree to everything. `otherAgents.ts listeners`: all those that only say
 * that they heard, in a process of their own. A line "ready" when all of them speak. Ends with its standard input.
 */
import type { KernelOutcome } from '../../failover/core/dataPlane.ts';
import type { KernelGate } from '../../failover/io/answerGate.ts';
import { OwnershipRunner } from '../../failover/io/ownershipRunner.ts';
import { openPeerTransport } from '../../failover/io/peerTransport.ts';
import { GATEWAYS, KEYS, LISTENING, peersOf, playersFor, settingsOf, votersFor } from './scene.ts';

const [, , role = 'bystander'] = process.argv;
const REOPEN_MS = 250;
const OK: Promise<KernelOutcome> = Promise.resolve({ kind: 'ok' });
const WILLING: KernelGate = {
  flush: () => OK,
  guard: () => OK,
  standBy: () => OK,
  beat: () => OK,
  grant: () => undefined,
  arm: () => OK,
  disarm: () => OK,
  announce: () => undefined,
  refresh: () => undefined,
  setUplinks: () => OK,
  reassert: () => OK,
  steer: () => undefined,
  readFenced: async () => 0,
};

/** Its own voters are silent at first, as any are: it opens another session, as an agent does. */
function play(runner: () => OwnershipRunner, node: string, session: number): void {
  if (GATEWAYS.includes(node))
    runner().handle({ kind: 'event', event: { kind: 'opened', session, boot: node } });
}

for (const node of playersFor(role)) {
  const settings = settingsOf(node);
  const transport = await openPeerTransport({
    node,
    address: settings.address,
    port: settings.peerPort,
    onMessage: (from, message) => runner.post({ kind: 'received', from, message }),
    warn: console.error,
  });
  const runner: OwnershipRunner = new OwnershipRunner({
    settings,
    incarnation: () => node,
    gate: WILLING,
    transport,
    post(message) {
      if (message.kind === 'session-over')
        setTimeout(() => play(() => runner, node, message.session + 1), REOPEN_MS);
    },
    monotonicMs: () => performance.now(),
  });
  runner.handle({ kind: 'keys', keys: KEYS });
  runner.handle({ kind: 'peers', peers: peersOf() });
  const config = { version: 1, sets: [votersFor(role)] };
  runner.handle({ kind: 'event', event: { kind: 'configured', config } });
  play(() => runner, node, 1);
}
for (const node of role === 'listeners' ? LISTENING : []) {
  const settings = settingsOf(node);
  const transport = await openPeerTransport({
    node,
    address: settings.address,
    port: settings.peerPort,
    onMessage: (from, message) => {
      if (message.kind !== 'moved') return;
      const { session, after, upTo } = message;
      transport.send(from, { kind: 'moved-ack', session, after, upTo });
    },
    warn: console.error,
  });
  transport.setKeys(KEYS);
  transport.setPeers(peersOf());
}
console.log('ready');
process.stdin.resume().on('end', () => process.exit(0));
