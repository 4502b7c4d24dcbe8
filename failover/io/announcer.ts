/**
 * Gratuitous ARP (RFC 5227 §3, "ARP Announcement"): tells the neighbours that an address is here now. Node has no packet
 * sockets, so one small Perl process, of Debian's essential perl-base, sends what it is told: starting a tool for each
 * address would take longer than finding out that its gateway is dead. The guard on the uplink lets an announcement pass
 * only for what is armed.
 */
import { type ChildProcess, spawn } from 'node:child_process';

/** A switch or a peer may lose the first, and the guard keeps one in that comes while the session lapses. */
const REPEATS_MS = [50, 200, 1000, 2000] as const;

/** A line each: an IPv4 address. Device index and MAC are read each time: the device may be another by then. */
const SCRIPT = `use strict; use Socket; $SIG{PIPE} = 'DEFAULT'; my ($device) = @ARGV;
socket(my $socket, 17, 3, 0) or die "socket: $!\\n";
sub value { open(my $file, '<', "/sys/class/net/$device/$_[0]") or return; my $text = <$file>; chomp $text; return $text }
while (my $address = <STDIN>) {
  chomp $address; my ($index, $mac, $ip) = (value('ifindex'), value('address'), inet_aton($address));
  next unless defined $index && defined $mac && defined $ip;
  my $own = pack('H2' x 6, split(/:/, $mac)); my $all = "\\xff" x 6;
  my $frame = $all . $own . pack('n n n C C n', 0x0806, 1, 0x0800, 6, 4, 1) . $own . $ip . ("\\0" x 6) . $ip;
  send($socket, $frame, 0, pack('S n i S C C a8', 17, 0x0806, $index, 1, 0, 6, $all)) or warn "$address: $!\\n";
}`;

export interface AnnouncerOptions {
  readonly execPrefix: readonly string[];
  readonly uplink: string;
  /** Told what went wrong: the address's own answers mend it later. */
  readonly warn?: (message: string) => void;
}

export interface Announcer {
  /** Starts what is needed ahead of need. */
  prepare(): void;
  /** Never waited for. */
  announce(addresses: readonly string[]): void;
  close(): void;
}

export function createAnnouncer({ execPrefix, uplink, warn = () => undefined }: AnnouncerOptions): Announcer {
  let child: ChildProcess | undefined;
  const timers = new Set<NodeJS.Timeout>();

  const start = (): ChildProcess => {
    const [file = '', ...args] = [...execPrefix, 'perl', '-e', SCRIPT, uplink];
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
  const send = (addresses: readonly string[]): void => {
    child ??= start();
    child.stdin?.write(addresses.map((address) => `${address}\n`).join(''));
  };
  const sendLater = (addresses: readonly string[], afterMs: number): void => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      send(addresses);
    }, afterMs);
    timers.add(timer);
  };
  return {
    prepare() {
      child ??= start();
    },
    announce(addresses) {
      send(addresses);
      for (const afterMs of REPEATS_MS) sendLater(addresses, afterMs);
    },
    close() {
      for (const timer of timers) clearTimeout(timer);
      const ending = child;
      child = undefined;
      ending?.kill();
    },
  };
}
