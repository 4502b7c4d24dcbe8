/** Reads a live cluster's facts, collection by collection: the same ones that the webhook watches. */
import { factCollections } from '../../kube/factSources.ts';
import { createInterner } from '../../kube/internLabels.ts';
import type { FactLists } from '../core/factsDocument.ts';
import { type Cluster, listAll } from './connectCluster.ts';

export interface LiveFacts {
  readonly lists: FactLists;
  /** Collections that the credentials may not read, in a sentence each. */
  readonly withheld: readonly string[];
}

/** A collection that is not served is empty: nobody can have put anything there. */
export async function readFacts(cluster: Cluster): Promise<LiveFacts> {
  const withheld: string[] = [];
  const lists = new Map<string, readonly unknown[]>();
  // One after another: the pages of two big lists side by side would take twice the memory.
  for (const { path, query } of factCollections(createInterner())) {
    const listed = await listAll(cluster, path, {
      ...(query === undefined ? {} : { query }),
      whenForbidden: 'withhold',
    });
    if (listed.kind === 'withheld') withheld.push(`not read, so not judged by: ${listed.message}`);
    else lists.set(path, listed.kind === 'ok' ? listed.items : []);
  }
  return { lists, withheld };
}
