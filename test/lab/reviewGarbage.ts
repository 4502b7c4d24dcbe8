/**
 * A program that reads policies and then decides reviews, as the webhook does: `node reviewGarbage.ts [--as-it-comes]`. Prints
 * how many bytes a decision leaves in the old generation, where only a large collection frees them.
 */
import { getHeapSpaceStatistics } from 'node:v8';
import { createPopulation } from '../../bench/population.ts';
import { decideAdmission, parseReview } from '../../webhook/core/review.ts';
import { createSnapshot } from '../../webhook/core/snapshot.ts';
import { keepReviewsYoung } from '../../webhook/io/keepReviewsYoung.ts';

const PREFIXES = 30_000;
/** Until the code is compiled for good. */
const WARM_UP = 4000;
const DECISIONS = 4000;

if (!process.argv.includes('--as-it-comes')) keepReviewsYoung();
const { facts, candidates } = createPopulation(PREFIXES);
const texts = candidates.map(({ body }) => JSON.stringify(body));
const snapshot = createSnapshot(facts);

function decide(count: number): void {
  for (let at = 0; at < count; at += 1) {
    const request = parseReview(JSON.parse(texts[at % texts.length] ?? ''));
    if (request.kind === 'refused') throw new Error(request.error);
    decideAdmission(request.value, snapshot);
  }
}

function oldBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name: name }) => name === 'old_space')?.space_used_size ?? 0;
}

decide(WARM_UP);
const before = oldBytes();
decide(DECISIONS);
process.stdout.write(String(Math.round((oldBytes() - before) / DECISIONS)));
