/** The agent's second thread: who answers for an address. Started by the agent, which passes the settings. */
import { randomBytes } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { createAnnouncer } from './io/announcer.ts';
import { createAnswerGate } from './io/answerGate.ts';
import { openKernelCommands } from './io/kernelCommands.ts';
import { createNftables } from './io/nftables.ts';
import type { FromOwnership, OwnershipSettings, ToOwnership } from './io/ownershipProtocol.ts';
import { OwnershipRunner } from './io/ownershipRunner.ts';
import { openPeerTransport } from './io/peerTransport.ts';
import { createToolStarter } from './io/toolStarter.ts';
import { watchUplink } from './io/watchUplink.ts';

/** Far beyond any tool's normal few milliseconds. */
const TOOL_DEADLINE_MS = 5000;

async function run(settings: OwnershipSettings): Promise<void> {
  const { node, address, execPrefix, durations, token } = settings;
  let { uplinks } = settings;
  const port = parentPort;
  if (port === null) throw new Error('ownership: this is no worker thread');
  const post = (message: FromOwnership): void => port.postMessage(message);
  const warn = (message: string): void => post({ kind: 'log', level: 'warn', message, fields: {} });
  const announcer = createAnnouncer({ execPrefix, warn });
  announcer.prepare();
  const starter = createToolStarter();
  starter.prepare();
  const tools = { execPrefix, deadlineMs: TOOL_DEADLINE_MS, starter };
  const commands = await openKernelCommands(token);
  const gate = createAnswerGate({
    runner: tools,
    self: address,
    uplinks,
    durations,
    token,
    commands,
    nft: createNftables(tools),
    announcer,
  });
  const transport = await openPeerTransport({
    node,
    address,
    port: settings.peerPort,
    onMessage: (from, message) => runner.post({ kind: 'received', from, message }),
    warn,
  });
  const runner = new OwnershipRunner({
    settings,
    incarnation: () => randomBytes(6).toString('hex'),
    gate,
    transport,
    post,
    monotonicMs: () => performance.now(),
  });
  const watch = watchUplink(
    { execPrefix, uplinks: () => uplinks },
    () => runner.handle({ kind: 'resync' }),
    warn,
  );
  port.on('message', (message: ToOwnership) => {
    if (message.kind === 'uplinks') uplinks = message.uplinks;
    if (message.kind !== 'stop') {
      runner.handle(message);
      if (message.kind === 'keys') post({ kind: 'keys-taken', keys: transport.keyIds() });
      return;
    }
    watch.stop();
    runner.stop();
    announcer.close();
    starter.close();
    void Promise.all([transport.close(), commands.close()]).then(() => {
      post({ kind: 'stopped' });
      port.close();
    });
  });
  post({ kind: 'ready' });
}

await run(workerData as OwnershipSettings); // The agent is the only one that starts this thread.
