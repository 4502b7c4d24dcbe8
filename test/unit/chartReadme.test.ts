/** The chart's README is what values.yaml makes of it, and says something of every value. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { readValues, renderChartReadme } from '../../scripts/chartReadme.ts';
import { CHART_README_HEADER } from '../../scripts/chartReadmeHeader.ts';

const CHART = path.resolve(import.meta.dirname, '../../charts/sallyport');
const read = (file: string): string => readFileSync(path.join(CHART, file), 'utf8');

test('the README is current; npm run chart-readme writes it', () => {
  expect(read('README.md')).toBe(renderChartReadme(read('values.yaml'), CHART_README_HEADER));
});

test('every value says what it does', () => {
  const rows = readValues(read('values.yaml'));
  expect(rows.length).toBeGreaterThan(40);
  expect(rows.filter(({ meaning }) => meaning === '').map(({ path }) => path)).toEqual([]);
});

const VALUES = `# First.
plain: text
block:
  # Of the block's first.
  one: 1
  # A list,
  # on two lines:
  # - name: a
  #   more: b
  many: []
  # A map in braces.
  labels: { a: "b|c" }
  # A map of such maps.
  resources:
    requests: { cpu: 1 }
  deep:
    # Below.
    two: true
  lone:
    # Of a map that is not given.
    map: {}
`;

test('comments, defaults and examples are told apart', () => {
  expect(readValues(VALUES)).toEqual([
    { path: 'plain', fallback: '"text"', meaning: 'First.', example: [] },
    { path: 'block.one', fallback: '1', meaning: "Of the block's first.", example: [] },
    {
      path: 'block.many',
      fallback: '[]',
      meaning: 'A list, on two lines:',
      example: ['- name: a', '  more: b'],
    },
    { path: 'block.labels', fallback: '{"a":"b|c"}', meaning: 'A map in braces.', example: [] },
    {
      path: 'block.resources',
      fallback: '{"requests":{"cpu":1}}',
      meaning: 'A map of such maps.',
      example: [],
    },
    { path: 'block.deep.two', fallback: 'true', meaning: 'Below.', example: [] },
    { path: 'block.lone.map', fallback: '{}', meaning: 'Of a map that is not given.', example: [] },
  ]);
  expect(renderChartReadme(VALUES, 'Header')).toContain('### block');
  expect(renderChartReadme(VALUES, 'Header')).toContain('```yaml\n- name: a\n  more: b\n```');
});
