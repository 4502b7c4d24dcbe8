/**
 * Starts system tools from a small process of its own. Node's spawn() stands still until the child has begun its program:
 * the kernel copies this process's page tables meanwhile, and a busy machine lets the child wait for its turn. That is 15 ms
 * for each tool on an idle machine and 50 to 120 on a busy one (150 MB of memory), and a session lasts 200. A process of a few megabytes
 * pays a millisecond, and pays it elsewhere. It is Perl, of Debian's essential perl-base, as in announcer.ts.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { ToolResult } from './runTool.ts';

export interface ToolStarter {
  /** Starts what is needed ahead of need. */
  prepare(): void;
  /** @param command the program and its arguments */
  run(
    command: readonly string[],
    limits: { readonly deadlineMs: number; readonly outputBytesMax: number; readonly input: string },
  ): Promise<ToolResult>;
  close(): void;
}

/**
 * In: `number deadlineMs outputBytesMax argumentBytes inputBytes`, a line, then the arguments with NULs between them, then the
 * input. Out: `number done code`, `number absent 0` or `number unknown 0`, each with `outputBytes complaintBytes`, then both. Whoever ends
 * takes what runs with it.
 */
const SCRIPT = `use strict; my ($asked, %jobs) = ('');
$SIG{PIPE} = 'IGNORE';
sub now { open(my $file, '<', '/proc/uptime') or return time; my ($up) = split(/ /, <$file>); return $up }
sub say_all { my $text = $_[0]; while (length $text) { my $sent = syswrite(STDOUT, $text); exit 0 unless defined $sent; substr($text, 0, $sent, '') } }
sub answer { my ($id, $kind, $code, $out, $err) = @_; say_all("$id $kind $code " . length($out) . ' ' . length($err) . "\\n$out$err") }
sub begin {
  my ($id, $deadline, $max, $args, $input) = @_; my @words = split(/\\0/, $args, -1);
  my ($in, $out, $err, $begun, $pid); my @theirs;
  pipe($theirs[0], $in) && pipe($out, $theirs[1]) && pipe($err, $theirs[2]) && pipe($begun, $theirs[3]) && defined($pid = fork)
    or return answer($id, 'absent', 0, '', "$words[0]: $!");
  if (!$pid) {
    $SIG{PIPE} = 'DEFAULT'; open(STDIN, '<&', $theirs[0]); open(STDOUT, '>&', $theirs[1]); open(STDERR, '>&', $theirs[2]);
    { no warnings; exec { $words[0] } @words } syswrite($theirs[3], "$words[0]: $!"); kill 9, $$;
  }
  close $_ for @theirs;
  if (sysread($begun, my $why, 4096)) { waitpid($pid, 0); return answer($id, 'absent', 0, '', $why) }
  $in->blocking(0); my $job = $jobs{$id} = { pid => $pid, in => $in, out => $out, err => $err, input => $input, max => $max, said => { out => '', err => '' } };
  @$job{'deadline', 'after'} = (now() + $deadline / 1000, $deadline); delete $job->{in} unless length $input;
}
sub stop { my ($job, $why) = @_; $job->{why} = $why; kill 9, $job->{pid} }
sub feed {
  my $job = $_[0]; my $sent = syswrite($job->{in}, $job->{input});
  if (defined $sent) { substr($job->{input}, 0, $sent, '') } else { $job->{input} = '' unless $!{EAGAIN} }
  delete $job->{in} unless length $job->{input};
}
sub hear {
  my ($job, $part) = @_; my $said = $job->{said};
  if (!sysread($job->{$part}, $said->{$part}, 65536, length $said->{$part})) { delete $job->{$part}; return }
  stop($job, "more than $job->{max} bytes of output") if length($said->{out}) + length($said->{err}) > $job->{max};
}
sub end {
  my ($id, $job) = ($_[0], $jobs{$_[0]}); return $job->{silent} = 1 unless waitpid($job->{pid}, 1);
  my ($code, $signal) = ($? >> 8, $? & 127); delete $jobs{$id};
  my $why = $job->{why} // ($signal ? 'killed' : undef);
  defined $why ? answer($id, 'unknown', 0, '', $why) : answer($id, 'done', $code, @{$job->{said}}{'out', 'err'});
}
for (;;) {
  my ($reads, $writes, $next) = ('', ''); vec($reads, 0, 1) = 1; my $silent = grep { $_->{silent} } values %jobs;
  for my $job (values %jobs) {
    for (grep { defined } @$job{'out', 'err'}) { vec($reads, fileno $_, 1) = 1 } vec($writes, fileno $job->{in}, 1) = 1 if $job->{in};
    $next = $job->{deadline} if !defined $job->{why} && (!defined $next || $job->{deadline} < $next);
  }
  my $wait = defined $next ? $next - now() + 0.01 : undef; $wait = 0 if defined $wait && $wait < 0;
  $wait = 0.01 if $silent && (!defined $wait || $wait > 0.01);
  select($reads, $writes, undef, $wait) < 0 and next;
  if (vec($reads, 0, 1)) { sysread(STDIN, $asked, 65536, length $asked) or last }
  for my $job (values %jobs) {
    for my $part ('out', 'err') { hear($job, $part) if $job->{$part} && vec($reads, fileno $job->{$part}, 1) }
    feed($job) if $job->{in} && vec($writes, fileno $job->{in}, 1);
    stop($job, "no end within $job->{after} ms") if !defined $job->{why} && now() >= $job->{deadline};
  }
  for my $id (keys %jobs) { end($id) unless $jobs{$id}{out} || $jobs{$id}{err} }
  while ($asked =~ /^(\\d+) (\\d+) (\\d+) (\\d+) (\\d+)\\n/ && length $asked >= $+[0] + $4 + $5) {
    my ($head, @asked) = ($+[0], $1, $2, $3); my ($args, $input) = (substr($asked, $head, $4), substr($asked, $head + $4, $5));
    substr($asked, 0, $head + $4 + $5, ''); begin(@asked, $args, $input);
  }
}
kill 9, map { $_->{pid} } values %jobs;
`;

interface Job {
  readonly command: readonly string[];
  readonly resolve: (result: ToolResult) => void;
}

export function createToolStarter(): ToolStarter {
  return new Starter();
}

class Starter implements ToolStarter {
  readonly #jobs = new Map<number, Job>();
  #child: ChildProcess | undefined;
  #number = 0;
  #heard: Buffer[] = [];
  #heardBytes = 0;
  /** Of the answer that is coming, its first line among them; undefined: that line has not come. */
  #expectedBytes: number | undefined;

  prepare(): void {
    this.#child ??= this.#start();
  }

  run(command: readonly string[], limits: Parameters<ToolStarter['run']>[1]): Promise<ToolResult> {
    this.prepare();
    this.#number += 1;
    const number = this.#number;
    const words = Buffer.from(command.join('\0'));
    const input = Buffer.from(limits.input);
    const head = `${number} ${Math.ceil(limits.deadlineMs)} ${limits.outputBytesMax} ${words.length} ${input.length}\n`;
    return new Promise((resolve) => {
      this.#jobs.set(number, { command, resolve });
      this.#child?.stdin?.write(Buffer.concat([Buffer.from(head), words, input]));
    });
  }

  close(): void {
    const ending = this.#child;
    this.#child = undefined;
    this.#forsake('the starter of tools was closed');
    ending?.kill();
  }

  #start(): ChildProcess {
    const child = spawn('perl', ['-e', SCRIPT], { stdio: ['pipe', 'pipe', 'inherit'] });
    const gone = (why: string): void => {
      if (this.#child !== child) return;
      this.#child = undefined;
      this.#forsake(why);
    };
    child.on('error', (error) => gone(error.message));
    child.on('close', (code) => gone(`the starter of tools ended with code ${code}`));
    child.stdin.on('error', () => undefined); // Its end is told by `close`.
    child.stdout.on('data', (bytes: Buffer) => {
      if (this.#child === child) this.#hear(bytes);
    });
    return child;
  }

  #hear(bytes: Buffer): void {
    this.#heard.push(bytes);
    this.#heardBytes += bytes.length;
    while (this.#expectedBytes === undefined || this.#heardBytes >= this.#expectedBytes) {
      const all = Buffer.concat(this.#heard);
      this.#heard = [all];
      const headBytes = all.indexOf('\n') + 1;
      if (headBytes === 0) return;
      const [number, kind, code, out, err] = all.toString('utf8', 0, headBytes - 1).split(' ');
      const endBytes = headBytes + Number(out) + Number(err);
      this.#expectedBytes = endBytes;
      if (all.length < endBytes) return;
      const outEnd = headBytes + Number(out);
      this.#settle(Number(number), {
        kind: kind ?? '',
        code: Number(code),
        stdout: all.toString('utf8', headBytes, outEnd),
        stderr: all.toString('utf8', outEnd, endBytes),
      });
      const rest = all.subarray(endBytes);
      this.#heard = rest.length === 0 ? [] : [rest];
      this.#heardBytes = rest.length;
      this.#expectedBytes = undefined;
      if (rest.length === 0) return;
    }
  }

  #settle(
    number: number,
    answer: {
      readonly kind: string;
      readonly code: number;
      readonly stdout: string;
      readonly stderr: string;
    },
  ): void {
    const job = this.#jobs.get(number);
    this.#jobs.delete(number);
    const { kind, code, stdout, stderr } = answer;
    if (kind === 'done') job?.resolve({ kind, code, stdout, stderr });
    else if (kind === 'absent') job?.resolve({ kind, message: stderr });
    else job?.resolve({ kind: 'unknown', message: `${job.command.join(' ')}: ${stderr}` });
  }

  /** What was under way may have had its effect. */
  #forsake(why: string): void {
    const jobs = [...this.#jobs.values()];
    this.#jobs.clear();
    [this.#heard, this.#heardBytes, this.#expectedBytes] = [[], 0, undefined];
    for (const { command, resolve } of jobs)
      resolve({ kind: 'unknown', message: `${command.join(' ')}: ${why}` });
  }
}
