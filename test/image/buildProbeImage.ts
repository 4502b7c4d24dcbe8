/** The image that probe pods run: Node with the libraries it needs, busybox for a shell, and the programs of test/probe. */
import { existsSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';
import { runCommand } from '../cluster/command.ts';
import { type LayerEntry, writeOciImage } from '../cluster/ociImage.ts';
import { NODE_BINARY } from './baseImages.ts';
import { type BuiltImage, removeFormer } from './buildImage.ts';
import { contentKey, imageFolder, type Progress, REPOSITORY } from './imageStore.ts';

export const PROBE_IMAGE = 'sallyport.test/probe:dev';

const PROBES = path.join(REPOSITORY, 'test/probe');
const BUSYBOX = '/bin/busybox';
/** Does nothing until somebody runs a probe in it, and ends at once when asked to. */
const ENTRYPOINT = ['/bin/sh', '-c', 'trap exit TERM; while :; do sleep 3600 & wait; done'];
const FOLDERS = ['bin', 'lib64', 'lib', 'lib/x86_64-linux-gnu', 'usr', 'usr/bin', 'etc', 'probe'];

export async function buildProbeImage(options: { readonly onProgress?: Progress } = {}): Promise<BuiltImage> {
  const folder = imageFolder();
  await mkdir(folder, { recursive: true });
  const nodePackage = path.join(REPOSITORY, 'node_modules/node/package.json');
  const key = contentKey([PROBES, BUSYBOX, nodePackage, import.meta.filename], PROBE_IMAGE);
  const ociTarPath = path.join(folder, `probe-${key}.tar`);
  if (!existsSync(ociTarPath)) {
    options.onProgress?.('making the probe image');
    await removeFormer(ociTarPath);
    await writeOciImage(
      { reference: PROBE_IMAGE, entrypoint: ENTRYPOINT, entries: await entries() },
      ociTarPath,
    );
  }
  return { ociTarPath, reference: PROBE_IMAGE };
}

async function entries(): Promise<readonly LayerEntry[]> {
  const programs = (await readdir(PROBES)).filter((file) => file.endsWith('.ts'));
  return [
    ...FOLDERS.map((folder): LayerEntry => ({ kind: 'directory', path: `${folder}/`, mode: 0o755 })),
    { kind: 'directory', path: 'tmp/', mode: 0o1777 },
    executable('usr/bin/node', NODE_BINARY),
    ...(await libraries()).map((file) => executable(file.slice(1), file)),
    executable('bin/busybox', BUSYBOX),
    ...(await applets()).map(
      (applet): LayerEntry => ({ kind: 'link', path: `bin/${applet}`, target: 'busybox' }),
    ),
    ...programs.map((file) => executable(`probe/${file}`, path.join(PROBES, file))),
    executable('probe/package.json', path.join(PROBES, 'package.json')),
  ];
}

function executable(target: string, source: string): LayerEntry {
  return { kind: 'file', path: target, source, mode: 0o755 };
}

/** `ldd` prints `NAME => FILE (ADDRESS)`, and for the loader `FILE (ADDRESS)`. */
async function libraries(): Promise<readonly string[]> {
  const { stdout } = await runCommand("listing Node's libraries", ['ldd', NODE_BINARY]);
  return [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, file = '']) => file);
}

async function applets(): Promise<readonly string[]> {
  const { stdout } = await runCommand("listing busybox's applets", [BUSYBOX, '--list']);
  return stdout.split('\n').filter((applet) => applet !== '' && applet !== 'busybox');
}
