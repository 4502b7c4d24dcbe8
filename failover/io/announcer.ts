/**
 * Gratuitous ARP (RFC 5227 §3, "ARP Announcement") and unsolicited neighbour advertisements (RFC 4861 §7.2.6): tell the
 * neighbours that an address is here now. Node has no packet sockets, so one small Perl process, of Debian's essential
 * perl-base, sends what it is told: starting a tool for each address would take longer than finding out that its gateway is
 * dead. The guard on the uplinks lets an announcement pass only for what is armed.
 */
import { type ChildProcess, spawn } from 'node:child_process';

/** A switch or a peer may lose the first, and the guard keeps one in that comes while the session lapses. */
export const ANNOUNCED_AGAIN_MS = [50, 200, 1000, 2000] as const;

/**
 * A line each: an address of either family, and its device. Device index and MAC are read each time: the device may be another by then. An
 * advertisement comes from the address that it is about, as the kernel's own do, and overrides what a neighbour has cached,
 * which the kernel's answers as a proxy do not.
 */
const SCRIPT = `use strict; use Socket qw(:DEFAULT inet_pton AF_INET6); $SIG{PIPE} = 'DEFAULT'; my $device = '';
socket(my $socket, 17, 3, 0) or die "socket: $!\\n";
sub value { open(my $file, '<', "/sys/class/net/$device/$_[0]") or return; my $text = <$file>; chomp $text; return $text }
sub arp {
  my ($own, $ip) = @_; my $all = "\\xff" x 6;
  return (0x0806, $all, pack('n n C C n', 1, 0x0800, 6, 4, 1) . $own . $ip . ("\\0" x 6) . $ip);
}
sub advertisement {
  my ($own, $ip) = @_; my $nodes = inet_pton(AF_INET6, 'ff02::1');
  my $message = sub { pack('C C n N', 136, 0, $_[0], 0x20000000) . $ip . pack('C C', 2, 1) . $own };
  my $sum = 0; $sum += $_ for unpack('n*', $ip . $nodes . pack('N N', 32, 58) . $message->(0));
  $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
  return (0x86dd, "\\x33\\x33\\0\\0\\0\\1", pack('N n C C', 6 << 28, 32, 58, 255) . $ip . $nodes . $message->(~$sum & 0xffff));
}
while (my $line = <STDIN>) {
  chomp $line; (my $address, $device) = split(/ /, $line); my ($index, $mac) = (value('ifindex'), value('address'));
  my $six = $address =~ /:/; my $ip = $six ? inet_pton(AF_INET6, $address) : inet_aton($address);
  next unless defined $index && defined $mac && defined $ip;
  my $own = pack('H2' x 6, split(/:/, $mac)); my ($type, $to, $packet) = $six ? advertisement($own, $ip) : arp($own, $ip);
  send($socket, $to . $own . pack('n', $type) . $packet, 0, pack('S n i S C C a8', 17, $type, $index, 1, 0, 6, $to)) or warn "$address: $!\\n";
}`;

export interface AnnouncerOptions {
  readonly execPrefix: readonly string[];
  /** Told what went wrong: the address's own answers mend it later. */
  readonly warn?: (message: string) => void;
}

export interface Announcement {
  readonly address: string;
  /** The uplink whose neighbours are told. */
  readonly device: string;
}

export interface Announcer {
  /** Starts what is needed ahead of need. */
  prepare(): void;
  /** Never waited for. */
  announce(announcements: readonly Announcement[]): void;
  /** Once. Never waited for. */
  refresh(announcements: readonly Announcement[]): void;
  close(): void;
}

export function createAnnouncer({ execPrefix, warn = () => undefined }: AnnouncerOptions): Announcer {
  let child: ChildProcess | undefined;
  const timers = new Set<NodeJS.Timeout>();

  const start = (): ChildProcess => {
    const [file = '', ...args] = [...execPrefix, 'perl', '-e', SCRIPT];
    const started = spawn(file, args, { stdio: ['pipe', 'ignore', 'pipe'] });
    const gone = (why: string): void => {
      if (child !== started) return;
      child = undefined;
      warn(`announcing ended: ${why}`);
    };
    started.on('error', (error) => gone(error.message));
    started.on('exit', (code) => gone(`code ${code}`));
    started.stdin?.on('error', () => undefined); // Its end is told by `exit`.
    started.stderr?.setEncoding('utf8').on('data', (text: string) => warn(`announcing: ${text.trim()}`));
    return started;
  };
  const send = (announcements: readonly Announcement[]): void => {
    child ??= start();
    child.stdin?.write(announcements.map(({ address, device }) => `${address} ${device}\n`).join(''));
  };
  const sendLater = (announcements: readonly Announcement[], afterMs: number): void => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      send(announcements);
    }, afterMs);
    timers.add(timer);
  };
  return {
    prepare() {
      child ??= start();
    },
    announce(announcements) {
      send(announcements);
      for (const afterMs of ANNOUNCED_AGAIN_MS) sendLater(announcements, afterMs);
    },
    refresh: send,
    close() {
      for (const timer of timers) clearTimeout(timer);
      const ending = child;
      child = undefined;
      ending?.kill();
    },
  };
}
