/** An OCI archive as data: its digest, its configuration, and every file of its layers as `tar` lists them. */
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { runCommand } from '../cluster/command.ts';

export interface ImageFile {
  /** Without a leading slash; folders without a trailing one. */
  readonly path: string;
  /** As `ls -l` prints it: `-rwxr-xr-x`. */
  readonly mode: string;
  /** `uid/gid` */
  readonly owner: string;
  /** `1970-01-01 00:00:00` in UTC. */
  readonly date: string;
  /** Of the blob that it comes from. */
  readonly layer: string;
}

export interface Image {
  /** Digests of its layers as they are downloaded. */
  readonly layers: readonly string[];
  readonly config: {
    readonly User?: string;
    readonly Entrypoint?: readonly string[];
    readonly Labels?: Readonly<Record<string, string>>;
  };
  /** All layers' sizes as they are downloaded. */
  readonly compressedBytes: number;
  readonly files: readonly ImageFile[];
  /** Of one regular file. */
  read(file: string): Promise<string>;
}

interface Descriptor {
  readonly digest: string;
  readonly size: number;
}

const LINE = /^(?<mode>\S{10}) (?<owner>\d+\/\d+) +(?:\d+|\d+,\d+) (?<date>\S+ \S+) (?<rest>.*)$/;
/** A layer has thousands of files. */
const LIST_TIMEOUT_MS = 120_000;

/** @param folder an own one, which has to outlive what is returned */
export async function readImage(ociTarPath: string, folder: string): Promise<Image> {
  await mkdir(folder, { recursive: true });
  await runCommand('unpacking an image', ['tar', '-xf', ociTarPath, '-C', folder], {
    timeoutMs: LIST_TIMEOUT_MS,
  });
  const blob = (digest: string): string => path.join(folder, 'blobs', ...digest.split(':'));
  const json = async (file: string) => JSON.parse(await readFile(file, 'utf8'));
  const index: { readonly manifests: readonly Descriptor[] } = await json(path.join(folder, 'index.json'));
  const [{ digest } = { digest: '' }] = index.manifests;
  const manifest: { readonly config: Descriptor; readonly layers: readonly Descriptor[] } = await json(
    blob(digest),
  );
  const { config }: Pick<Image, 'config'> = await json(blob(manifest.config.digest));
  const lists = await Promise.all(manifest.layers.map((layer) => listLayer(blob(layer.digest))));
  const files = lists.flat();
  return {
    layers: manifest.layers.map((layer) => layer.digest),
    config,
    compressedBytes: manifest.layers.reduce((sum, { size }) => sum + size, 0),
    files,
    async read(file) {
      const found = files.findLast((it) => it.path === file && it.mode.startsWith('-'));
      if (found === undefined) throw new Error(`no file ${file}`);
      return (await runCommand(`reading ${file}`, ['tar', '-xzOf', found.layer, file])).stdout;
    },
  };
}

async function listLayer(layer: string): Promise<readonly ImageFile[]> {
  const list = ['tar', '--numeric-owner', '--full-time', '--utc', '-tvzf', layer];
  const { stdout } = await runCommand('listing a layer', list, { timeoutMs: LIST_TIMEOUT_MS });
  const lines = stdout.split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const { mode, owner, date, rest } = LINE.exec(line)?.groups ?? {};
    if (!mode || !owner || !date || !rest) throw new Error(`tar printed '${line}'`);
    const [name = ''] = rest.split(mode.startsWith('l') ? ' -> ' : ' link to ');
    return { path: name.replace(/\/$/, ''), mode, owner, date, layer };
  });
}
