/** Writes the chart's README: `node scripts/renderChartReadme.ts`, after a change of values.yaml. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { renderChartReadme } from './chartReadme.ts';
import { CHART_README_HEADER } from './chartReadmeHeader.ts';

const CHART = path.resolve(import.meta.dirname, '../charts/sallyport');
const values = readFileSync(path.join(CHART, 'values.yaml'), 'utf8');
writeFileSync(path.join(CHART, 'README.md'), renderChartReadme(values, CHART_README_HEADER));
