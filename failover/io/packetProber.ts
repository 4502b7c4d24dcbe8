/**
 * Asks neighbours by ARP (RFC 826) and hosts by ICMP echo (RFC 792), from the node's own address. Node has neither packet
 * nor raw sockets, so one small Perl process, of Debian's essential perl-base, sends and listens; each answer is a word
 * back. The kernel's own neighbour table is not asked: its entries are refreshed by what the gateway forwards and stay
 * reachable for half a minute after the last sign of life.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { ProbeOutcome } from '../core/agent/health.ts';
import { startDeadline } from './startDeadline.ts';

/** ICMP has 16 bits for the sequence number; a probe waits for a minute at the most. */
const SEQUENCE_MAX = 0xffff;
/** Of a complaint, what is worth a line in a status. */
const DETAIL_LENGTH_MAX = 200;

/**
 * Lines in: `arp|icmp seq address`. Lines out: `sent seq`, then `ok seq`; or `failed seq why`, or `unknown seq why` where
 * this node could not ask. Device index and MAC are read each time: the device may be another by then.
 */
const SCRIPT = `use strict; use Socket; my ($device, $own, $id) = @ARGV; my $me = inet_aton($own);
my ($input, $bound, $icmp, %arped, %pinged) = ('', 0);
socket(my $arp, 17, 3, 0) or die "socket: $!\\n";
sub say_line { syswrite(STDOUT, "@_\\n") }
sub value { open(my $file, '<', "/sys/class/net/$device/$_[0]") or return; my $text = <$file>; chomp $text; return $text }
sub failure { my $short = grep { $! == $_ } 11, 12, 105; return ($short ? 'unknown' : 'failed', $_[0], $!) }
sub checksum { my $sum = 0; $sum += $_ for unpack('n*', "$_[0]\\0"); $sum = ($sum & 0xffff) + ($sum >> 16) for 1, 2; return ~$sum & 0xffff }
sub ask_arp {
  my ($seq, $ip) = @_; my ($type, $index, $mac) = (value('type'), value('ifindex'), value('address'));
  return ('unknown', $seq, "$device is no Ethernet device") unless defined $mac && defined $index && $type == 1;
  my $to = pack('S n i S C C a8', 17, 0x0806, $index, 1, 0, 6, "\\xff" x 6);
  if ($index != $bound) { bind($arp, $to) or return ('unknown', $seq, "bind: $!"); $bound = $index }
  my $hw = pack('H2' x 6, split(/:/, $mac)); $arped{$ip} = $seq;
  my $frame = "\\xff" x 6 . $hw . pack('n n n C C n', 0x0806, 1, 0x0800, 6, 4, 1) . $hw . $me . "\\0" x 6 . $ip;
  return defined send($arp, $frame, 0, $to) ? ('sent', $seq) : failure($seq);
}
sub hear_arp {
  my $frame = ''; defined recv($arp, $frame, 2048, 64) && length $frame >= 42 or return;
  my ($op, $from, $for) = unpack('x20 n x6 a4 x6 a4', $frame); my $seq = $op == 2 && $for eq $me && delete $arped{$from};
  say_line('ok', $seq) if $seq;
}
sub open_icmp {
  my $filter = pack('L', 0xfffffffe);
  return 1 if socket($icmp, PF_INET, SOCK_RAW, 1) && setsockopt($icmp, 255, 1, $filter) && bind($icmp, pack_sockaddr_in(0, $me));
  undef $icmp; return;
}
sub ask_icmp {
  my ($seq, $ip) = @_; defined $icmp || open_icmp() or return ('unknown', $seq, "no ICMP socket: $!");
  my $sum = checksum(pack('C C n n n a*', 8, 0, 0, $id, $seq, 'sallyport')); $pinged{$seq} = $ip;
  my $echo = pack('C C n n n a*', 8, 0, $sum, $id, $seq, 'sallyport');
  return defined send($icmp, $echo, 0, pack_sockaddr_in(0, $ip)) ? ('sent', $seq) : failure($seq);
}
sub hear_icmp {
  defined recv($icmp, my $packet, 2048, 64) or return; my $head = (ord($packet) & 15) * 4; return if length $packet < $head + 8;
  my ($type, $whose, $seq) = unpack("x$head C x3 n n", $packet); my $from = substr($packet, 12, 4);
  return unless $type == 0 && $whose == $id && defined $pinged{$seq} && $pinged{$seq} eq $from;
  delete $pinged{$seq}; say_line('ok', $seq);
}
while (1) {
  my $ready = ''; vec($ready, fileno($_), 1) = 1 for grep { defined } \\*STDIN, $arp, $icmp;
  next unless select($ready, undef, undef, undef) > 0;
  hear_arp() if vec($ready, fileno($arp), 1); hear_icmp() if defined $icmp && vec($ready, fileno($icmp), 1);
  next unless vec($ready, 0, 1); sysread(STDIN, $input, 4096, length $input) or last;
  while ($input =~ s/^(\\w+) (\\d+) (\\S+)\\n//) { my ($how, $seq, $ip) = ($1, $2, inet_aton($3)); say_line($how eq 'arp' ? ask_arp($seq, $ip) : ask_icmp($seq, $ip)) }
}`;

export interface PacketProberOptions {
  readonly execPrefix: readonly string[];
  readonly uplink: string;
  /** The node's own IPv4 address on the uplink. */
  readonly address: string;
  /** ICMP identifier: what tells this process's echoes from others' on the node. */
  readonly identifier: number;
}

export interface PacketProber {
  /** `unknown` where this node could not ask: no process, no socket, not sent in time. */
  ask(kind: 'arp' | 'icmp', address: string, timeoutMs: number): Promise<ProbeOutcome>;
  close(): void;
}

interface Waiting {
  readonly settle: (outcome: ProbeOutcome) => void;
  sent: boolean;
}

export function createPacketProber(options: PacketProberOptions): PacketProber {
  return new Prober(options);
}

class Prober implements PacketProber {
  readonly #command: readonly string[];
  readonly #waiting = new Map<number, Waiting>();
  #child: ChildProcess | undefined;
  #sequence = 0;
  #complaint = '';

  constructor({ execPrefix, uplink, address, identifier }: PacketProberOptions) {
    this.#command = [...execPrefix, 'perl', '-e', SCRIPT, uplink, address, String(identifier)];
  }

  ask(kind: 'arp' | 'icmp', address: string, timeoutMs: number): Promise<ProbeOutcome> {
    this.#sequence = (this.#sequence % SEQUENCE_MAX) + 1;
    const sequence = this.#sequence;
    return new Promise((resolve) => {
      const settle = (outcome: ProbeOutcome): void => {
        cancel();
        this.#waiting.delete(sequence);
        resolve(outcome);
      };
      const waiting: Waiting = { settle, sent: false };
      const cancel = startDeadline(timeoutMs, () =>
        settle(
          waiting.sent
            ? { kind: 'failed', detail: `no answer to ${kind.toUpperCase()} within ${timeoutMs} ms` }
            : { kind: 'unknown', detail: `not asked within ${timeoutMs} ms` },
        ),
      );
      this.#waiting.set(sequence, waiting);
      this.#child ??= this.#start();
      this.#child.stdin?.write(`${kind} ${sequence} ${address}\n`);
    });
  }

  close(): void {
    const ending = this.#child;
    this.#child = undefined;
    this.#forsake('closed');
    ending?.kill();
  }

  #start(): ChildProcess {
    const [file = '', ...args] = this.#command;
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    const gone = (why: string): void => {
      if (this.#child !== child) return;
      this.#child = undefined;
      this.#forsake(why);
    };
    this.#complaint = '';
    child.on('error', (error) => gone(error.message));
    child.on('close', (code) => gone(this.#complaint || `the asking process ended with code ${code}`));
    child.stdin.on('error', () => undefined); // Its end is told by `close`.
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#complaint = text.trim().slice(0, DETAIL_LENGTH_MAX);
    });
    createInterface(child.stdout).on('line', (line) => this.#hear(line));
    return child;
  }

  #hear(line: string): void {
    const [, word, number, detail = ''] = /^(\w+) (\d+)(?: (.*))?$/.exec(line) ?? [];
    const waiting = this.#waiting.get(Number(number));
    if (waiting === undefined) return;
    if (word === 'sent') waiting.sent = true;
    else if (word === 'ok') waiting.settle({ kind: 'ok' });
    else if (word === 'failed' || word === 'unknown') waiting.settle({ kind: word, detail });
  }

  /** Nobody answers for what was asked of a process that is gone. */
  #forsake(detail: string): void {
    for (const { settle } of [...this.#waiting.values()]) settle({ kind: 'unknown', detail });
  }
}
