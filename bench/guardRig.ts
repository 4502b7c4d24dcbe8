/** A gateway and a peer on one wire, in namespaces of their own: the product's guard on one side, questions from the other. */
import { execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { GUARD, heartbeatMark, sessionMark } from '../failover/core/dataplane/guardRuleset.ts';
import {
  encodeCommand,
  GUARD_COMMANDS_ADDRESS,
  type KernelCommand,
  SENDER_ADDRESS,
} from '../failover/core/dataplane/kernelCommands.ts';
import type { Durations } from '../failover/core/ownership/durations.ts';
import { soleUplink } from '../failover/core/uplinks.ts';
import { createAnswerGate, type KernelGate } from '../failover/io/answerGate.ts';
import { ensureTunnel } from '../failover/io/iproute.ts';
import { createNftables } from '../failover/io/nftables.ts';
import { parseAddress } from '../policy/address.ts';
import type { Address } from '../policy/model.ts';
import { openCommandsIn } from '../test/lab/kernelCommandsIn.ts';
import { SILENCE_PROBE } from './guardProbe.ts';

export const EGRESS = { v4: '203.0.113.100', v6: '2001:db8::100' } as const;
export type FamilyName = keyof typeof EGRESS;
const SESSION = 7;
const OWN = { gw: ['203.0.113.11/24', '2001:db8::11/64'], peer: ['203.0.113.1/24', '2001:db8::1/64'] };
const TOKEN = Uint8Array.from({ length: 16 }, (_, index) => index + 1);
const TOOL_DEADLINE_MS = 10_000;
const ASK_EVERY_MS = 0.4;

export interface Silence {
  /** From the sending of the grant to that of the first question without an answer. */
  readonly afterGrantMs: number;
  readonly afterBeatMs: number;
  /** The last question with an answer was so much earlier: what the figures may be too high by. */
  readonly blurMs: number;
}

export interface GuardRig {
  readonly gate: KernelGate;
  /** Grants once and waits for the silence; undefined: the grant came too late for any answer. */
  silence(family: FamilyName, grantAfterMs: number): Promise<Silence | undefined>;
  /** Lets the gateway answer for as long as the windows of the rig allow. */
  answer(): Promise<void>;
  unguard(): void;
  /** Runs a Perl program on the peer's side, or the gateway's; gives what it prints. */
  perl(side: 'gw' | 'peer', script: string, ...args: readonly string[]): string;
  down(): Promise<void>;
}

const addressOf = (text: string): Address => {
  const parsed = parseAddress(text);
  if (parsed.kind !== 'ok') throw new Error(text);
  return parsed.value;
};

export async function createGuardRig(durations: Pick<Durations, 'windows'>): Promise<GuardRig> {
  const name = (side: string): string => `bench-guard-${process.pid}-${side}`;
  const prefix = (side: string): readonly string[] => ['ip', 'netns', 'exec', name(side)];
  buildNetwork(name);
  const runner = { execPrefix: prefix('gw'), deadlineMs: TOOL_DEADLINE_MS };
  const commands = openCommandsIn(prefix('gw'), TOKEN);
  const tunnel = { uplink: 'eth0', self: addressOf('203.0.113.11'), tunnelPort: 4790, tunnelVni: 7777 };
  ok(await ensureTunnel(runner, { ...tunnel, sysctlDir: '/proc/sys/net' }, 1500));
  const announcer = { prepare() {}, announce() {}, refresh() {}, close() {} };
  const nft = createNftables(runner);
  const gate = createAnswerGate({
    runner,
    self: tunnel.self,
    uplinks: soleUplink('eth0'),
    durations,
    token: TOKEN,
    commands,
    nft,
    announcer,
  });
  for (const egress of Object.values(EGRESS)) ok(await gate.arm(addressOf(egress), SESSION));
  ok(await gate.reassert());
  const probes = new Map<FamilyName, SilenceProbe>();
  let seq = 0;
  return {
    gate,
    async silence(family, grantAfterMs) {
      seq += 1;
      const probe =
        probes.get(family) ?? (await startSilenceProbe(prefix('peer'), name('gw'), EGRESS[family]));
      probes.set(family, probe);
      return probe.ask(
        `${datagram({ operation: 'beat', key: heartbeatMark(SESSION, seq) })} ${datagram({ operation: 'grant', key: heartbeatMark(SESSION, seq), value: sessionMark(SESSION) })} ${grantAfterMs}`,
      );
    },
    async answer() {
      seq += 1;
      ok(await gate.reassert());
      ok(await gate.beat(SESSION, seq));
      gate.grant(SESSION, seq);
      ok(await gate.beat(SESSION, seq)); // Commands take effect in the order they are sent.
    },
    unguard: () =>
      void execFileSync('ip', ['netns', 'exec', name('gw'), 'nft', 'delete', 'table', ...GUARD.split(' ')]),
    perl(side, script, ...args) {
      const [file = '', ...rest] = [...prefix(side), 'perl', '-e', script, ...args];
      return execFileSync(file, rest, { encoding: 'utf8', timeout: 60_000 }).trim();
    },
    async down() {
      for (const probe of probes.values()) probe.stop();
      await commands.close();
      for (const side of ['gw', 'peer']) execFileSync('ip', ['netns', 'del', name(side)]);
    },
  };
}

function ok(outcome: { readonly kind: string; readonly message?: string }): void {
  if (outcome.kind !== 'ok') throw new Error(outcome.message);
}

function buildNetwork(name: (side: string) => string): void {
  const sides = ['gw', 'peer'] as const;
  const lines = sides.map((side) => `netns add ${name(side)}`);
  lines.push(`link add eth0 netns ${name('gw')} type veth peer name eth0 netns ${name('peer')}`);
  execFileSync('ip', ['-batch', '-'], { input: `${lines.join('\n')}\n` });
  for (const side of sides) {
    const inside = ['link set lo up', 'link set eth0 up'];
    for (const own of OWN[side]) inside.push(`addr add ${own} dev eth0${own.includes(':') ? ' nodad' : ''}`);
    execFileSync('ip', ['-n', name(side), '-batch', '-'], { input: `${inside.join('\n')}\n` });
  }
  const forwarding = ['net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1'];
  execFileSync('ip', ['netns', 'exec', name('gw'), 'sysctl', '-qw', ...forwarding]);
}

function datagram(command: KernelCommand): string {
  const littleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
  return Buffer.from(encodeCommand(command, { token: TOKEN, number: 0, littleEndian })).toString('hex');
}

interface SilenceProbe {
  ask(line: string): Promise<Silence | undefined>;
  stop(): void;
}

async function startSilenceProbe(
  prefix: readonly string[],
  gateway: string,
  address: string,
): Promise<SilenceProbe> {
  const asked = [
    address,
    `/var/run/netns/${gateway}`,
    `${ASK_EVERY_MS}`,
    SENDER_ADDRESS,
    GUARD_COMMANDS_ADDRESS,
  ];
  const [file = '', ...args] = [...prefix, 'perl', '-e', SILENCE_PROBE, ...asked];
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const read = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error('the probe ended');
    return value;
  };
  await read();
  return {
    async ask(line) {
      child.stdin.write(`${line}\n`);
      const [afterGrantMs, afterBeatMs, blurMs] = (await read()).split(' ').map(Number);
      if (afterGrantMs === undefined || afterBeatMs === undefined || blurMs === undefined) return undefined;
      return { afterGrantMs, afterBeatMs, blurMs };
    },
    stop: () => void child.kill('SIGKILL'),
  };
}
