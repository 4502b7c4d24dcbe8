/**
 * Reads the text of a file into documents that know where each field stands. YAML as Kubernetes' own tools read it: 1.1,
 * where `yes` and `on` are booleans, but times and sexagesimal numbers stay text. JSON is a part of it.
 */
import {
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  parseAllDocuments,
  visit,
} from 'yaml';
import { ok, type Result, refused } from '../../policy/result.ts';

/** Both from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

export interface SourceDocument {
  /** In its file, from 1. */
  readonly number: number;
  /** The parsed value, as JSON has it. */
  readonly value: unknown;
  /** Where the field of a path (`spec.egressGateway.ippools[0].cidr`) stands, or the innermost that exists above it. */
  locate(path: string): Place;
}

export interface SyntaxProblem {
  readonly place: Place;
  readonly message: string;
}

/** An alias that stands for this many nodes is no policy but an attack on memory. */
const ALIASES_MAX = 100;
const BEGINNING: Place = { line: 1, column: 1 };

/** Empty documents are left out. The error has all that is wrong with the syntax. */
export function readDocuments(text: string): Result<readonly SourceDocument[], readonly SyntaxProblem[]> {
  const lines = new LineCounter();
  const parsed = parseAllDocuments(text, {
    version: '1.1',
    customTags: (tags) =>
      tags.filter(
        (tag) =>
          typeof tag === 'string' || (tag.tag !== 'tag:yaml.org,2002:timestamp' && tag.format !== 'TIME'),
      ),
    lineCounter: lines,
    prettyErrors: false,
  });
  const placeOf = (offset: number | undefined): Place => {
    const { line, col } = lines.linePos(offset ?? 0);
    return line === 0 ? BEGINNING : { line, column: col };
  };
  const problems: SyntaxProblem[] = [];
  const documents = [...parsed].flatMap((document, index): readonly SourceDocument[] => {
    problems.push(...document.errors.map(({ pos, message }) => ({ place: placeOf(pos[0]), message })));
    if (document.errors.length > 0 || document.contents === null) return [];
    const unusable = unusableNodes(document);
    problems.push(...unusable.map(({ offset, message }) => ({ place: placeOf(offset), message })));
    if (unusable.length > 0) return [];
    const value = toValue(document, (message) =>
      problems.push({ place: placeOf(document.range?.[0]), message }),
    );
    const locate = (path: string): Place => placeOf(offsetOf(document, path));
    return value === null ? [] : [{ number: index + 1, value, locate }];
  });
  return problems.length === 0 ? ok(documents) : refused(problems);
}

/** What is YAML and yet no value of JSON. A template's `{{ … }}` is the first: to YAML it is a map with a map as its key. */
function unusableNodes(
  document: Document.Parsed,
): readonly { readonly offset: number | undefined; readonly message: string }[] {
  const found: { readonly offset: number | undefined; readonly message: string }[] = [];
  visit(document, {
    Pair: (_, { key }) => {
      if (isMap(key) || isSeq(key))
        found.push({
          offset: key.range?.[0],
          message: 'a key is no text; templates have to be rendered first',
        });
    },
    Alias: (_, alias) => {
      if (alias.resolve(document) === undefined)
        found.push({ offset: alias.range?.[0], message: `*${alias.source} is an alias without its anchor` });
    },
  });
  return found;
}

function toValue(document: Document.Parsed, refuse: (message: string) => void): unknown {
  try {
    return document.toJS({ maxAliasCount: ALIASES_MAX });
  } catch (error) {
    // The library throws for too many aliases.
    refuse(error instanceof Error ? error.message : String(error));
    return null;
  }
}

/** Walks the path as far as the document follows it. Of a map's field it is where the key stands. */
function offsetOf(document: Document.Parsed, path: string): number | undefined {
  let node: unknown = document.contents;
  let offset = document.contents?.range?.[0];
  let rest = path;
  while (rest !== '') {
    const step = isMap(node)
      ? stepIntoMap(node.items, rest)
      : isSeq(node)
        ? stepIntoList(node.items, rest)
        : undefined;
    if (step === undefined) return offset;
    offset = step.offset ?? offset;
    node = isAlias(step.node) ? step.node.resolve(document) : step.node;
    rest = step.rest;
  }
  return offset;
}

interface Step {
  readonly node: unknown;
  readonly offset: number | undefined;
  readonly rest: string;
}

/** Keys may have dots themselves (`matchLabels.app.kubernetes.io/name`): the longest that fits is meant. */
function stepIntoMap(pairs: readonly unknown[], path: string): Step | undefined {
  const rest = path.startsWith('.') ? path.slice(1) : path;
  const fitting = pairs.flatMap((pair) => {
    const key = isPair(pair) && isScalar(pair.key) ? String(pair.key.value) : undefined;
    if (key === undefined || !rest.startsWith(key) || !/^(?:$|[.[])/.test(rest.slice(key.length))) return [];
    return isPair(pair) ? [{ key, pair }] : [];
  });
  const [best] = fitting.toSorted((a, b) => b.key.length - a.key.length);
  if (best === undefined) return undefined;
  return { node: best.pair.value, offset: offsetAt(best.pair.key), rest: rest.slice(best.key.length) };
}

function stepIntoList(items: readonly unknown[], path: string): Step | undefined {
  const [whole, index] = /^\[(\d+)\]/.exec(path) ?? [];
  const node = index === undefined ? undefined : items[Number(index)];
  if (whole === undefined || node === undefined) return undefined;
  return { node, offset: offsetAt(node), rest: path.slice(whole.length) };
}

function offsetAt(node: unknown): number | undefined {
  return isScalar(node) || isMap(node) || isSeq(node) || isAlias(node) ? node.range?.[0] : undefined;
}
