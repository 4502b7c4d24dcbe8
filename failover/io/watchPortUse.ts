/**
 * Counts the connections of this node that have a port of each egress IP, from the kernel's table of connections
 * (/proc/net/nf_conntrack): ports that nobody has for long are given back. Closed connections count until they expire.
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { egressIpName, formatAddress } from '../../policy/address.ts';
import type { Address } from '../../policy/model.ts';
import type { PortUse } from '../core/agent/portReturns.ts';

const TABLE = '/proc/net/nf_conntrack';
/** What is given back has lain idle for minutes. */
const LOOK_EVERY_MS = 30_000;
/** Reading a large table may take a hundredth of a core, not more. */
const PAUSE_PER_LOOK = 100;

export interface PortWatch {
  stop(): void;
}

export function watchPortUse(options: {
  /** Those that this node sends by now. */
  readonly addresses: () => readonly Address[];
  readonly onUse: (use: PortUse) => void;
  /** Told once, until it can be read again: without it nothing is known of the use. */
  readonly warn: (message: string) => void;
}): PortWatch {
  const { addresses, onUse, warn } = options;
  let timer: NodeJS.Timeout | undefined;
  let [stopped, complained] = [false, false];
  const look = async (): Promise<void> => {
    const began = performance.now();
    const wanted = addresses();
    try {
      if (wanted.length > 0) onUse(await readPortUse(wanted));
      complained = false;
    } catch (error) {
      if (!complained) warn(`the use of ports is not known: ${String(error)}`);
      complained = true;
    }
    if (stopped) return;
    const pauseMs = Math.max(LOOK_EVERY_MS, (performance.now() - began) * PAUSE_PER_LOOK);
    timer = setTimeout(() => void look(), pauseMs);
  };
  timer = setTimeout(() => void look(), LOOK_EVERY_MS);
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

/** @param table of another network namespace: `/proc/PID/net/nf_conntrack`. Rejects where it cannot be read. */
export async function readPortUse(addresses: readonly Address[], table = TABLE): Promise<PortUse> {
  const names = new Map(addresses.map((address) => [kernelText(address), formatAddress(address)]));
  const use = new Map(addresses.map((address) => [formatAddress(address), 0]));
  for await (const line of createInterface({ input: createReadStream(table) })) {
    const name = names.get(translatedTo(line) ?? '');
    if (name !== undefined) use.set(name, (use.get(name) ?? 0) + 1);
  }
  return use;
}

/** As the table writes it: IPv6 in full, with all zeros. */
function kernelText(address: Address): string {
  return address.family === 4 ? formatAddress(address) : egressIpName(address).replaceAll('-', ':');
}

const REPLY = / src=\S+ dst=(\S+)/y;

/** The address that its answers come to; undefined: a line of another kind. */
export function translatedTo(line: string): string | undefined {
  // `ipv4 2 tcp 6 431999 ESTABLISHED src=… dst=… sport=… dport=… src=… dst=… sport=… dport=… [ASSURED] …`: the answers' come last.
  REPLY.lastIndex = line.lastIndexOf(' src=');
  return REPLY.lastIndex < 0 ? undefined : REPLY.exec(line)?.[1];
}
