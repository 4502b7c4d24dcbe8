/** Prints how many seeds each planted bug needs. `node hunt.ts [part of a name] [--seeds N]` */
import { parseArgs } from 'node:util';
import { huntBug } from './huntBugs.ts';
import { PLANTED_BUGS } from './plantedBugs.ts';

const { values, positionals } = parseArgs({
  options: { seeds: { type: 'string', default: '300' } },
  allowPositionals: true,
});
for (const bug of PLANTED_BUGS.filter(({ name }) => name.includes(positionals[0] ?? ''))) {
  const began = performance.now();
  const { name, seeds, message } = await huntBug(bug, Number(values.seeds));
  console.log(
    `${String(seeds ?? '-').padStart(5)} ${name}: ${message} (${((performance.now() - began) / 1000).toFixed(1)} s)`,
  );
}
