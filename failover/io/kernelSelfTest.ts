/** Looks for what the data plane needs of a node and says in one clear sentence each what is missing. */
import type { Family } from '../../policy/model.ts';
import type { TunnelOptions } from './iproute.ts';
import type { ToolRunner } from './runTool.ts';
import { runTool } from './runTool.ts';

/** A table of its own, checked only: `nft --check` asks the kernel without changing anything. */
const EGRESS_HOOK_PROBE = (uplink: string): string =>
  `table netdev sallyport_probe {\n chain probe { type filter hook egress device "${uplink}" priority 0;\n }\n}\n`;
const NFT_VERSION_MIN = [1, 0, 2] as const;
/** CAP_NET_ADMIN is bit 12 of capabilities(7). */
const NET_ADMIN_BIT = 12n;

export async function kernelSelfTest(
  runner: ToolRunner,
  { uplink, sysctlDir, self }: Pick<TunnelOptions, 'uplink' | 'sysctlDir' | 'self'>,
): Promise<readonly string[]> {
  const checks = [
    netAdmin(runner),
    nftVersion(runner),
    egressHook(runner, uplink),
    writableSysctl(runner, sysctlDir, uplink),
    forwarding(runner, sysctlDir, self.family),
  ];
  return (await Promise.all(checks)).flat();
}

async function netAdmin(runner: ToolRunner): Promise<readonly string[]> {
  const status = await runTool(runner, ['cat', '/proc/self/status']);
  const mask = status.kind === 'done' ? /^CapEff:\s*([0-9a-f]+)$/m.exec(status.stdout)?.[1] : undefined;
  if (mask !== undefined && ((BigInt(`0x${mask}`) >> NET_ADMIN_BIT) & 1n) === 1n) return [];
  return ['The agent lacks the capability NET_ADMIN.'];
}

async function nftVersion(runner: ToolRunner): Promise<readonly string[]> {
  const result = await runTool(runner, ['nft', '--version']);
  if (result.kind !== 'done') return [`nft cannot be run: ${result.message}.`];
  const numbers = /v(\d+)\.(\d+)\.(\d+)/.exec(result.stdout)?.slice(1).map(Number);
  if (numbers === undefined) return [`nft does not tell its version: ${result.stdout.trim()}.`];
  const difference = NFT_VERSION_MIN.map((least, index) => (numbers[index] ?? 0) - least).find(
    (it) => it !== 0,
  );
  if ((difference ?? 0) >= 0) return [];
  return [`nft ${numbers.join('.')} is too old: ${NFT_VERSION_MIN.join('.')} or later is needed.`];
}

async function egressHook(runner: ToolRunner, uplink: string): Promise<readonly string[]> {
  const result = await runTool(runner, ['nft', '--check', '-f', '-'], EGRESS_HOOK_PROBE(uplink));
  if (result.kind === 'done' && result.code === 0) return [];
  const why = result.kind === 'done' ? result.stderr.trim().split('\n')[0] : result.message;
  return [`The kernel refuses a netdev egress hook on ${uplink} (5.16 or later is needed): ${why}.`];
}

async function writableSysctl(
  runner: ToolRunner,
  directory: string,
  uplink: string,
): Promise<readonly string[]> {
  const file = `${directory}/ipv4/neigh/${uplink}/proxy_delay`;
  const result = await runTool(runner, ['tee', file], '0');
  if (result.kind === 'done' && result.code === 0) return [];
  return [`${file} cannot be written: mount the node's /proc/sys/net writable and name it in SYSCTL_DIR.`];
}

const FORWARDING = { 4: 'ipv4/ip_forward', 6: 'ipv6/conf/all/forwarding' } as const;

/** Of the family that the cluster's nodes speak; a node may do without the other. */
async function forwarding(runner: ToolRunner, directory: string, family: Family): Promise<readonly string[]> {
  const file = FORWARDING[family];
  const result = await runTool(runner, ['cat', `${directory}/${file}`]);
  if (result.kind === 'done' && result.stdout.trim() === '1') return [];
  return [`The node does not forward IPv${family} (net.${file.replaceAll('/', '.')} is not 1).`];
}
