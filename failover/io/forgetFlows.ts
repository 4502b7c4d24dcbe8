/**
 * Has the kernel forget flows that may not go on as they began (core/dataplane/endedFlows.ts). Read from the kernel's table of
 * connections, deleted over netlink (ctnetlink: linux/netfilter/nfnetlink_conntrack.h) by a small Perl program, of Debian's
 * essential perl-base: Node has no netlink sockets. Nothing leaks meanwhile: the rules refuse these flows already.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { formatAddress } from '../../policy/address.ts';
import type { NodeDataPlane } from '../core/dataPlane.ts';
import { endedUnder, type Flow, parseFlow, parseTranslated } from '../core/dataplane/endedFlows.ts';
import { runTool, type ToolRunner } from './runTool.ts';

const TABLE = '/proc/net/nf_conntrack';
/** Reading a large table may take a twentieth of a core while plans change all the time. */
const PAUSE_PER_LOOK = 20;
/** In one process; what is beyond is found by the next look. */
const FLOWS_MAX = 65_536;

/**
 * A line each: protocol, source, destination and numbers of the original direction. A flow that is gone by itself is none to
 * complain about; all are written first, and the kernel's answers, of which only failures are asked for, are thrown away.
 */
const SCRIPT = `use strict; use Socket qw(:DEFAULT inet_pton AF_INET6);
socket(my $kernel, 16, 3, 12) or die "socket: $!\\n";
sub attribute { my ($type, $value) = @_; my $size = 4 + length $value; return pack('S S', $size, $type) . $value . "\\0" x (-$size % 4) }
while (my $line = <STDIN>) {
  chomp $line; my ($protocol, $source, $destination, @numbers) = split / /, $line;
  my $six = $source =~ /:/; my ($family, $kind) = $six ? (AF_INET6, 3) : (AF_INET, 1);
  my $ip = attribute($kind, inet_pton($family, $source)) . attribute($kind + 1, inet_pton($family, $destination));
  my $l4 = attribute(1, pack('C', $protocol));
  if (@numbers == 2) { $l4 .= attribute(2, pack('n', $numbers[0])) . attribute(3, pack('n', $numbers[1])) }
  else {
    my ($type, $code, $id) = @numbers; my $first = $six ? 7 : 4;
    $l4 .= attribute($first, pack('n', $id)) . attribute($first + 1, pack('C', $type)) . attribute($first + 2, pack('C', $code));
  }
  my $body = pack('C C n', $family, 0, 0) . attribute(1 | 0x8000, attribute(1 | 0x8000, $ip) . attribute(2 | 0x8000, $l4));
  my $message = pack('L S S L L', 16 + length $body, (1 << 8) | 2, 1, 0, 0) . $body;
  send($kernel, $message, 0, pack('S S L L', 16, 0, 0, 0)) or die "send: $!\\n";
}`;

export interface FlowForgetter {
  /** The plan is in the kernel. Never waited for; of many plans in a row the last counts. */
  planned(plan: NodeDataPlane): void;
  close(): Promise<void>;
}

export function createFlowForgetter(
  runner: ToolRunner,
  /** Told what went wrong: the next look mends it. */
  warn: (message: string) => void,
): FlowForgetter {
  let wanted: NodeDataPlane | undefined;
  let looking: Promise<void> | undefined;
  let notBeforeMs = 0;
  let [timer, closed]: [NodeJS.Timeout | undefined, boolean] = [undefined, false];
  const look = async (plan: NodeDataPlane): Promise<void> => {
    const beganMs = performance.now();
    try {
      const isEnded = endedUnder(plan);
      const ended = await readFlows(runner, (line) => {
        const flow = parseFlow(line);
        return flow !== undefined && isEnded(flow) ? flow : undefined;
      });
      await forgetFlows(runner, ended);
    } catch (error) {
      warn(`flows that a change of policy ended may be refused until they rest: ${String(error)}`);
    }
    const endedMs = performance.now();
    notBeforeMs = endedMs + (endedMs - beganMs) * PAUSE_PER_LOOK;
  };
  const begin = (): void => {
    if (closed || wanted === undefined || looking !== undefined || timer !== undefined) return;
    const waitMs = notBeforeMs - performance.now();
    if (waitMs > 0) {
      timer = setTimeout(() => {
        timer = undefined;
        begin();
      }, waitMs);
      return;
    }
    const plan = wanted;
    wanted = undefined;
    looking = look(plan).finally(() => {
      looking = undefined;
      begin();
    });
  };
  return {
    planned(plan) {
      wanted = plan;
      begin();
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      await looking;
    },
  };
}

/** All that was ever translated to an egress IP: without our rules it would go on leaving so, by any way. Rejects where it cannot. */
export async function forgetTranslated(runner: ToolRunner): Promise<void> {
  for (let left = true; left; ) {
    const flows = await readFlows(runner, parseTranslated);
    await forgetFlows(runner, flows);
    left = flows.length === FLOWS_MAX;
  }
}

/** @param pick of a line; undefined: not this one */
async function readFlows(
  { execPrefix }: ToolRunner,
  pick: (line: string) => Flow | undefined,
): Promise<readonly Flow[]> {
  const [file = '', ...args] = [...execPrefix, 'cat', TABLE];
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const gone = once(child, 'close');
  gone.catch(() => undefined); // Looked at when all is read.
  const flows: Flow[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const flow = flows.length < FLOWS_MAX ? pick(line) : undefined;
    if (flow !== undefined) flows.push(flow);
  }
  const [code] = await gone;
  if (code !== 0) throw new Error(`${TABLE} cannot be read`);
  return flows;
}

async function forgetFlows(runner: ToolRunner, flows: readonly Flow[]): Promise<void> {
  if (flows.length === 0) return;
  const lines = flows.map(({ protocol, source, destination, numbers }) =>
    [protocol, formatAddress(source), formatAddress(destination), ...numbers].join(' '),
  );
  const result = await runTool(runner, ['perl', '-e', SCRIPT], `${lines.join('\n')}\n`);
  if (result.kind !== 'done') throw new Error(result.message);
  if (result.code !== 0) throw new Error(result.stderr.trim());
}
