/**
 * The file that `facts` writes and `validate --cluster-facts` reads: a Kubernetes List of Lists, one a collection, so that
 * an empty collection can be told from one that nobody looked at. What `kubectl get nodes,gatewaynodes,… -o yaml` prints is
 * read too; a kind of which it has no object counts as not looked at.
 */
import { FieldReader } from '../../policy/fieldReader.ts';
import { type CollectionFormat, FACT_COLLECTIONS } from './factCollections.ts';

/** Unparsed objects by the collection's path; absent: nobody looked. */
export type FactLists = ReadonlyMap<string, readonly unknown[]>;

/** Annotations of other programs are nobody's business, and `kubectl apply` keeps whole manifests in one. */
const OWN_ANNOTATIONS = 'sallyport.dev/';
/** Lists in Lists beyond this are no facts. */
const DEPTH_MAX = 4;

export function renderFacts(lists: FactLists): string {
  const items = FACT_COLLECTIONS.flatMap((format) => {
    const objects = lists.get(format.path);
    if (objects === undefined) return [];
    const { apiVersion, kind } = format;
    return [{ apiVersion, kind: `${kind}List`, items: objects.map((raw) => prune(raw, format)) }];
  });
  return `${JSON.stringify({ apiVersion: 'v1', kind: 'List', items }, undefined, 1)}\n`;
}

/** @param documents of one or more files, as they were parsed. */
export function readFactLists(documents: readonly unknown[]): FactLists {
  const lists = new Map<string, readonly unknown[]>();
  const add = ({ path }: CollectionFormat, objects: readonly unknown[]): void => {
    lists.set(path, [...(lists.get(path) ?? []), ...objects]);
  };
  const visit = (raw: unknown, depth: number): void => {
    const object = new FieldReader(raw, '', []);
    const [apiVersion, kind] = [object.optionalText('apiVersion'), object.optionalText('kind')];
    const fitting = FACT_COLLECTIONS.filter((format) => format.apiVersion === apiVersion);
    const single = fitting.find((format) => format.kind === kind);
    const whole = fitting.find((format) => `${format.kind}List` === kind);
    if (single !== undefined) add(single, [raw]);
    else if (whole !== undefined) add(whole, itemsOf(raw));
    else if (depth > 0) for (const item of itemsOf(raw)) visit(item, depth - 1);
  };
  for (const document of documents) visit(document, DEPTH_MAX);
  return lists;
}

function itemsOf(raw: unknown): readonly unknown[] {
  return typeof raw === 'object' && raw !== null && 'items' in raw && Array.isArray(raw.items)
    ? raw.items
    : [];
}

type Fields = Readonly<Record<string, unknown>>;

function prune(raw: unknown, { keep }: CollectionFormat): unknown {
  const kept = keep.reduce<Fields>((into, path) => copyField(raw, into, path.split('.')), {});
  const annotations = fieldOf(fieldOf(kept, 'metadata'), 'annotations');
  if (annotations === undefined) return kept;
  const own = Object.entries(asFields(annotations)).filter(([key]) => key.startsWith(OWN_ANNOTATIONS));
  return { ...kept, metadata: { ...asFields(kept.metadata), annotations: Object.fromEntries(own) } };
}

function copyField(from: unknown, into: Fields, [key = '', ...rest]: readonly string[]): Fields {
  const value = fieldOf(from, key);
  if (value === undefined) return into;
  return { ...into, [key]: rest.length === 0 ? value : copyField(value, asFields(into[key]), rest) };
}

function fieldOf(raw: unknown, key: string): unknown {
  return Object.hasOwn(asFields(raw), key) ? asFields(raw)[key] : undefined;
}

function asFields(raw: unknown): Fields {
  return typeof raw === 'object' && raw !== null && !Array.isArray(raw) ? (raw as Fields) : {};
}
