/**
 * Writes the manifests of the CRDs from the schemas in policy/schema: `node scripts/renderCrds.ts`, or `--check` to only
 * say whether the files are what the code makes.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';
import { DEFINITIONS, renderCrd } from '../policy/schema/crds.ts';

const FOLDER = path.resolve(import.meta.dirname, '../charts/sallyport/files/crds');
const HEADER = '# Made by scripts/renderCrds.ts from policy/schema; do not edit by hand.\n';

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

const files = DEFINITIONS.map((definition) => ({
  file: path.join(FOLDER, `${definition.served.plural}.yaml`),
  text: HEADER + stringify(renderCrd(definition), { aliasDuplicateObjects: false, lineWidth: 0 }),
}));
const stale = files.filter(({ file, text }) => read(file) !== text);
if (process.argv.includes('--check')) {
  for (const { file } of stale)
    process.stderr.write(`${path.basename(file)} is not what policy/schema makes; run npm run crds\n`);
  process.exitCode = stale.length === 0 ? 0 : 1;
} else {
  mkdirSync(FOLDER, { recursive: true });
  for (const { file, text } of stale) writeFileSync(file, text);
  process.stdout.write(`${stale.length} of ${files.length} written\n`);
}
