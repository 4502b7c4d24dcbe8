/**
 * Makes the chart's README from values.yaml: a table for each block of values, a row for each value, with the comment that
 * stands before it. What a comment shows as an example (lines that begin with `- ` or are indented) stands below the table.
 */
import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from 'yaml';

export interface ValueRow {
  /** `webhook.clientCertificates.names` */
  readonly path: string;
  /** As JSON. */
  readonly fallback: string;
  /** The comment's prose on one line; empty: there is none. */
  readonly meaning: string;
  /** Lines of the comment that are YAML. */
  readonly example: readonly string[];
}

/** A map in braces, or one of nothing but such maps without words of their own (resources), is one value. */
function isBlock(node: unknown): node is YAMLMap {
  if (!isMap(node) || node.flow) return false;
  const silent = !node.commentBefore && node.items.every((pair) => commentOf(pair) === undefined);
  return !(silent && node.items.every(({ value }) => isMap(value) && value.flow === true));
}

/** Every value that can be set, in the file's order. */
export function readValues(valuesYaml: string): readonly ValueRow[] {
  const { contents, errors } = parseDocument(valuesYaml);
  const [error] = errors;
  if (error !== undefined) throw error;
  if (!isMap(contents)) throw new Error('values.yaml holds no map');
  return rowsOf(contents, '');
}

function rowsOf(map: YAMLMap, prefix: string): readonly ValueRow[] {
  return map.items.flatMap((pair, index) => {
    const path = `${prefix}${keyOf(pair)}`;
    // The parser gives a block's first comment to the block.
    const comment = commentOf(pair) ?? (index === 0 && prefix !== '' ? map.commentBefore : undefined) ?? '';
    if (isBlock(pair.value)) return rowsOf(pair.value, `${path}.`);
    const fallback = JSON.stringify(
      pair.value === null ? null : (pair.value as { toJSON(): unknown }).toJSON(),
    );
    return [{ path, fallback, ...splitComment(comment) }];
  });
}

function keyOf({ key }: Pair): string {
  return isScalar(key) ? String(key.value) : String(key);
}

function commentOf({ key }: Pair): string | undefined {
  return isScalar(key) ? (key.commentBefore ?? undefined) : undefined;
}

function splitComment(comment: string): Pick<ValueRow, 'meaning' | 'example'> {
  const lines = comment.split('\n').map((line) => line.replace(/^ /, ''));
  const isExample = (line: string): boolean => /^(- | {2})/.test(line);
  const prose = lines.filter((line) => !isExample(line)).map((line) => line.trim());
  return { meaning: prose.join(' ').trim(), example: lines.filter(isExample) };
}

/** The README, whole. */
export function renderChartReadme(valuesYaml: string, header: string): string {
  const rows = readValues(valuesYaml);
  const blocks = new Map<string, ValueRow[]>();
  for (const row of rows) {
    const block = row.path.includes('.') ? (row.path.split('.')[0] ?? '') : '';
    blocks.set(block, [...(blocks.get(block) ?? []), row]);
  }
  const general = blocks.get('') ?? [];
  const sections = [...blocks].filter(([name]) => name !== '').map(([name, its]) => renderBlock(name, its));
  return [header.trim(), '## Values', renderTable(general), ...sections].join('\n\n').concat('\n');
}

function renderBlock(name: string, rows: readonly ValueRow[]): string {
  const examples = rows.filter(({ example }) => example.length > 0);
  const shown = examples.map(
    ({ path, example }) => `An entry of \`${path}\`:\n\n\`\`\`yaml\n${example.join('\n')}\n\`\`\``,
  );
  return [`### ${name}`, renderTable(rows), ...shown].join('\n\n');
}

function renderTable(rows: readonly ValueRow[]): string {
  const lines = rows.map(
    ({ path, fallback, meaning }) => `| \`${path}\` | \`${fallback}\` | ${inCell(meaning)} |`,
  );
  return ['| value | default | what it does |', '| --- | --- | --- |', ...lines].join('\n');
}

function inCell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
}
