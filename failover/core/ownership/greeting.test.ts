import { expect, test } from 'vitest';
import { becomeAnswered, becomeGreeting, type Greeting, greet, NOT_GREETED } from './greeting.ts';
import { MESSAGES_AT_ONCE } from './holdings.ts';

const PEERS = ['gw-1', 'gw-2'];

/** Everybody who is asked, and when; `answering` tell what they hold as soon as they are asked. */
function listen(peers: readonly string[], answering: readonly string[] = []) {
  const asked: string[] = [];
  let greeting: Greeting = becomeGreeting(NOT_GREETED, 0);
  let goes = 0;
  for (let nowMs = 0; greeting.nextMs !== undefined; nowMs = greeting.nextMs ?? nowMs) {
    const said = greet(greeting, peers, nowMs);
    greeting = said.greeting;
    goes = Math.max(goes, said.outgoing.length);
    for (const { to } of said.outgoing) {
      asked.push(`${nowMs} ${to}`);
      if (answering.includes(to)) greeting = becomeAnswered(greeting, to);
    }
  }
  return { greeting, asked, goes };
}

test('each peer is asked at once and a few times more, one that told what it holds no more', () => {
  expect(listen(PEERS, ['gw-1']).asked).toEqual([
    '0 gw-1',
    '0 gw-2',
    '20 gw-2',
    '80 gw-2',
    '280 gw-2',
    '1280 gw-2',
  ]);
});

test('a thousand are asked in parts, each of them as often', () => {
  const many = Array.from({ length: 1000 }, (_, index) => `w-${index}`);
  const { asked, goes } = listen(many);
  expect(goes).toBe(MESSAGES_AT_ONCE);
  const times = new Map<string, number>();
  for (const entry of asked)
    times.set(entry.split(' ')[1] ?? '', (times.get(entry.split(' ')[1] ?? '') ?? 0) + 1);
  expect([...times.keys()]).toEqual(many);
  expect(new Set(times.values())).toEqual(new Set([5]));
});

test('who has asked does not ask again by itself', () => {
  const { greeting } = listen(PEERS);
  expect(becomeGreeting(greeting, 5000)).toBe(greeting);
  expect(becomeAnswered(greeting, 'gw-1')).toBe(greeting);
});
