/** The long-lived nft against the kernel, in a namespace of its own: what it says was done is done, and the rest is not. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { KernelOutcome } from '../core/dataPlane.ts';
import { type NftSession, openNftSession } from './nftSession.ts';

const NAMESPACE = `nft-session-${process.pid}`;
const ENTER = ['ip', 'netns', 'exec', NAMESPACE];
/** Longer than anything takes on a busy machine: for the tests in which nothing hangs. */
const PATIENT_MS = 30_000;
/** For those in which something hangs on purpose. */
const HASTY_MS = 300;
const PATIENTLY = { timeout: PATIENT_MS };
const TABLE = `table inet t {
  set live { type mark; flags timeout;
  }
  map seq { type mark : mark;
  }
}
`;
const REPLACE = `table inet t\ndelete table inet t\n${TABLE}`;
const OK: KernelOutcome = { kind: 'ok' };
const refusal = (words: string) => ({ kind: 'refused', message: expect.stringContaining(words) });
const unknown = (words: string) => ({ kind: 'unknown', message: expect.stringContaining(words) });
/** The kinds that occur. */
const kinds = async (outcomes: readonly Promise<KernelOutcome>[]) => [
  ...new Set((await Promise.all(outcomes)).map(({ kind }) => kind)),
];
const opened = new Set<NftSession>();
const open = (deadlineMs = PATIENT_MS, execPrefix: readonly string[] = ENTER): NftSession => {
  const session = openNftSession({ execPrefix, deadlineMs });
  opened.add(session);
  return session;
};
const nft = (input: string): string =>
  execFileSync('ip', [...ENTER.slice(1), 'nft', '-f', '-'], { input, encoding: 'utf8' });
const held = (name: 'set live' | 'map seq'): string => nft(`list ${name.replace(' ', ' inet t ')}`);
const pids = (): readonly number[] => {
  const lines = execFileSync('ip', ['netns', 'pids', NAMESPACE], { encoding: 'utf8' });
  return lines.split('\n').filter(Boolean).map(Number);
};
const add = (mark: number, timeout = '10m'): string =>
  `add set inet t live { type mark; flags timeout; elements = { ${mark} timeout ${timeout} }; }`;
const point = (from: number, to: number): string =>
  `flush map inet t seq\nadd map inet t seq { type mark : mark; elements = { ${from} : ${to} }; }`;
const hex = (mark: number): string => `0x${mark.toString(16).padStart(8, '0')}`;
/** A listing with this element and no other. */
const only = (mark: number): RegExp => new RegExp(`elements = \\{ ${hex(mark)} [^,]*\\}`);
/** A session with its process, stopped: whatever it is asked stays unanswered. */
const stopped = async (session: NftSession): Promise<number> => {
  await expect.poll(() => session.run('add table inet t'), PATIENTLY).toEqual(OK);
  const [pid = 0] = pids();
  process.kill(pid, 'SIGSTOP');
  return pid;
};

beforeAll(() => void execFileSync('ip', ['netns', 'add', NAMESPACE]));
afterAll(() => void execFileSync('ip', ['netns', 'del', NAMESPACE]));
beforeEach(() => void nft(REPLACE));
afterEach(async () => {
  for (const session of opened) await session.close();
  opened.clear();
});

test('what it says is done is in the kernel, a whole table with its blocks too', async () => {
  const session = open();
  expect(await session.run(add(1))).toEqual(OK);
  expect(held('set live')).toContain(hex(1));
  expect(await session.run(`${REPLACE}${add(5)}\n${point(7, 5)}\n`)).toEqual(OK);
  expect(held('set live')).toMatch(only(5));
  expect(held('map seq')).toContain(`${hex(7)} : ${hex(5)}`);
});

test.each([
  { name: 'a set that is not there', transaction: 'add element inet t nope { 1 }', says: 'No such file' },
  { name: 'a changed value', transaction: 'add element inet t seq { 7 : 9 }', says: 'File exists' },
  { name: 'no command at all', transaction: 'frobnicate', says: 'syntax error' },
  { name: 'a value of another type', transaction: 'add element inet t seq { 7 : 10.0.0.1 }', says: 'Error' },
  { name: 'an open quote', transaction: 'add table inet "t', says: 'syntax error' },
  { name: 'fifty at once', transaction: 'add element inet t nope { 1 }\n'.repeat(50), says: 'No such file' },
])('refuses $name in nft’s words, and goes on', async ({ transaction, says }) => {
  const session = open();
  nft('add element inet t seq { 7 : 8 }');
  const outcome = await session.run(transaction);
  expect(outcome).toEqual(refusal(says));
  expect(JSON.stringify(outcome).length).toBeLessThan(500); // A log line bears no more.
  expect(await session.run(add(6))).toEqual(OK);
  expect(held('set live')).toContain(hex(6));
});

test('a failing second command leaves the first without effect', async () => {
  const session = open();
  expect((await session.run(`${add(1)}\ndelete element inet t seq { 99 }`)).kind).toBe('refused');
  expect((await session.run(`${add(2)}\nfrobnicate`)).kind).toBe('refused');
  expect(held('set live')).not.toContain('elements');
});

test('transactions take effect in the order asked, without waiting for one another', async () => {
  const session = open();
  const outcomes = [session.run('delete table inet t'), session.run(TABLE)];
  for (let seq = 1; seq <= 100; seq += 1) outcomes.push(session.run(point(1, seq)));
  expect(await kinds(outcomes)).toEqual(['ok']);
  expect(held('map seq')).toContain(`elements = { ${hex(1)} : ${hex(100)} }`);
  expect(pids()).toHaveLength(1);
});

test('another process may replace the table, delete it or change its sets in between', async () => {
  const session = open();
  expect(await session.run(add(1))).toEqual(OK);
  nft(REPLACE);
  expect(await session.run(add(2))).toEqual(OK);
  expect(held('set live')).toMatch(only(2));
  nft('delete table inet t');
  expect((await session.run(add(3))).kind).toBe('refused');
  nft('table inet t { set live { type ipv4_addr; flags timeout; }; }');
  expect((await session.run(add(4))).kind).toBe('refused');
  expect(await session.run('add element inet t live { 10.0.0.1 }')).toEqual(OK);
  nft(REPLACE);
  expect(await session.run(`add element inet t live { 5 timeout 10m }\n${point(1, 5)}`)).toEqual(OK);
  expect(held('set live')).toContain(hex(5));
});

test('an element with a timeout leaves the kernel by itself', async () => {
  expect(await open().run(add(1, '1s'))).toEqual(OK);
  expect(held('set live')).toContain(hex(1));
  await expect.poll(() => held('set live'), PATIENTLY).not.toContain('elements');
});

test('nft killed in flight: that one is unknown, those behind it run on another', async () => {
  const session = open();
  const pid = await stopped(session);
  const [inFlight, behind] = [session.run(add(1)), session.run(add(2))];
  await turn(); // The first is sent.
  process.kill(pid, 'SIGKILL');
  expect(await inFlight).toEqual(unknown('SIGKILL'));
  expect(await behind).toEqual(OK);
  expect(held('set live')).toMatch(only(2));
  expect(pids()).not.toContain(pid);
});

test('no confirmation in time: unknown, and the process is replaced', async () => {
  const session = open(HASTY_MS);
  const pid = await stopped(session);
  expect(await session.run(add(1))).toEqual(unknown('no confirmation'));
  await expect.poll(() => session.run(add(2)), PATIENTLY).toEqual(OK);
  expect(pids()).not.toContain(pid);
  expect(held('set live')).not.toContain(hex(1));
});

test('a stall of this process is not taken for one of nft', async () => {
  const session = open(HASTY_MS);
  await expect.poll(() => session.run(add(1)), PATIENTLY).toEqual(OK);
  const before = pids();
  const outcome = session.run(add(2));
  await turn(); // It is sent, and its time runs.
  for (const end = performance.now() + 3 * HASTY_MS; performance.now() < end; );
  expect(await outcome).toEqual(OK);
  expect(pids()).toEqual(before);
});

test('nothing is sent while a former process may still have a transaction in its hands', async () => {
  // The shell dies, and its child, which is nft here, stays stopped with the transaction unread.
  const session = open(HASTY_MS, [...ENTER, 'sh', '-c', 'exec 3<&0; "$@" <&3 3<&- & wait', 'sh']);
  await expect.poll(() => session.run(add(1)), PATIENTLY).toEqual(OK);
  const child = pids().find((pid) => readFileSync(`/proc/${pid}/comm`, 'utf8') === 'nft\n') ?? 0;
  process.kill(child, 'SIGSTOP');
  expect((await session.run(add(2))).kind).toBe('unknown');
  expect(await session.run(add(3))).toEqual(refusal('has not ended'));
  process.kill(child, 'SIGCONT');
  await expect.poll(() => session.run('flush set inet t live'), PATIENTLY).toEqual(OK);
  expect(held('set live')).not.toContain('elements');
});

test('a process that grows slow is replaced, one at a time and without a gap', async () => {
  const session = open();
  expect(await session.run(add(1))).toEqual(OK);
  const before = pids();
  for (let seq = 0; seq < 2_000; seq += 1) expect(await session.run(point(1, seq))).toEqual(OK);
  await expect.poll(pids, PATIENTLY).toHaveLength(1);
  expect(pids()).not.toEqual(before);
  expect(held('map seq')).toContain(hex(1_999));
});

test.each([
  { name: 'thousands of commands', words: Array(3_000).fill(add(10)).join('\n') },
  { name: 'a comment', words: `add table inet t # not the end\n${add(10)}` },
  { name: 'a continued line', words: `add table \\\n inet t\n${add(10)}` },
])('$name too: atomic, and in its turn', async ({ words }) => {
  const session = open();
  const spoilt = `flush set inet t live\n${words}\nfrobnicate`;
  const outcomes = [add(1), words, add(2), spoilt].map((text) => session.run(text));
  expect(await kinds(outcomes.slice(0, 3))).toEqual(['ok']);
  expect((await outcomes[3])?.kind).toBe('refused');
  for (const mark of [1, 2, 10]) expect(held('set live')).toContain(hex(mark));
});

test('what it prints and what is empty disturb nothing', async () => {
  const session = open();
  const outcomes = ['list ruleset', ' \n\n', `\n${add(1)}\n\n`].map((text) => session.run(text));
  expect(await kinds(outcomes)).toEqual(['ok']);
  expect(held('set live')).toContain(hex(1));
});

test('the queue has an end', async () => {
  const session = open();
  const pid = await stopped(session);
  const outcomes = Array.from({ length: 257 }, (_, mark) => session.run(add(mark)));
  expect(await outcomes[256]).toEqual(refusal('256'));
  process.kill(pid, 'SIGCONT');
  expect(await kinds(outcomes.slice(0, 256))).toEqual(['ok']);
});

test('close leaves no process, refuses what has not been sent and what comes later', async () => {
  const session = open();
  const first = session.run(add(1));
  await turn();
  const second = session.run(add(2));
  await session.close();
  expect(await first).toEqual(OK);
  expect(await kinds([second, session.run(add(3))])).toEqual(['refused']);
  expect(pids()).toEqual([]);
  expect(held('set live')).not.toContain(hex(2));
});

test('a tool that is not there is a refusal each time, not an exception', async () => {
  const session = open(PATIENT_MS, ['/nonexistent/tool']);
  for (const _ of [1, 2]) expect(await session.run(add(1))).toEqual(refusal('ENOENT'));
});

test('one that always dies is started once a transaction, with a pause between', async () => {
  const starts = join(mkdtempSync(join(tmpdir(), 'nft-session-')), 'starts');
  const session = open(PATIENT_MS, ['sh', '-c', `echo x >> ${starts}; echo broken >&2; exit 1`]);
  const begun = performance.now();
  const outcomes = await Promise.all([1, 2, 3].map((mark) => session.run(add(mark))));
  expect(outcomes).toEqual(Array(3).fill(unknown('broken')));
  expect(performance.now() - begun).toBeGreaterThan(190); // Two pauses, less the rounding of timers.
  expect(readFileSync(starts, 'utf8')).toBe('x\nx\nx\n');
  rmSync(dirname(starts), { recursive: true });
});

test('a complaint without a place in the commands is unknown: the kernel may have them', async () => {
  // As nft says it when the answer, not the question, was lost.
  const fake = `while read -r line && read -r mark; do echo 'netlink: Error: Could not process rule: Interrupted system call'
    echo "Error: syntax error"; echo "$mark"; echo '   ^'; done >&2`;
  expect(await open(PATIENT_MS, ['sh', '-c', fake]).run(add(1))).toEqual(unknown('Interrupted'));
});
