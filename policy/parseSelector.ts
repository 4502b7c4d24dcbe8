/** Reads label selectors, in the short form (a selector over pods) and the long one (pods, namespaces, nodes; ANDed). */
import type { FieldReader } from './fieldReader.ts';
import type { LabelRequirement, LabelSelector, WorkloadSelector } from './model.ts';
import { isLabelKey, isLabelValue } from './selector.ts';

const OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist'] as const;
/** The API server's own schemas bound neither; a selector is matched against every pod. */
export const REQUIREMENTS_MAX = 64;
export const VALUES_MAX = 256;

export function parseWorkloadSelector(entry: FieldReader): WorkloadSelector {
  const long = entry.has('podSelector') || entry.has('namespaceSelector') || entry.has('nodeSelector');
  if (!long) return { pods: parseLabelSelector(entry) };
  entry.allow(['podSelector', 'namespaceSelector', 'nodeSelector']);
  const part = (field: string): LabelSelector | undefined =>
    entry.has(field) ? parseLabelSelector(entry.child(field)) : undefined;
  const [namespaces, nodes] = [part('namespaceSelector'), part('nodeSelector')];
  return {
    pods: part('podSelector') ?? { requirements: [] },
    ...(namespaces === undefined ? {} : { namespaces }),
    ...(nodes === undefined ? {} : { nodes }),
  };
}

/** A selector that asks for nothing must say so by `{}`: an emptied `matchLabels:` would select everything unnoticed. */
export function parseLabelSelector(selector: FieldReader): LabelSelector {
  const problemsBefore = selector.problemCount;
  selector.allow(['matchLabels', 'matchExpressions']);
  const pairs = selector.textMap('matchLabels');
  if (pairs.length > REQUIREMENTS_MAX) {
    selector.refuse(
      'limits',
      `matchLabels has ${pairs.length} entries; at most ${REQUIREMENTS_MAX} are accepted`,
      'matchLabels',
    );
  }
  const labels = pairs.map(([key, value]): LabelRequirement => {
    checkKey(selector, key, `matchLabels.${key}`);
    checkValues(selector, [value], `matchLabels.${key}`);
    return { key, operator: 'In', values: [value] };
  });
  const expressions = selector
    .list('matchExpressions', { min: 0, max: REQUIREMENTS_MAX })
    .map(parseExpression);
  const requirements = [...labels, ...expressions];
  const readable = selector.problemCount === problemsBefore;
  if (readable && requirements.length === 0 && !selector.isEmptyObject()) {
    selector.refuse(
      'selector-syntax',
      'the selector has no requirement; add one, or write {} if everything is meant',
    );
  }
  return { requirements };
}

function parseExpression(expression: FieldReader): LabelRequirement {
  expression.allow(['key', 'operator', 'values']);
  const key = expression.requiredText('key') ?? '';
  checkKey(expression, key, 'key');
  const text = expression.requiredText('operator');
  const operator = OPERATORS.find((it) => it === text);
  if (operator === undefined) {
    expression.refuse(
      'selector-syntax',
      `operator is ${JSON.stringify(text)}; it may be ${OPERATORS.join(', ')}`,
      'operator',
    );
  }
  const values = expression.list('values', { min: 0, max: VALUES_MAX }).flatMap((it) => it.text() ?? []);
  const wantsValues = operator === 'In' || operator === 'NotIn';
  if (operator !== undefined && wantsValues && values.length === 0) {
    expression.refuse('selector-syntax', `operator ${operator} needs at least one value`, 'values');
  }
  if (operator !== undefined && !wantsValues && values.length > 0) {
    expression.refuse('selector-syntax', `operator ${operator} takes no values; remove them`, 'values');
  }
  checkValues(expression, values, 'values');
  return { key, operator: operator ?? 'Exists', values };
}

function checkKey(reader: FieldReader, key: string, field: string): void {
  if (isLabelKey(key)) return;
  reader.refuse(
    'selector-syntax',
    `${JSON.stringify(key)} is no label key; write [prefix/]name, the name of at most 63 letters, digits, '-', '_' or '.'`,
    field,
  );
}

function checkValues(reader: FieldReader, values: readonly string[], field: string): void {
  for (const value of values) {
    if (isLabelValue(value)) continue;
    reader.refuse(
      'selector-syntax',
      `${JSON.stringify(value)} is no label value; write at most 63 letters, digits, '-', '_' or '.', or nothing`,
      field,
    );
  }
}
