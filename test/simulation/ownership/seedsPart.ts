/** One process of several: `seedsPart.ts <from> <count> <label>`, forked by spreadSeeds.ts. */
import { runSeeds } from './runSeeds.ts';
import type { PartWord } from './spreadSeeds.ts';

const [from, count, label = ''] = process.argv.slice(2);
let stopped = false;
const tell = (word: PartWord): void => {
  process.send?.(word);
};
process.on('message', () => {
  stopped = true;
});
// Without its parent nobody wants the rest.
process.on('disconnect', () => process.exit(1));
const batch = await runSeeds(
  { from: Number(from), count: Number(count) },
  { label, failed: () => tell({ kind: 'failed' }), enough: () => stopped },
);
process.removeAllListeners('disconnect');
process.send?.({ kind: 'done', batch } satisfies PartWord, () => process.disconnect());
