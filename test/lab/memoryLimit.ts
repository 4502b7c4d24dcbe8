/** A program under the memory limit that its pod would have: Node sizes its heap by it, and the kernel ends what goes beyond. */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';

const VALUES = path.resolve(import.meta.dirname, '../../charts/sallyport/values.yaml');

export interface CommandLine {
  readonly command: string;
  readonly args: readonly string[];
}

export interface MemoryLimit {
  /** What to start in its place. The process is the same: its id, its signals. */
  wrap(line: CommandLine): CommandLine;
  /** The most that was in use at a time, the cache of files included, which the kernel takes back when it has to. */
  peakMiB(): number;
  /** When its processes have ended. */
  remove(): void;
}

/** Needs root, and the memory controller of cgroup v1, as the test cluster does. Below the caller's own group. */
export function createMemoryLimit(name: string, limitMiB: number): MemoryLimit {
  const own = /^\d+:memory:(.+)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1];
  if (own === undefined) throw new Error('createMemoryLimit: no memory controller of cgroup v1 is mounted');
  const folder = path.join('/sys/fs/cgroup/memory', own, `sallyport-${process.pid}-${name}`);
  mkdirSync(folder);
  writeFileSync(path.join(folder, 'memory.limit_in_bytes'), String(limitMiB * 2 ** 20));
  return {
    wrap: ({ command, args }) => ({
      command: 'sh',
      args: ['-c', 'echo $$ > "$0"; exec "$@"', path.join(folder, 'cgroup.procs'), command, ...args],
    }),
    peakMiB: () =>
      Math.round(Number(readFileSync(path.join(folder, 'memory.max_usage_in_bytes'), 'utf8')) / 2 ** 20),
    remove: () => rmdirSync(folder),
  };
}

/** Without a limit as it is. */
export function wrapped(
  limit: MemoryLimit | undefined,
  command: string,
  args: readonly string[],
): CommandLine {
  return limit?.wrap({ command, args }) ?? { command, args };
}

/** The chart's own for its Deployment. */
export function createChartMemoryLimit(program: 'controller' | 'webhook'): MemoryLimit {
  const { limits } = parse(readFileSync(VALUES, 'utf8'))[program].resources;
  const [, amount, unit] = /^(\d+)(Mi|Gi)$/.exec(limits.memory) ?? [];
  return createMemoryLimit(program, Number(amount) * (unit === 'Gi' ? 1024 : 1));
}

/** The most that a process ever had resident (VmHWM, proc_pid_status(5)). */
export function residentPeakMiB(pid: number | undefined): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Math.round(Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) / 1024);
}
