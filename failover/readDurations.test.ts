import { expect, test } from 'vitest';
import { type Environment, readEnv } from '../runtime/readEnv.ts';
import { readDurations } from './readDurations.ts';

const read = (env: Environment) => readEnv(env, readDurations);

test('without settings a gateway beats every 25 ms and is called dead after the least that is safe, in whole milliseconds', () => {
  expect(read({})).toMatchObject({
    kind: 'ok',
    value: { heartbeatMs: 25, sessionMs: 200, promiseMs: 213, statementMs: 200 },
  });
});

test('the promise follows the session that is set', () => {
  expect(read({ HEARTBEAT_MILLISECONDS: '100', SESSION_MILLISECONDS: '3000' })).toMatchObject({
    kind: 'ok',
    value: { heartbeatMs: 100, sessionMs: 3000, promiseMs: 3069 },
  });
});

test('a longer promise is taken as it is', () => {
  expect(read({ PROMISE_MILLISECONDS: '500' })).toMatchObject({ kind: 'ok', value: { promiseMs: 500 } });
});

test.each([
  {
    name: 'a promise that ends before the kernel is silent for certain',
    env: { PROMISE_MILLISECONDS: '208' },
    problems: ['needs at least 212.2 ms'],
  },
  {
    name: 'a session of fewer than four heartbeats',
    env: { HEARTBEAT_MILLISECONDS: '60' },
    problems: ['less than 4 heartbeats of 60 ms'],
  },
  {
    name: 'a heartbeat below what a kernel command takes',
    env: { HEARTBEAT_MILLISECONDS: '4' },
    problems: ['HEARTBEAT_MILLISECONDS is 4; use a whole number from 5 to 10000'],
  },
  {
    name: 'half a millisecond',
    env: { HEARTBEAT_MILLISECONDS: '10', SESSION_MILLISECONDS: '200.5' },
    problems: ['SESSION_MILLISECONDS is 200.5; use a whole number from 40 to 60000'],
  },
  {
    name: 'everything at once',
    env: { HEARTBEAT_MILLISECONDS: '100', SESSION_MILLISECONDS: '300', PROMISE_MILLISECONDS: '300' },
    problems: ['less than 4 heartbeats of 100 ms', 'needs at least'],
  },
])('$name is refused', ({ env, problems }) => {
  expect(read(env)).toEqual({
    kind: 'refused',
    error: problems.map((problem) => expect.stringContaining(problem)),
  });
});
