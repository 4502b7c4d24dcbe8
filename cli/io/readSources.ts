/** Reads what a person named (files, folders, standard input) into documents. Folders are searched through and through. */
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import type { SourceFile } from '../core/collectManifests.ts';
import { readDocuments } from '../core/sourceDocument.ts';
import { Unusable } from './unusable.ts';

/** Files that look like manifests. A file that is named itself may be called anything. */
const EXTENSIONS: ReadonlySet<string> = new Set(['.yaml', '.yml', '.json']);
/** Of tools and of packages, not of the person. */
const isForeign = (name: string): boolean => name.startsWith('.') || name === 'node_modules';
/** More than a repository of manifests has: somebody named the wrong folder. */
const FILES_MAX = 20_000;
/** A file of manifests is far smaller; facts of a big cluster are tens of megabytes. */
export const FILE_BYTES_MAX = 256 * 1024 * 1024;

/** Throws Unusable with everything that cannot be read, not only the first. */
export async function readSources(
  sources: readonly string[],
  stdin: NodeJS.ReadableStream,
): Promise<readonly SourceFile[]> {
  const problems: string[] = [];
  const attempt = async <T>(read: () => Promise<readonly T[]>): Promise<readonly T[]> => {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof Unusable)) throw error;
      problems.push(...error.lines);
      return [];
    }
  };
  const names: string[] = [];
  for (const source of sources) names.push(...(await attempt(() => expand(source))));
  const files: SourceFile[] = [];
  // Named twice, as by a folder and by itself, a file is still one.
  for (const name of new Set(names))
    files.push(...(await attempt(async () => [parse(name, await readText(name, stdin))])));
  if (problems.length > 0) throw new Unusable(problems);
  return files;
}

async function expand(source: string): Promise<readonly string[]> {
  if (source === '-') return [source];
  const found = await explained(source, () => stat(source));
  if (!found.isDirectory()) return [path.normalize(source)];
  const files = await explained(source, () => walk(source));
  if (files.length > FILES_MAX)
    throw new Unusable([`${source}: more than ${FILES_MAX} files; name a smaller folder`]);
  if (files.length === 0) throw new Unusable([`${source}: no .yaml, .yml or .json file in this folder`]);
  return files;
}

async function walk(folder: string): Promise<readonly string[]> {
  const entries = (await readdir(folder, { withFileTypes: true })).filter(({ name }) => !isForeign(name));
  const found: string[] = [];
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const name = path.join(folder, entry.name);
    // A link to a folder may lead around in a circle; one to a file does not.
    if (entry.isDirectory()) found.push(...(await walk(name)));
    else if (EXTENSIONS.has(path.extname(name))) found.push(name);
  }
  return found;
}

/** The text of a file, or of standard input for `-`. */
export async function readText(name: string, stdin: NodeJS.ReadableStream): Promise<string> {
  if (name === '-') return text(stdin);
  const { size } = await explained(name, () => stat(name));
  if (size > FILE_BYTES_MAX) throw new Unusable([`${name}: larger than ${FILE_BYTES_MAX} bytes`]);
  return explained(name, () => readFile(name, 'utf8'));
}

function parse(name: string, content: string): SourceFile {
  const documents = readDocuments(content);
  if (documents.kind === 'ok') return { name, documents: documents.value };
  throw new Unusable(
    documents.error.map(({ place, message }) => `${name}:${place.line}:${place.column}: ${message}`),
  );
}

async function explained<T>(name: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    const why =
      code === 'ENOENT' ? 'there is no such file' : code === 'EACCES' ? 'may not be read' : String(error);
    throw new Unusable([`${name}: ${why}`]);
  }
}
