/** keepalived and conntrackd from Debian, which the failover bench alone needs. */
import { existsSync } from 'node:fs';
import { userInfo } from 'node:os';
import { ClusterError, runCommand } from '../../test/cluster/command.ts';

const STEP = 'installing keepalived and conntrackd';
const PROGRAMS: Readonly<Record<string, string>> = {
  '/usr/sbin/keepalived': 'keepalived',
  '/usr/sbin/conntrackd': 'conntrackd',
};
const INSTALL_TIMEOUT_MS = 600_000;

export interface PeerPackages {
  /** `keepalived 2.2.7 + conntrackd 1.4.7`. */
  readonly version: string;
}

/** Installs what is missing; the machine's own services of that name are neither started nor enabled by it. */
export async function ensurePeerPackages(
  onProgress: (line: string) => void = () => undefined,
): Promise<PeerPackages> {
  const missing = Object.entries(PROGRAMS).flatMap(([program, name]) => (existsSync(program) ? [] : [name]));
  if (missing.length > 0) await install(missing, onProgress);
  const keepalived = await runCommand(STEP, ['/usr/sbin/keepalived', '--version']);
  const conntrackd = await runCommand(STEP, ['/usr/sbin/conntrackd', '-v'], { allowFailure: true });
  const versionIn = (text: string): string => /v?(\d+(?:\.\d+)+)/.exec(text)?.[1] ?? 'of unknown version';
  const [peer, helper] = [keepalived, conntrackd].map(({ stdout, stderr }) => versionIn(stdout + stderr));
  return { version: `keepalived ${peer} + conntrackd ${helper}` };
}

async function install(packages: readonly string[], onProgress: (line: string) => void): Promise<void> {
  const names = packages.join(' ');
  if (userInfo().uid !== 0) throw new ClusterError(STEP, `run as root, or install first: ${names}`);
  if (!existsSync('/usr/bin/apt-get'))
    throw new ClusterError(STEP, `this is no Debian; install by hand: ${names}`);
  onProgress(`installing Debian packages: ${names}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const run = (argv: readonly string[]): Promise<unknown> =>
    runCommand(STEP, argv, { env, timeoutMs: INSTALL_TIMEOUT_MS });
  await run(['apt-get', 'update', '-qq']);
  await withoutServices(packages, () =>
    run(['apt-get', 'install', '-y', '-qq', '--no-install-recommends', ...packages]),
  );
}

/**
 * The bench runs both programs in namespaces of its own; the machine's units of the same name, which Debian would start
 * now and at every boot, stay off. A mask in /run is gone after a reboot even when this process dies half way.
 */
async function withoutServices(units: readonly string[], work: () => Promise<unknown>): Promise<void> {
  const systemctl = async (args: readonly string[], allowFailure = false): Promise<void> => {
    if (!existsSync('/run/systemd/system')) return;
    await runCommand(STEP, ['systemctl', ...args, ...units], { allowFailure });
  };
  await systemctl(['mask', '--runtime']);
  try {
    await work();
  } finally {
    await systemctl(['unmask', '--runtime']);
  }
  // Without a configuration of its owner's neither does anything: not worth failing for.
  await systemctl(['disable'], true);
}
