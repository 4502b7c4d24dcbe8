/**
 * Counts the ports that this node's connections have of each egress IP, from the kernel's table of connections
 * (/proc/net/nf_conntrack). A port serves one connection to each protocol, address and port of the outside, so an address
 * is as full as its busiest destination makes it. Entries of closed connections have their port until they expire.
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { egressIpName, formatAddress } from '../../policy/address.ts';
import type { Address } from '../../policy/model.ts';

const TABLE = '/proc/net/nf_conntrack';
/** A block that is half free fills in this time only where hundreds of connections a second go to one place. */
const LOOK_EVERY_MS = 2000;
/** Reading a large table may take a hundredth of a core, not more. */
const PAUSE_PER_LOOK = 100;
/** Destinations are counted one by one up to here; beyond it, in a table that large, only those already known. */
const DESTINATIONS_MAX = 100_000;

/** Egress IP as text → connections of its busiest destination; 0: none at all. */
export type PortUse = ReadonlyMap<string, number>;

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
  const counts = new Map<string, number>();
  const use = new Map(addresses.map((address) => [formatAddress(address), 0]));
  for await (const line of createInterface({ input: createReadStream(table) })) {
    const found = parseTranslation(line);
    const name = found === undefined ? undefined : names.get(found.address);
    if (found === undefined || name === undefined) continue;
    const key = `${name} ${found.destination}`;
    const known = counts.get(key);
    if (known === undefined && counts.size >= DESTINATIONS_MAX) continue;
    const count = (known ?? 0) + 1;
    counts.set(key, count);
    if (count > (use.get(name) ?? 0)) use.set(name, count);
  }
  return use;
}

/** As the table writes it: IPv6 in full, with all zeros. */
function kernelText(address: Address): string {
  return address.family === 4 ? formatAddress(address) : egressIpName(address).replaceAll('-', ':');
}

const REPLY = / src=(\S+) dst=(\S+)(?: sport=(\d+))?/y;

/** Whose answers come to which address, and from where; undefined: a line of another kind. */
export function parseTranslation(
  line: string,
): { readonly address: string; readonly destination: string } | undefined {
  // `ipv4 2 tcp 6 431999 ESTABLISHED src=… dst=… sport=… dport=… src=… dst=… sport=… dport=… [ASSURED] …`: the answers' come last.
  REPLY.lastIndex = line.lastIndexOf(' src=');
  if (REPLY.lastIndex < 0) return undefined;
  const [, from, to, port] = REPLY.exec(line) ?? [];
  if (from === undefined || to === undefined) return undefined;
  const protocol = /^\S+\s+\d+\s+(\S+)/.exec(line)?.[1] ?? '';
  return { address: to, destination: `${protocol} ${from} ${port ?? ''}` };
}
