/** The long-lived ip in a network namespace of its own. */
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type IpSession, openIpSession } from './ipSession.ts';

const NAMESPACE = `sallyport-ip-${process.pid}`;
const inside = (...words: readonly string[]): string =>
  spawnSync('ip', ['-n', NAMESPACE, ...words], { encoding: 'utf8' }).stdout;
let session: IpSession;

beforeAll(() => {
  expect(spawnSync('ip', ['netns', 'add', NAMESPACE]).status).toBe(0);
  session = openIpSession({ execPrefix: ['ip', 'netns', 'exec', NAMESPACE], deadlineMs: 5000 });
});
afterAll(async () => {
  await session.close();
  spawnSync('ip', ['netns', 'del', NAMESPACE]);
});

test('what it says is done is in the kernel', async () => {
  expect(await session.run(['link set lo up', 'addr add 203.0.113.9/32 dev lo'])).toEqual({ kind: 'ok' });
  expect(inside('addr', 'show', 'dev', 'lo')).toContain('203.0.113.9/32');
});

test('a command that fails is told, and those after it are run all the same', async () => {
  const outcome = await session.run(['addr add 203.0.113.9/32 dev lo', 'addr add 203.0.113.8/32 dev lo']);
  expect(outcome).toMatchObject({ kind: 'refused', message: expect.stringMatching(/exists|already/) });
  expect(inside('addr', 'show', 'dev', 'lo')).toContain('203.0.113.8/32');
});

test('many at once are answered each with its own outcome', async () => {
  const outcomes = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      session.run([
        index % 2 === 0 ? `addr add 203.0.113.${100 + index}/32 dev lo` : 'addr add 203.0.113.9/32 dev lo',
      ]),
    ),
  );
  expect(outcomes.map(({ kind }) => kind)).toEqual(
    Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? 'ok' : 'refused')),
  );
});

test('one that is killed is unknown to whoever waits, and the next has another', async () => {
  const pids = spawnSync('ip', ['netns', 'pids', NAMESPACE], { encoding: 'utf8' })
    .stdout.trim()
    .split('\n')
    .map(Number);
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  const waiting = session.run(['addr add 203.0.113.6/32 dev lo']);
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  expect((await waiting).kind).toBe('unknown');
  expect(await session.run(['addr add 203.0.113.7/32 dev lo'])).toEqual({ kind: 'ok' });
});

test('words that ip gives up on end it: unknown, and the next has another', async () => {
  expect((await session.run(['addr add nonsense dev lo'])).kind).toBe('unknown');
  expect(await session.run(['addr add 203.0.113.5/32 dev lo'])).toEqual({ kind: 'ok' });
});
