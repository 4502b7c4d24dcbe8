/** Where images are kept between runs, and the one way to call buildah there: without a daemon or a registry. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { type CommandResult, runCommand } from '../cluster/command.ts';

export type Progress = (line: string) => void;

/** `npm ci` and apt over a slow line, on two cores that others use too. */
const BUILDAH_TIMEOUT_MS = 900_000;
/**
 * A changed source leaves three behind, each a whole copy of 270 MB on vfs: beyond this number, about 10 GB there, all
 * that have no name are thrown away and the next build pays for it.
 */
const STORED_IMAGES_MAX = 40;

export const REPOSITORY = path.resolve(import.meta.dirname, '../..');

/** Holds buildah's storage by driver, npm/ (a cache for builds), stamps and the finished tars. */
export function imageFolder(): string {
  const cache = process.env.XDG_CACHE_HOME || path.join(homedir(), '.cache');
  return path.join(cache, 'sallyport', 'images');
}

type Driver = 'overlay' | 'vfs';
let chosenDriver: Promise<Driver> | undefined;

/** Throws ClusterError with the end of buildah's output. */
export async function buildah(step: string, args: readonly string[]): Promise<CommandResult> {
  chosenDriver ??= chooseDriver();
  return runBuildah(step, await chosenDriver, args);
}

function runBuildah(
  step: string,
  driver: Driver,
  args: readonly string[],
  allowFailure = false,
): Promise<CommandResult> {
  const store = path.join(imageFolder(), driver);
  // Without skip_mount_home the overlay driver leaves a bind mount of its own folder behind.
  const home = driver === 'overlay' ? ['--storage-opt', 'overlay.skip_mount_home=true'] : [];
  const storage = ['--root', path.join(store, 'root'), '--runroot', path.join(store, 'run')];
  return runCommand(step, ['buildah', ...storage, '--storage-driver', driver, ...home, ...args], {
    timeoutMs: BUILDAH_TIMEOUT_MS,
    env: { ...process.env, BUILDAH_ISOLATION: 'chroot' },
    allowFailure,
  });
}

/** overlay does not work on top of another overlay, as inside a container; vfs works everywhere, several times slower. */
async function chooseDriver(): Promise<Driver> {
  const tried = await runBuildah('trying the overlay driver', 'overlay', ['images', '--quiet'], true);
  return tried.code === 0 ? 'overlay' : 'vfs';
}

/** The image's full id, or undefined where the store has none of that name. */
export async function findImage(reference: string): Promise<string | undefined> {
  const { stdout } = await buildah('looking for an image', ['images', '--json']);
  const images: readonly { readonly id: string; readonly names?: readonly string[] | null }[] =
    stdout.trim() === '' ? [] : JSON.parse(stdout);
  return images.find(({ names }) => names?.includes(reference))?.id;
}

export async function dropForgottenImages(onProgress: Progress): Promise<void> {
  const { stdout } = await buildah('counting images', ['images', '--all', '--quiet']);
  if (stdout.split('\n').length <= STORED_IMAGES_MAX) return;
  onProgress('throwing away the layers of former builds');
  await buildah('throwing away former layers', ['rmi', '--prune', '--force']);
}

/** Hash over the content and names of files and of all files below folders, in a stable order. Paths are absolute. */
export function contentKey(
  paths: readonly string[],
  salt: string,
  keep = (_file: string): boolean => true,
): string {
  const hash = createHash('sha256').update(salt);
  for (const file of paths.flatMap(filesBelow).filter(keep)) {
    hash.update(`\0${path.relative(REPOSITORY, file)}\0`);
    hash.update(readFileSync(file));
  }
  return hash.digest('hex').slice(0, 16);
}

function filesBelow(place: string): readonly string[] {
  const found = statSync(place, { throwIfNoEntry: false });
  if (found === undefined) return [];
  if (!found.isDirectory()) return [place];
  return readdirSync(place, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();
}
