/** Turns a cluster's unparsed objects into the facts that rules are judged against, as the webhook's caches do. */
import { type ClusterFacts, type ClusterNetwork, UNKNOWN_FACTS } from '../../policy/facts.ts';
import { FACT_SOURCES, type FactSource, type FactValues } from '../../policy/index/factIndex.ts';
import type { Cidr } from '../../policy/model.ts';
import type { FactLists } from './factsDocument.ts';

/** How one collection is read: kube/factSources.ts has them all. */
export interface FactReader {
  readonly source: FactSource;
  readonly path: string;
  /** Not every cluster serves it. */
  readonly optional?: true;
  readonly read: (raw: unknown) => readonly FactValues[FactSource][];
}

/** What no cluster shows by itself, and the webhook is configured with. */
export interface ConfiguredNetworks {
  readonly routable: readonly Cidr[];
  readonly networks: readonly ClusterNetwork[];
}

export function factsOf(
  lists: FactLists,
  readers: readonly FactReader[],
  { routable, networks }: ConfiguredNetworks,
): ClusterFacts {
  const known = FACT_SOURCES.filter((source) =>
    isKnown(
      lists,
      readers.filter((it) => it.source === source),
    ),
  );
  const values = known.map((source) => {
    const found = readers
      .filter((it) => it.source === source)
      .flatMap(({ path, read }) => (lists.get(path) ?? []).flatMap(read));
    return [source, found] as const;
  });
  // Each reader gives values of its own source; TypeScript cannot follow that through the table.
  const facts = { ...UNKNOWN_FACTS, ...Object.fromEntries(values), routable } as ClusterFacts;
  if (networks.length === 0) return facts;
  return { ...facts, networks: [...(facts.networks === 'unknown' ? [] : facts.networks), ...networks] };
}

/** Every collection was looked at that any cluster serves; where there is none such, one at least. */
function isKnown(lists: FactLists, readers: readonly FactReader[]): boolean {
  const always = readers.filter(({ optional }) => optional !== true);
  return always.length > 0
    ? always.every(({ path }) => lists.has(path))
    : readers.some(({ path }) => lists.has(path));
}
