import { expect, test } from 'vitest';
import corpus from '../test/cidr/cidrCorpus.json' with { type: 'json' };
import { formatCidr, parseCidr } from './cidr.ts';

/** What other readers make of the same texts: test/cidr. */
test('every text of the corpus is accepted as it stands, or refused with a reason that says what to write', () => {
  expect(corpus.accepted.length + corpus.refused.length).toBeGreaterThanOrEqual(200);
  const written = corpus.accepted.map((text) => {
    const parsed = parseCidr(text);
    return parsed.kind === 'ok' ? formatCidr(parsed.value) : parsed.error.message;
  });
  expect(written).toEqual(corpus.accepted);
  expect(corpus.refused.filter((text) => parseCidr(text).kind === 'ok')).toEqual([]);
  for (const text of corpus.refused) {
    const parsed = parseCidr(text);
    if (parsed.kind === 'refused')
      expect(parsed.error.message).toMatch(/write|canonical|prefix length|zone|address|too long/);
  }
});
