/**
 * One question of neighbour discovery from a raw socket, so that no neighbour table decides what is asked: as one that looks
 * for an address asks all, or as one that checks what it knows asks the address itself.
 */
import type { DataPlaneLab } from './dataPlaneLab.ts';

/**
 * Perl: `solicitation($ip, $whom, $me, $mac)` is the frame that asks for `$ip`, and where it goes. All but `$whom` are packed;
 * that is a MAC as text, or "all" for those that listen for the address.
 */
export const SOLICITATION = `use Socket qw(:DEFAULT inet_pton AF_INET6);
sub solicitation {
  my ($ip, $whom, $me, $mac) = @_; my $tail = substr($ip, 13); my $to = $ip;
  substr($to = inet_pton(AF_INET6, 'ff02::1:ff00:0'), 13) = $tail if $whom eq 'all';
  my $toMac = $whom eq 'all' ? "\\x33\\x33\\xff" . $tail : pack('H2' x 6, split(/:/, $whom));
  my $message = sub { pack('C C n N', 135, 0, $_[0], 0) . $ip . pack('C C', 1, 1) . $mac };
  my $sum = 0; $sum += $_ for unpack('n*', $me . $to . pack('N N', 32, 58) . $message->(0));
  $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
  my $packet = pack('n N n C C', 0x86dd, 6 << 28, 32, 58, 255) . $me . $to . $message->(~$sum & 0xffff);
  return ($toMac . $mac . $packet, $toMac);
}
sub advertises {
  my ($frame, $ip, $me) = @_;
  return length($frame) >= 78 && ord(substr($frame, 54)) == 136 && substr($frame, 62, 16) eq $ip && substr($frame, 38, 16) eq $me;
}
sub on_device {
  my ($type) = @_; open(my $file, '<', '/sys/class/net/eth0/ifindex') or die; my $index = <$file>;
  socket(my $socket, 17, 3, unpack('n', pack('S', $type))) or die "socket: $!";
  my $place = sub { pack('S n i S C C a8', 17, $type, $index, 1, 0, 6, $_[0]) };
  bind($socket, $place->('')) or die "bind: $!"; return ($socket, $place);
}`;

/** Arguments: the target, the MAC to ask or "all", and how many milliseconds to wait. Ends with 0 if an answer came. */
const QUESTION = `use strict; ${SOLICITATION} use Time::HiRes qw(time);
my ($target, $whom, $patience) = @ARGV; my $ip = inet_pton(AF_INET6, $target);
my $me = inet_pton(AF_INET6, '2001:db8::fa'); my ($socket, $place) = on_device(0x86dd);
my ($frame, $to) = solicitation($ip, $whom, $me, "\\x02\\xaa\\0\\0\\0\\xfa");
send($socket, $frame, 0, $place->($to)) or die "send: $!"; my $end = time + $patience / 1000;
while ((my $left = $end - time) > 0) {
  my $in = ''; vec($in, fileno($socket), 1) = 1; next unless select($in, undef, undef, $left);
  recv($socket, my $answer, 1500, 0); exit 0 if advertises($answer, $ip, $me);
}
exit 1`;

/** Whether somebody says in time that the address is at its own place. */
export function answersSolicitation(
  lab: DataPlaneLab,
  question: {
    readonly from: string;
    readonly address: string;
    /** A MAC; default: all that listen for the address. */
    readonly whom?: string;
    readonly patienceMs: number;
  },
): boolean {
  const { from, address, whom = 'all', patienceMs } = question;
  const { code, output } = lab.attempt(from, 'perl', '-e', QUESTION, address, whom, `${patienceMs}`);
  if (code > 1 || output !== '') throw new Error(`the question failed: ${output}`);
  return code === 0;
}
