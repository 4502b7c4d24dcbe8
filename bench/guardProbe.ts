/**
 * What the guard's bench asks the kernel, from one Perl process each, which has packet sockets and a clock that a busy event
 * loop does not blur. All of them begin in the peer's namespace, where the questions come from.
 */
import { SOLICITATION } from '../test/lab/neighbourDiscovery.ts';

/**
 * Perl: `question($address)` gives a sub that asks once and one that says how many answers have come. ARP or neighbour
 * discovery by the address; the asker is nobody's address, so no kernel but the one asked learns from it.
 */
const QUESTION = `use strict; ${SOLICITATION} use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC); $| = 1;
sub now { return clock_gettime(CLOCK_MONOTONIC) * 1000 }
sub arp_request {
  my ($ip, $me, $mac) = @_; my $all = "\\xff" x 6;
  return ($all . $mac . pack('n n n C C n', 0x0806, 1, 0x0800, 6, 4, 1) . $mac . $me . ("\\0" x 6) . $ip, $all);
}
sub question {
  my ($address) = @_; my $six = $address =~ /:/; my $mac = "\\x02\\xaa\\0\\0\\0\\xfa";
  my ($socket, $place) = on_device($six ? 0x86dd : 0x0806);
  my $ip = $six ? inet_pton(AF_INET6, $address) : inet_aton($address);
  my $me = $six ? inet_pton(AF_INET6, '2001:db8::fa') : inet_aton('203.0.113.250');
  my ($frame, $to) = $six ? solicitation($ip, 'all', $me, $mac) : arp_request($ip, $me, $mac);
  my $there = $place->($to); my $listen = ''; vec($listen, fileno($socket), 1) = 1;
  my $ask = sub { send($socket, $frame, 0, $there) or die "send: $!" };
  my $answers = sub {
    my ($patience) = @_; my $count = 0; my $end = now() + $patience;
    while (1) {
      my $left = $end - now(); last if !select(my $in = $listen, undef, undef, $left > 0 ? $left / 1000 : 0);
      recv($socket, my $answer, 1500, 0);
      my $one = $six ? advertises($answer, $ip, $me) : length($answer) >= 42 && substr($answer, 20, 2) eq "\\0\\2" && substr($answer, 28, 4) eq $ip;
      return $count + 1 if $one && !wantarray; $count += $one ? 1 : 0;
    }
    return $count;
  };
  return ($ask, $answers);
}`;

/**
 * Arguments: the address, the namespace that commands are given in, how often to ask, and where commands come from and go
 * to. A line each on its standard input: a heartbeat, its grant, and how many milliseconds lie between them. A line each on
 * its output, in milliseconds: from the sending of the grant, and of the heartbeat, to the sending of the first question
 * that got no answer, and how long before that the last question with an answer was sent; or "none".
 */
export const SILENCE_PROBE = `${QUESTION}
my ($address, $namespace, $every, $from, $to) = @ARGV; my ($ask, $answers) = question($address);
open(my $ns, '<', $namespace) or die "$namespace: $!"; syscall(308, fileno($ns), 0x40000000) == 0 or die "setns: $!";
socket(my $commands, PF_INET, SOCK_DGRAM, 0) or die; bind($commands, pack_sockaddr_in(0, inet_aton($from))) or die "bind: $!";
my ($port) = unpack_sockaddr_in(getsockname($commands)); my $kernel = pack_sockaddr_in($port, inet_aton($to));
sub command { send($commands, pack('H*', $_[0]), 0, $kernel) or die "command: $!" }
print "ready\\n";
while (my $line = <STDIN>) {
  my ($beat, $grant, $between) = split ' ', $line;
  select(undef, undef, undef, rand(0.02)); $answers->(0);
  my $sent = now(); command($beat);
  if ($between > 0) { my $left = $sent + $between - now(); select(undef, undef, undef, $left / 1000) if $left > 0 }
  my $granted = now(); command($grant); my ($last, $first) = (undef, undef); my $until = $granted + 1000;
  while (now() < $until) {
    my $asked = now(); $ask->(); my $answered = $answers->($every);
    if ($answered) { ($last, $first) = ($asked, undef); my $rest = $asked + $every - now(); select(undef, undef, undef, $rest / 1000) if $rest > 0 }
    else { $first = $asked unless defined $first; last if $asked - $first > 30 }
  }
  print defined $last && defined $first ? sprintf("%.3f %.3f %.3f\\n", $first - $granted, $first - $sent, $first - $last) : "none\\n";
  recv($commands, my $back, 100, 64) while select(my $in = do { my $v = ''; vec($v, fileno($commands), 1) = 1; $v }, undef, undef, 0);
}`;

/** Arguments: the address and how many questions. Prints the median time to an answer in µs and the answers a second. */
export const ANSWER_PROBE = `${QUESTION}
my ($address, $count) = @ARGV; my ($ask, $answers) = question($address); my @took; my $began = now();
for (1 .. $count) { my $asked = now(); $ask->(); scalar($answers->(1000)) or die "no answer"; push @took, now() - $asked }
my $all = now() - $began; @took = sort { $a <=> $b } @took; printf("%.3f %.0f\\n", $took[$count / 2] * 1000, $count * 1000 / $all);`;

/** Argument: how many round trips. Prints what a packet over the loopback device takes, in µs. */
export const LOOPBACK_PROBE = `${QUESTION}
my ($count) = @ARGV; my @ends = map { socket(my $s, PF_INET, SOCK_DGRAM, 0) or die; bind($s, pack_sockaddr_in(0, inet_aton('127.0.0.1'))) or die; $s } 1 .. 2;
my @places = map { getsockname($_) } @ends; my $began = now();
for (1 .. $count) { for my $from (0, 1) { send($ends[$from], 'x' x 32, 0, $places[1 - $from]) or die; recv($ends[1 - $from], my $it, 100, 0) } }
printf("%.4f\\n", (now() - $began) * 1000 / $count / 2);`;
