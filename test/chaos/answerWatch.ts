/**
 * A third party on the segment that asks who has an address every few milliseconds and writes down every answer and
 * announcement it sees: who answers ARP is counted on the wire, not by what gateways believe. It asks as a host of its
 * own, so that no neighbour table but the gateways' own learns anything from it.
 */
import { spawn } from 'node:child_process';
import type { Cluster } from '../cluster/cluster.ts';
import { ROUTER } from '../cluster/topology.ts';

export interface Answer {
  /** Milliseconds since the watch began. */
  readonly atMs: number;
  readonly node: string;
}

export interface AnswerWatch {
  answers(): readonly Answer[];
  stop(): Promise<void>;
}

const ASK_EVERY_MS = 5;
/** Unused on the underlay; the MAC is nobody's, so the kernel beside the socket ignores what comes back to it. */
const ASKER = { address: '203.0.113.250', mac: '02:aa:00:00:00:fa' };
/** Answers of one owner come this close together; another's in between came from two at once. */
const CONTIGUOUS_MS = 150;

/** AF_PACKET, which Node has not: `<milliseconds> <MAC>` a line for each ARP packet that claims the address. */
const SCRIPT = `use strict; use Socket; use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC); $| = 1;
my ($device, $address, $asker, $mac, $every) = @ARGV;
open(my $f, '<', "/sys/class/net/$device/ifindex") or die; my $index = <$f>;
socket(my $s, 17, 3, unpack('n', pack('S', 0x0806))) or die "socket: $!";
my $peer = pack('S n i S C C a8', 17, 0x0806, $index, 1, 0, 6, "\\xff" x 6);
bind($s, $peer) or die "bind: $!";
my $own = pack('H2' x 6, split(/:/, $mac)); my $wanted = inet_aton($address);
my $frame = ("\\xff" x 6) . $own . pack('n n n C C n', 0x0806, 1, 0x0800, 6, 4, 1) . $own . inet_aton($asker) . ("\\0" x 6) . $wanted;
my $began = clock_gettime(CLOCK_MONOTONIC); my $next = 0; print "ready\\n";
while (1) {
  my $now = (clock_gettime(CLOCK_MONOTONIC) - $began) * 1000;
  if ($now >= $next) { send($s, $frame, 0, $peer); $next = $now + $every; }
  my $in = ''; vec($in, fileno($s), 1) = 1;
  next unless select($in, undef, undef, ($next - $now) / 1000);
  recv($s, my $packet, 1500, 0); next if length($packet) < 42 || substr($packet, 28, 4) ne $wanted;
  printf("%.1f %s\\n", (clock_gettime(CLOCK_MONOTONIC) - $began) * 1000, join(':', map { sprintf('%02x', $_) } unpack('C6', substr($packet, 22, 6))));
}`;

export async function watchAnswers(cluster: Cluster, address: string): Promise<AnswerWatch> {
  const nodes = new Map<string, string>();
  for (const { name } of cluster.nodes) {
    const { stdout, code } = await cluster.nodeExec(name, ['cat', '/sys/class/net/eth0/address'], {
      allowFailure: true,
    });
    if (code === 0) nodes.set(stdout.trim(), name);
  }
  const inRouter = ['ip', 'netns', 'exec', cluster.networkNamespace(ROUTER)];
  const [file = '', ...args] = [...inRouter, 'perl', '-e', SCRIPT];
  const asked = ['eth0', address, ASKER.address, ASKER.mac, String(ASK_EVERY_MS)];
  const child = spawn(file, [...args, ...asked], { stdio: ['ignore', 'pipe', 'inherit'] });
  const answers: Answer[] = [];
  let rest = '';
  const ready = new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the answer watch ended with code ${code}`)));
    child.stdout.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString('utf8')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line === 'ready') resolve();
        const [atMs = '', mac = ''] = line.split(' ');
        if (mac !== '') answers.push({ atMs: Number(atMs), node: nodes.get(mac) ?? mac });
      }
    });
  });
  await ready;
  return {
    answers: () => [...answers],
    async stop() {
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Who answered, each run of answers of one node once, in order. */
export function answerersOf(answers: readonly Answer[]): readonly string[] {
  return answers.filter(({ node }, index) => answers[index - 1]?.node !== node).map(({ node }) => node);
}

/** Moments at which a node answered while another one did before and after it, within what one owner leaves unanswered. */
export function overlapsOf(answers: readonly Answer[]): readonly string[] {
  const overlaps: string[] = [];
  const last = new Map<string, number>();
  for (const [index, { atMs, node }] of answers.entries()) {
    const before = last.get(node);
    const between = answers.slice(0, index).filter((it) => it.node !== node && it.atMs > (before ?? atMs));
    const [other] = between;
    if (before !== undefined && atMs - before < CONTIGUOUS_MS && other !== undefined)
      overlaps.push(`${other.node} at ${other.atMs} ms between ${node} at ${before} and ${atMs} ms`);
    last.set(node, atMs);
  }
  return overlaps;
}
