/**
 * How many datagrams reached a UDP port of this network namespace and found its socket's buffer full: the kernel's own
 * count (proc(5), /proc/net/udp and udp6, last column). A probe that the machine did not run for a quarter of a second loses what it
 * was sent meanwhile; no network did.
 */
import { readFileSync } from 'node:fs';

export function readSocketDrops(port: number): number {
  const tables = ['/proc/self/net/udp', '/proc/self/net/udp6'];
  return tables.reduce((sum, path) => sum + parseSocketDrops(readFileSync(path, 'latin1'), port), 0);
}

/** Zero where no socket has the port. */
export function parseSocketDrops(table: string, port: number): number {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  let drops = 0;
  for (const line of table.split('\n').slice(1)) {
    const fields = line.trim().split(/\s+/);
    if (fields[1]?.endsWith(local)) drops += Number(fields.at(-1));
  }
  return drops;
}
