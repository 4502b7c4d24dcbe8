import { expect, test } from 'vitest';
import { rendezvousWeight } from './rendezvous.ts';

function winners(members: readonly string[]): ReadonlyMap<string, string> {
  const keys = Array.from({ length: 3000 }, (_, index) => `default/pod-${index}`);
  const best = (key: string): string =>
    members.reduce((a, b) => (rendezvousWeight(key, b) > rendezvousWeight(key, a) ? b : a));
  return new Map(keys.map((key) => [key, best(key)]));
}

const members = ['203.0.113.10', '203.0.113.11', '203.0.113.12'];

test('keys spread over the members within 10% of even', () => {
  const counts = Map.groupBy(winners(members).values(), (it) => it);
  for (const member of members) {
    expect(counts.get(member)?.length).toBeGreaterThan(900);
    expect(counts.get(member)?.length).toBeLessThan(1100);
  }
});

test('a member that leaves moves only its own keys', () => {
  const before = winners(members);
  for (const [key, winner] of winners(members.slice(1))) {
    if (before.get(key) !== members[0]) expect(winner).toBe(before.get(key));
  }
});
