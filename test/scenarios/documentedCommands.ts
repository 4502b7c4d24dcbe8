/** The commands of docs/operations.md, so that what people read is what was run. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';

const GUIDE = path.resolve(import.meta.dirname, '../../docs/operations.md');

/** Indented lines below the heading that begin with the program, each split into words; a comment at the end is left out. */
export async function documentedCommands(
  heading: string,
  program: 'helm' | 'kubectl',
): Promise<readonly (readonly string[])[]> {
  const sections = (await readFile(GUIDE, 'utf8')).split(/^## /m);
  const section = sections.find((text) => text.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`the operations guide has no heading ${heading}`);
  const lines = section.split('\n').filter((line) => line.startsWith(`    ${program} `));
  if (lines.length === 0) throw new Error(`${heading} has no command for ${program}`);
  return lines.map((line) =>
    line
      .replace(/ +# .*$/, '')
      .trim()
      .split(/ +/)
      .slice(1),
  );
}
