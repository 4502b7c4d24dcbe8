/**
 * The dead-man switch in the kernel. Elements of the chain address → session → heartbeat live in the netdev table and
 * are written here alone; the guard's rules are in staticRuleset.ts.
 */
import { formatAddress } from '../../policy/address.ts';
import type { Address } from '../../policy/model.ts';
import type { AnswerGate, KernelOutcome } from '../core/dataPlane.ts';
import { TABLE } from '../core/dataplane/kernelState.ts';
import type { Announcer } from './announcer.ts';
import type { Nftables } from './nftables.ts';
import type { ToolRunner } from './runTool.ts';
import { ensureAnswerable, removeAnswerable } from './uplinkAddresses.ts';

export interface GateOptions {
  readonly runner: ToolRunner;
  readonly uplink: string;
  readonly nftables: Nftables;
  readonly announcer: Announcer;
  /** Tables and tunnel are there; every write relies on it. */
  readonly ensureBase: () => Promise<KernelOutcome>;
}

export interface KernelGate extends AnswerGate {
  /** Puts back what a plain reload of the tables would lose; the next granted heartbeat completes it. */
  rearmCommands(): string;
  /** After a flap of the uplink the kernel has forgotten part of what answers. */
  reassert(): Promise<KernelOutcome>;
  armedAddresses(): ReadonlySet<string>;
}

/** Session marks have the top bit, heartbeat marks have not: one is never taken for the other. */
const SESSION_BIT = 0x8000_0000;
const SESSION_MASK = 0x7fff_ffff;
/** A heartbeat mark: 11 bits of the session and 20 of the sequence, which repeats after 7 hours at 25 ms. */
const HEARTBEAT_SESSION_MASK = 0x7ff;
const HEARTBEAT_SEQUENCE_MASK = 0xf_ffff;

const MAP = `netdev ${TABLE}`;

function sessionMark(session: number): number {
  return (SESSION_BIT | (session & SESSION_MASK)) >>> 0;
}

function heartbeatMark(session: number, seq: number): number {
  return ((session & HEARTBEAT_SESSION_MASK) << 20) | (seq & HEARTBEAT_SEQUENCE_MASK);
}

export function createAnswerGate({
  runner,
  uplink,
  nftables,
  announcer,
  ensureBase,
}: GateOptions): KernelGate {
  let armed: ReadonlyMap<string, number> = new Map();

  const write = async (transaction: string): Promise<KernelOutcome> => {
    const base = await ensureBase();
    return base.kind === 'ok' ? nftables.run(transaction) : base;
  };
  const gateMaps = (addresses: ReadonlyMap<string, number>): string => {
    const sessions = [...addresses].map(([address, session]) => `${address} : ${sessionMark(session)}`);
    const announced = [...addresses.keys()].map((address) => `${address} : ${address}`);
    return [
      `flush map ${MAP} address_session`,
      `flush map ${MAP} announced`,
      ...(sessions.length === 0
        ? []
        : [
            // An address that no plan has named yet must be fenced all the same.
            `add element ${MAP} egress_ips { ${[...addresses.keys()].join(', ')} }`,
            `add element inet ${TABLE} egress_ips { ${[...addresses.keys()].join(', ')} }`,
            `add element ${MAP} address_session { ${sessions.join(', ')} }`,
            `add element ${MAP} announced { ${announced.join(', ')} }`,
          ]),
      '',
    ].join('\n');
  };

  return {
    async flush() {
      armed = new Map();
      return write(`${gateMaps(armed)}flush map ${MAP} session_heartbeat\nflush set ${MAP} live\n`);
    },
    insertHeartbeat: (session, seq, lifetimeMs) =>
      write(`add element ${MAP} live { ${heartbeatMark(session, seq)} timeout ${lifetimeMs}ms }\n`),
    grantHeartbeat: (session, seq) =>
      write(
        `flush map ${MAP} session_heartbeat\nadd element ${MAP} session_heartbeat { ${sessionMark(session)} : ${heartbeatMark(session, seq)} }\n`,
      ),
    async arm(address: Address, session: number) {
      const name = formatAddress(address);
      armed = new Map([...armed, [name, session]]);
      // First the guard, then the address: what is on the device is fenced from its first moment.
      const guarded = await write(gateMaps(armed));
      if (guarded.kind !== 'ok') return guarded;
      return ensureAnswerable(runner, uplink, [name]);
    },
    async disarm(address: Address) {
      const name = formatAddress(address);
      armed = new Map([...armed].filter(([other]) => other !== name));
      const silenced = await write(gateMaps(armed));
      if (silenced.kind !== 'ok') return silenced;
      await removeAnswerable(runner, uplink, [name]);
      return silenced;
    },
    announce(addresses) {
      announcer.announce(addresses.map(formatAddress));
    },
    rearmCommands: () => gateMaps(armed),
    reassert: () => ensureAnswerable(runner, uplink, [...armed.keys()]),
    armedAddresses: () => new Set(armed.keys()),
  };
}
