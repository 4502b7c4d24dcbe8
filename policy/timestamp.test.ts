import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatTimestamp, formatTimestampMillis, parseTimestampMs } from './timestamp.ts';

test('times are written as Date writes them, and read back to the second', () => {
  // Years 0000 to 9999: what RFC 3339 can say.
  const time = fc.integer({ min: -62_167_219_200_000, max: 253_402_300_799_999 });
  fc.assert(
    fc.property(time, (ms) => {
      expect(formatTimestampMillis(ms)).toBe(new Date(ms).toISOString());
      expect(parseTimestampMs(formatTimestamp(ms))).toBe(Math.floor(ms / 1000) * 1000);
    }),
  );
});
