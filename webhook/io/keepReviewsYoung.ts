/**
 * Keeps what a review allocates where it costs next to nothing to free. V8 notes where in the code long-lived objects are
 * made, and makes those of the same places in the old generation from then on. While a cluster's policies are read at the
 * start, that is what the parser does; each later review would leave kilobytes behind there that keep others alive, so that
 * every small collection takes ten times as long, and memory grows until a large one.
 */
import { setFlagsFromString } from 'node:v8';

/** To be called before anything is read; code that was compiled before keeps its ways. */
export function keepReviewsYoung(): void {
  setFlagsFromString('--no-allocation-site-pretenuring');
}
