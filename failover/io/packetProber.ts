/**
 * Asks neighbours by ARP (RFC 826) and neighbour discovery (RFC 4861), and hosts by ICMP echo (RFC 792, RFC 4443), from the
 * node's own addresses. Node has neither packet nor raw sockets, so one small Perl process, of Debian's essential perl-base,
 * sends and listens; each answer is a word back. The kernel's own neighbour table is not asked: its entries are refreshed by
 * what the gateway forwards and stay reachable for half a minute after the last sign of life.
 *
 * Neighbour discovery goes by a raw ICMPv6 socket that lets nothing in but advertisements: a packet socket as for ARP would
 * see every IPv6 packet that comes by the uplink. An unsolicited advertisement proves one direction only, and is no answer.
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
 * Lines in: `arp|nd|icmp seq address from`. Lines out: `sent seq`, then `ok seq`; or `failed seq why`, or `unknown seq why`
 * where this node could not ask. Device index and MAC are read each time, and raw sockets bound: the device may be another by
 * then, and the address gone.
 */
const SCRIPT = `use strict; use Socket qw(:DEFAULT inet_pton AF_INET6 pack_sockaddr_in6 unpack_sockaddr_in6); my ($device, $id) = @ARGV;
my ($input, $bound, %arped, %solicited, %pinged, %raw) = ('', 0); my %ask = (arp => \\&ask_arp, nd => \\&ask_nd, icmp => \\&ask_icmp);
my %kinds = (icmp => [0, AF_INET, 1, 255, 1], icmp6 => [129, AF_INET6, 58, 58, 8], nd => [136, AF_INET6, 58, 58, 8]);
socket(my $arp, 17, 3, 0) or die "socket: $!\\n";
sub say_line { syswrite(STDOUT, "@_\\n") }
sub value { open(my $file, '<', "/sys/class/net/$device/$_[0]") or return; my $text = <$file>; chomp $text; return $text }
sub ethernet {
  my ($type, $index, $mac) = (value('type'), value('ifindex'), value('address'));
  return defined $mac && defined $index && $type == 1 ? ($index, pack('H2' x 6, split(/:/, $mac))) : ();
}
sub packed { return inet_pton($_[0] =~ /:/ ? AF_INET6 : AF_INET, $_[0]) }
sub failure { my $short = grep { $! == $_ } 11, 12, 99, 105; return ($short ? 'unknown' : 'failed', $_[0], $!) }
sub checksum { my $sum = 0; $sum += $_ for unpack('n*', "$_[0]\\0"); $sum = ($sum & 0xffff) + ($sum >> 16) for 1, 2; return ~$sum & 0xffff }
sub ask_arp {
  my ($seq, $ip, $me) = @_; my ($index, $hw) = ethernet() or return ('unknown', $seq, "$device is no Ethernet device");
  my $to = pack('S n i S C C a8', 17, 0x0806, $index, 1, 0, 6, "\\xff" x 6);
  if ($index != $bound) { bind($arp, $to) or return ('unknown', $seq, "bind: $!"); $bound = $index }
  my $frame = "\\xff" x 6 . $hw . pack('n n n C C n', 0x0806, 1, 0x0800, 6, 4, 1) . $hw . $me . "\\0" x 6 . $ip; $arped{$ip . $me} = $seq;
  return defined send($arp, $frame, 0, $to) ? ('sent', $seq) : failure($seq);
}
sub hear_arp {
  my $frame = ''; defined recv($arp, $frame, 2048, 64) && length $frame >= 42 or return;
  my ($op, $from, $for) = unpack('x20 n x6 a4 x6 a4', $frame); my $seq = $op == 2 && delete $arped{$from . $for};
  say_line('ok', $seq) if $seq;
}
sub make_raw {
  my ($type, $domain, $protocol, $level, $words) = @_; my @filter = (0xffffffff) x $words; $filter[$type >> 5] ^= 1 << ($type & 31);
  socket(my $socket, $domain, SOCK_RAW, $protocol) or return; setsockopt($socket, $level, 1, pack('L*', @filter)) or return;
  return $protocol == 1 || setsockopt($socket, 41, 18, pack('i', 255)) ? $socket : undef;
}
sub raw_from {
  my ($name, $from) = @_; $raw{$name} //= make_raw(@{$kinds{$name}}) or delete $raw{$name}, return;
  return bind($raw{$name}, $from) ? $raw{$name} : undef;
}
sub ask_nd {
  my ($seq, $ip, $me) = @_; my ($index, $hw) = ethernet() or return ('unknown', $seq, "$device is no Ethernet device");
  my $socket = raw_from('nd', pack_sockaddr_in6(0, $me, $index)) or return ('unknown', $seq, "no ICMPv6 socket: $!");
  my $to = inet_pton(AF_INET6, 'ff02::1:ff00:0'); substr($to, 13) = substr($ip, 13); $solicited{$ip} = $seq;
  my $message = pack('C C n N a16 C C a6', 135, 0, 0, 0, $ip, 1, 1, $hw);
  return defined send($socket, $message, 0, pack_sockaddr_in6(0, $to, $index)) ? ('sent', $seq) : failure($seq);
}
sub hear_nd {
  my $message = ''; defined recv($raw{nd}, $message, 2048, 64) && length $message >= 24 or return;
  my ($type, $flags, $ip) = unpack('C x3 C x3 a16', $message); my $seq = $type == 136 && $flags & 0x40 && delete $solicited{$ip};
  say_line('ok', $seq) if $seq;
}
sub ask_icmp {
  my ($seq, $ip, $me) = @_; my $six = length $ip == 16; my $place = sub { $six ? pack_sockaddr_in6(0, $_[0]) : pack_sockaddr_in(0, $_[0]) };
  my $socket = raw_from($six ? 'icmp6' : 'icmp', $place->($me)) or return ('unknown', $seq, "no ICMP socket: $!");
  my $echo = sub { pack('C C n n n a*', $six ? 128 : 8, 0, $_[0], $id, $seq, 'sallyport') }; $pinged{$seq} = $ip;
  return defined send($socket, $echo->($six ? 0 : checksum($echo->(0))), 0, $place->($ip)) ? ('sent', $seq) : failure($seq);
}
sub hear_icmp {
  my ($name) = @_; my $sender = recv($raw{$name}, my $packet, 2048, 64); return unless defined $sender; my $six = $name eq 'icmp6';
  my $head = $six ? 0 : (ord($packet) & 15) * 4; return if length $packet < $head + 8;
  my ($type, $whose, $seq) = unpack("x$head C x3 n n", $packet); my (undef, $from) = $six ? unpack_sockaddr_in6($sender) : unpack_sockaddr_in($sender);
  return unless $type == ($six ? 129 : 0) && $whose == $id && defined $pinged{$seq} && $pinged{$seq} eq $from;
  delete $pinged{$seq}; say_line('ok', $seq);
}
while (1) {
  my $ready = ''; vec($ready, fileno($_), 1) = 1 for \\*STDIN, $arp, values %raw;
  next unless select($ready, undef, undef, undef) > 0;
  hear_arp() if vec($ready, fileno($arp), 1);
  for my $name (grep { vec($ready, fileno($raw{$_}), 1) } keys %raw) { $name eq 'nd' ? hear_nd() : hear_icmp($name) }
  next unless vec($ready, 0, 1); sysread(STDIN, $input, 4096, length $input) or last;
  while ($input =~ s/^(\\w+) (\\d+) (\\S+) (\\S+)\\n//) { my ($how, $seq, @ends) = ($1, $2, $3, $4); say_line($ask{$how}->($seq, map { packed($_) } @ends)) }
}`;

export interface PacketProberOptions {
  readonly execPrefix: readonly string[];
  readonly uplink: string;
  /** ICMP identifier: what tells this process's echoes from others' on the node. */
  readonly identifier: number;
}

export type PacketQuestion = 'arp' | 'nd' | 'icmp';

export interface PacketProber {
  /**
   * `unknown` where this node could not ask: no process, no socket, not sent in time.
   * @param from the node's own address of the same family; of neighbour discovery its link-local one
   */
  ask(
    kind: PacketQuestion,
    address: string,
    options: { readonly from: string; readonly timeoutMs: number },
  ): Promise<ProbeOutcome>;
  close(): void;
}

/** As it stands in a status. */
const SAID = { arp: 'ARP', nd: 'neighbour discovery', icmp: 'ICMP' } as const;

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

  constructor({ execPrefix, uplink, identifier }: PacketProberOptions) {
    this.#command = [...execPrefix, 'perl', '-e', SCRIPT, uplink, String(identifier)];
  }

  ask(
    kind: PacketQuestion,
    address: string,
    { from, timeoutMs }: { readonly from: string; readonly timeoutMs: number },
  ): Promise<ProbeOutcome> {
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
            ? { kind: 'failed', detail: `no answer to ${SAID[kind]} within ${timeoutMs} ms` }
            : { kind: 'unknown', detail: `not asked within ${timeoutMs} ms` },
        ),
      );
      this.#waiting.set(sequence, waiting);
      this.#child ??= this.#start();
      this.#child.stdin?.write(`${kind} ${sequence} ${address} ${from}\n`);
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
