/** What an image says of where it is from: the Dockerfile's arguments, as far as they are known. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';

export interface Provenance {
  readonly version: string;
  /** Undefined: not from a work tree. */
  readonly revision: string | undefined;
  /** A URL. Undefined: package.json names none. */
  readonly source: string | undefined;
}

export function readProvenance(repository: string): Provenance {
  const { version, repository: stated } = JSON.parse(
    readFileSync(path.join(repository, 'package.json'), 'utf8'),
  );
  return { version, revision: readRevision(repository), source: sourceOf(stated) };
}

/** The commit, with `-dirty` behind it where the tree is not as committed. */
function readRevision(repository: string): string | undefined {
  const describe = ['describe', '--always', '--dirty', '--abbrev=40', '--exclude', '*'];
  const { status, stdout } = spawnSync('git', describe, { cwd: repository, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/** https://docs.npmjs.com/cli/v11/configuring-npm/package-json#repository: a URL, or an object with one. */
function sourceOf(stated: unknown): string | undefined {
  const text = typeof stated === 'object' && stated !== null && 'url' in stated ? stated.url : stated;
  return typeof text === 'string' ? text.replace(/^git\+/, '').replace(/\.git$/, '') : undefined;
}

export function buildArguments({ version, revision, source }: Provenance): readonly string[] {
  return Object.entries({ VERSION: version, REVISION: revision, SOURCE: source }).flatMap(([key, value]) =>
    value === undefined ? [] : ['--build-arg', `${key}=${value}`],
  );
}
