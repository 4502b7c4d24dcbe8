/**
 * Stand-ins, under the same short names, for the two published images that the Dockerfile starts from: Debian's packages by
 * mmdebstrap, and on top of them the Node of node_modules with the machine's npm. So the very Dockerfile that is
 * published builds on a machine that reaches a Debian mirror and an npm registry but no image registry.
 */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ClusterError, runCommand } from '../cluster/command.ts';
import { buildah, contentKey, findImage, imageFolder, type Progress, REPOSITORY } from './imageStore.ts';
import { locateNpm } from './machineNpm.ts';

export const DEBIAN_IMAGE = 'localhost/debian:bookworm-slim';
export const NODE_IMAGE = 'localhost/node:24-bookworm-slim';

export const NODE_BINARY = path.join(REPOSITORY, 'node_modules/node/bin/node');
const APT_SOURCES = '/etc/apt/sources.list.d';
/** Half a minute is usual; a cold mirror may be ten times slower. */
const DEBOOTSTRAP_TIMEOUT_MS = 600_000;
/** What debian:…-slim leaves out as well. */
const LEFT_OUT = ['doc', 'man', 'locale', 'info'];

const DEBIAN_CONTAINERFILE = 'FROM scratch\nADD base.tar /\nCMD ["bash"]\n';
const NODE_CONTAINERFILE = `FROM ${DEBIAN_IMAGE}
COPY --from=binary node /usr/local/bin/node
COPY --from=npm / /usr/local/lib/node_modules/npm/
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
CMD ["node"]
`;

/** Makes what is missing or made of other things than today's. Returns a key that changes with either image. */
export async function ensureBaseImages(onProgress: Progress): Promise<string> {
  const sources = await aptSources();
  const debianKey = contentKey(sources, `${DEBIAN_CONTAINERFILE}${LEFT_OUT}`);
  await ensureImage(DEBIAN_IMAGE, debianKey, (scratch) => {
    onProgress('making the Debian base image, once, for half a minute');
    return buildDebian(scratch, sources);
  });

  if (!existsSync(NODE_BINARY))
    throw new ClusterError(
      'making the Node base image',
      `${NODE_BINARY} does not exist; run scripts/setup.sh`,
    );
  const npm = locateNpm().folder;
  const nodeFiles = [path.join(REPOSITORY, 'node_modules/node/package.json'), path.join(npm, 'package.json')];
  const nodeKey = contentKey(nodeFiles, debianKey + NODE_CONTAINERFILE);
  await ensureImage(NODE_IMAGE, nodeKey, (scratch) => {
    onProgress('making the Node base image');
    return buildNode(scratch, npm);
  });
  return nodeKey;
}

/** A stamp beside the store remembers what the image was made of, so that nothing foreign gets into the image itself. */
async function ensureImage(
  reference: string,
  key: string,
  build: (scratch: string) => Promise<void>,
): Promise<void> {
  const stamps = path.join(imageFolder(), 'stamps');
  const stamp = path.join(stamps, reference.replaceAll(/[/:]/g, '_'));
  const made = await readFile(stamp, 'utf8').catch(() => '');
  const present = await findImage(reference);
  if (present !== undefined && made === `${key} ${present}`) return;
  await mkdir(stamps, { recursive: true });
  const scratch = await mkdtemp(path.join(imageFolder(), 'making-'));
  try {
    await build(scratch);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  await writeFile(stamp, `${key} ${await findImage(reference)}`);
}

async function aptSources(): Promise<readonly string[]> {
  const listed = existsSync(APT_SOURCES) ? await readdir(APT_SOURCES) : [];
  const files = listed
    .filter((file) => /\.(sources|list)$/.test(file))
    .map((file) => path.join(APT_SOURCES, file));
  return [...files.sort(), '/etc/apt/sources.list'].filter((file) => existsSync(file));
}

async function buildDebian(scratch: string, sources: readonly string[]): Promise<void> {
  const step = 'making the Debian base image';
  if (sources.length === 0) throw new ClusterError(step, 'this machine has no apt sources to make it from');
  const options = [
    '--variant=minbase',
    ...LEFT_OUT.map((folder) => `--dpkgopt=path-exclude=/usr/share/${folder}/*`),
    '--aptopt=Acquire::Check-Valid-Until "false"',
    // The machine's mirrors and names stay out of the image; builds get them mounted.
    '--customize-hook=rm -rf "$1"/etc/apt/sources.list* "$1"/etc/apt/apt.conf.d/99mmdebstrap',
    '--customize-hook=mkdir "$1"/etc/apt/sources.list.d',
    '--customize-hook=rm -f "$1"/etc/resolv.conf "$1"/etc/hostname',
  ];
  const tar = path.join(scratch, 'base.tar');
  await runCommand(step, ['mmdebstrap', ...options, 'bookworm', tar, ...sources], {
    timeoutMs: DEBOOTSTRAP_TIMEOUT_MS,
  });
  await writeFile(path.join(scratch, 'Containerfile'), DEBIAN_CONTAINERFILE);
  await buildah(step, ['bud', '--quiet', '--tag', DEBIAN_IMAGE, scratch]);
}

async function buildNode(scratch: string, npm: string): Promise<void> {
  await writeFile(path.join(scratch, 'Containerfile'), NODE_CONTAINERFILE);
  const contexts = [`binary=${path.dirname(NODE_BINARY)}`, `npm=${npm}`];
  await buildah('making the Node base image', [
    ...['bud', '--quiet', '--pull-never', '--tag', NODE_IMAGE],
    ...contexts.flatMap((context) => ['--build-context', context]),
    scratch,
  ]);
}
