/**
 * Commands to the kernel of another network namespace: their socket has to be made in there, so a process in there makes
 * the product's own one and passes commands and outcomes through its standard streams, a line of JSON each.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { KernelOutcome } from '../../failover/core/dataPlane.ts';
import type { KernelCommand } from '../../failover/core/dataplane/kernelCommands.ts';
import { type KernelCommands, openKernelCommands } from '../../failover/io/kernelCommands.ts';

/** BigInts of addresses go as text that no other field has. */
const encode = (value: unknown): string =>
  JSON.stringify(value, (_, it: unknown) => (typeof it === 'bigint' ? `${it}n` : it));
const decode = (text: string): unknown =>
  JSON.parse(text, (_, it: unknown) =>
    typeof it === 'string' && /^\d+n$/.test(it) ? BigInt(it.slice(0, -1)) : it,
  );

export function openCommandsIn(execPrefix: readonly string[], token: Uint8Array): KernelCommands {
  const self = fileURLToPath(import.meta.url);
  const hex = Buffer.from(token).toString('hex');
  const [file = '', ...args] = [...execPrefix, process.execPath, self, hex];
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const waiting: ((outcome: KernelOutcome) => void)[] = [];
  createInterface(child.stdout).on('line', (line) => waiting.shift()?.(decode(line) as KernelOutcome));
  const ask = (command: KernelCommand, answer: boolean): void =>
    void child.stdin.write(`${encode({ command, answer })}\n`);
  return {
    run(command) {
      ask(command, true);
      return new Promise((resolve) => waiting.push(resolve));
    },
    send: (command) => ask(command, false),
    close() {
      child.stdin.end();
      return ended;
    },
  };
}

async function serve(hex: string): Promise<void> {
  const commands = await openKernelCommands(Buffer.from(hex, 'hex'));
  let last: Promise<unknown> = Promise.resolve();
  const lines = createInterface(process.stdin).on('line', (line) => {
    const { command, answer } = decode(line) as { readonly command: KernelCommand; readonly answer: boolean };
    if (!answer) return commands.send(command);
    const outcome = commands.run(command);
    // In the order asked.
    last = Promise.all([last, outcome]).then(([, it]) => console.log(encode(it)));
  });
  lines.on('close', () => void commands.close());
}

const [, entry, token] = process.argv;
if (entry === fileURLToPath(import.meta.url) && token !== undefined) await serve(token);
