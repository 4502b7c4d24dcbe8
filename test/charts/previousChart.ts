/**
 * A chart that stands for the version before this one. There is none with a tag yet, so it is made from the present one: version
 * 0.0.9, pods that carry an annotation (so that an upgrade and a rollback replace every pod), and CRDs of policies that do not
 * know `returnAfter` yet, which nothing else in the schema refers to.
 */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseDocument } from 'yaml';
import { CHART } from './renderChart.ts';

export const PREVIOUS_VERSION = '0.0.9';
/** Of the policy's egressGateway. */
export const NEW_FIELD = 'returnAfter';
const POLICY_CRDS = ['egresspolicies', 'ciliumegressgatewaypolicies'];
const PROGRAMS = ['webhook', 'controller', 'agent'];

export interface PreviousChart {
  readonly path: string;
  remove(): Promise<void>;
}

export async function makePreviousChart(): Promise<PreviousChart> {
  const folder = await mkdtemp(path.join(tmpdir(), 'sallyport-chart-'));
  const chart = path.join(folder, 'sallyport');
  await cp(CHART, chart, { recursive: true });
  const edit = async (file: string, change: (text: string) => string): Promise<void> => {
    const text = await readFile(path.join(chart, file), 'utf8');
    const changed = change(text);
    if (changed === text) throw new Error(`${file} has nothing that could be older`);
    await writeFile(path.join(chart, file), changed);
  };
  await edit('Chart.yaml', (text) => text.replace(/^version: .*$/m, `version: ${PREVIOUS_VERSION}`));
  for (const name of POLICY_CRDS) await edit(`files/crds/${name}.yaml`, withoutNewField);
  await edit('values.yaml', (text) => {
    const values = parseDocument(text);
    for (const program of PROGRAMS)
      values.setIn([program, 'podAnnotations'], { 'sallyport.test/version': 'previous' });
    return String(values);
  });
  return { path: chart, remove: () => rm(folder, { recursive: true }) };
}

function withoutNewField(text: string): string {
  const crd = parseDocument(text);
  const schema = ['spec', 'versions', 0, 'schema', 'openAPIV3Schema', 'properties', 'spec'];
  crd.deleteIn([...schema, 'properties', 'egressGateway', 'properties', NEW_FIELD]);
  return crd.toString({ lineWidth: 0 });
}
