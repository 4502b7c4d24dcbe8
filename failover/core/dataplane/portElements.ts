/** How ranges of ports and their granules stand in the kernel's maps: elements of one go with those of the others. */
import type { Family } from '../../../policy/model.ts';
import type { PortRange } from '../dataPlane.ts';
import { type Elements, type GranuleMap, type ManagedName, ofFamily } from './kernelState.ts';
import { granulesOf } from './portRanges.ts';

export type RangesName = 'inet block_ranges' | 'inet block_ranges6';
export const RANGES_NAMES: readonly RangesName[] = ['inet block_ranges', 'inet block_ranges6'];

const GRANULE_MAPS_OF: Readonly<Record<RangesName, readonly GranuleMap[]>> = {
  'inet block_ranges': ['inet blocks', 'inet block_ids'],
  'inet block_ranges6': ['inet blocks6', 'inet block_ids6'],
};

export function rangesName(family: Family): ManagedName {
  return ofFamily('inet block_ranges', family);
}

export function rangeKey(address: string, { first, last }: PortRange): string {
  return `${address} . ${first} . ${last}`;
}

/** What changes of one address's ports. Keys to delete, and keys and values to add. */
export interface PortChange {
  readonly deletions: readonly (readonly [name: ManagedName | GranuleMap, key: string])[];
  readonly additions: readonly (readonly [name: ManagedName | GranuleMap, key: string, value: string])[];
}

/** One for each address that differs, so that each can be carried out by itself: no port is ever half another's. */
export function* portChanges(name: RangesName, current: Elements, desired: Elements): Generator<PortChange> {
  const addresses = new Map<string, Record<'gone' | 'come', Map<string, string>>>();
  const collect = (which: 'gone' | 'come', from: Elements, other: Elements): void => {
    for (const [key, value] of from) {
      if (other.get(key) === value) continue;
      const address = key.slice(0, key.indexOf(' '));
      const found = addresses.get(address) ?? { gone: new Map(), come: new Map() };
      found[which].set(key, value);
      addresses.set(address, found);
    }
  };
  collect('gone', current, desired);
  collect('come', desired, current);
  for (const [address, changed] of addresses) yield changeOf(name, address, changed);
}

function changeOf(
  name: RangesName,
  address: string,
  { gone, come }: { readonly gone: Elements; readonly come: Elements },
): PortChange {
  const [before, after] = [granulesIn(gone), granulesIn(come)];
  const key = (port: number): string => `${address} . ${port}`;
  const lost = [...before].filter(([port, value]) => after.get(port) !== value);
  const won = [...after].filter(([port, value]) => before.get(port) !== value);
  const maps = GRANULE_MAPS_OF[name];
  return {
    deletions: [
      ...[...gone.keys()].map((range) => [name, range] as const),
      ...maps.flatMap((map) => lost.map(([port]) => [map, key(port)] as const)),
    ],
    additions: [
      ...[...come].map(([range, value]) => [name, range, value] as const),
      ...maps.flatMap((map) => won.map(([port, value]) => [map, key(port), value] as const)),
    ],
  };
}

/** First port of a granule → value of the range that it is in. */
function granulesIn(ranges: Elements): ReadonlyMap<number, string> {
  return new Map(
    [...ranges].flatMap(([key, value]) => {
      const [, first, last] = key.split(' . ').map(Number);
      const range = { first: first ?? 0, last: last ?? 0 };
      return granulesOf(range).map((port) => [port, value] as const);
    }),
  );
}
