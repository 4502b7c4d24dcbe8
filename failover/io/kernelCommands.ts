/**
 * Sends commands to the kernel's own chains (core/dataplane/kernelCommands.ts) and waits for each to come back. The chain
 * runs within the system call that sends, so commands take effect in the order they are sent, and what is sent after a
 * command finds it done.
 */
import { endianness } from 'node:os';
import type { KernelOutcome } from '../core/dataPlane.ts';
import {
  commandNumber,
  encodeCommand,
  GUARD_COMMANDS_ADDRESS,
  type KernelCommand,
  SENDER,
  STEERING_COMMANDS_ADDRESS,
} from '../core/dataplane/kernelCommands.ts';
import { openDatagramSocket } from './openDatagramSocket.ts';

export interface KernelCommands {
  /** `ok`: the kernel has it. `unknown`: it did not come back, as where the chain is not there. */
  run(command: KernelCommand): Promise<KernelOutcome>;
  /** Nobody waits for it: it may have no effect by design. */
  send(command: KernelCommand): void;
  close(): Promise<void>;
}

/** A command is back before the call that sends it returns; what is longer is this process's own stall. */
const DEADLINE_MS = 100;
/** Commands under way at the most: a dead gateway's addresses and a heartbeat. */
const PENDING_MAX = 4096;

export async function openKernelCommands(token: Uint8Array): Promise<KernelCommands> {
  const socket = await openDatagramSocket(SENDER, 0);
  const { port } = socket.address();
  const littleEndian = endianness() === 'LE';
  const pending = new Map<number, (outcome: KernelOutcome) => void>();
  let number = 0;
  socket.on('error', () => undefined); // What is lost is told by the deadline.
  socket.on('message', (bytes) => {
    const back = commandNumber(bytes);
    if (back !== undefined) pending.get(back)?.({ kind: 'ok' });
  });
  const send = (command: KernelCommand): number => {
    number = (number + 1) >>> 0;
    const bytes = encodeCommand(command, { token, number, littleEndian });
    const to = command.operation === 'steer' ? STEERING_COMMANDS_ADDRESS : GUARD_COMMANDS_ADDRESS;
    socket.send(bytes, port, to, () => undefined);
    return number;
  };
  return {
    send: (command) => void send(command),
    run(command) {
      if (pending.size >= PENDING_MAX)
        return Promise.resolve({ kind: 'refused', message: `${pending.size} commands are under way` });
      return new Promise((resolve) => {
        const sent = send(command);
        const settle = (outcome: KernelOutcome): void => {
          clearTimeout(timer);
          if (pending.delete(sent)) resolve(outcome);
        };
        pending.set(sent, settle);
        const message = `${command.operation}: the kernel has not answered within ${DEADLINE_MS} ms`;
        // A look at what has arrived meanwhile: after a stall of this process the kernel is not to blame.
        const timer = setTimeout(() => setImmediate(() => settle({ kind: 'unknown', message })), DEADLINE_MS);
      });
    },
    close() {
      for (const settle of pending.values()) settle({ kind: 'unknown', message: 'the commands were closed' });
      return new Promise((resolve) => socket.close(() => resolve()));
    },
  };
}
