import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { ClusterError, runCommand } from './command.ts';
import { writeOciImage } from './ociImage.ts';

const KUBERNETES_VERSION = 'v1.37.2';
/** The API server alone takes five minutes from cold caches on two cores. */
const BUILD_TIMEOUT_MS = 1_200_000;
const STRIP = '-s -w';
const KUBERNETES_FLAGS = `${STRIP} -X k8s.io/component-base/version.gitVersion=${KUBERNETES_VERSION}`;

interface Build {
  readonly binary: string;
  readonly module: 'kubernetes' | 'containerd' | 'helm' | 'helm4';
  readonly target: string;
  readonly flags: string;
}

const BUILDS: readonly Build[] = [
  ...['containerd', 'containerd-shim-runc-v2', 'ctr'].map(
    (binary): Build => ({
      binary,
      module: 'containerd',
      target: `github.com/containerd/containerd/v2/cmd/${binary}`,
      flags: STRIP,
    }),
  ),
  { binary: 'etcd', module: 'kubernetes', target: 'go.etcd.io/etcd/server/v3', flags: KUBERNETES_FLAGS },
  ...['kube-apiserver', 'kubelet', 'kube-controller-manager', 'kube-scheduler', 'kubectl', 'kube-proxy'].map(
    (binary): Build => ({
      binary,
      module: 'kubernetes',
      target: `k8s.io/kubernetes/cmd/${binary}`,
      flags: KUBERNETES_FLAGS,
    }),
  ),
  { binary: 'helm', module: 'helm', target: 'helm.sh/helm/v3/cmd/helm', flags: STRIP },
];

/** For the few tests that ask it: apart from the cluster's own, so that a change of either builds nothing of the other. */
const HELM4: Build = {
  binary: 'helm',
  module: 'helm4',
  target: 'helm.sh/helm/v4/cmd/helm',
  flags: STRIP,
};

export const PAUSE_IMAGE = 'sallyport.test/pause:1';

export interface Toolchain {
  /** Folder that holds every binary of the cluster. */
  readonly folder: string;
  /** OCI tar of the pause image. */
  readonly pauseImagePath: string;
}

export type Progress = (line: string) => void;

function moduleFolder(module: string): string {
  return join(import.meta.dirname, 'toolchain', module);
}

export function locateToolchain(): Promise<string> {
  return locate('toolchain', BUILDS, ['kubernetes', 'containerd', 'helm']);
}

/** The folder's name changes with anything the binaries depend on, so a stale build is never used. */
async function locate(kind: string, builds: unknown, modules: readonly string[]): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(builds));
  for (const module of modules) {
    for (const file of ['go.mod', 'go.sum']) hash.update(await readFile(join(moduleFolder(module), file)));
  }
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');
  return join(cache, 'sallyport', `${kind}-${hash.digest('hex').slice(0, 16)}`);
}

async function buildBinary(build: Build, folder: string): Promise<void> {
  const scratch = await mkdtemp(join(folder, 'building-'));
  try {
    const output = join(scratch, build.binary);
    await runCommand(
      `building ${build.binary}`,
      ['go', 'build', '-mod=readonly', '-ldflags', build.flags, '-o', output, build.target],
      {
        cwd: moduleFolder(build.module),
        env: { ...process.env, CGO_ENABLED: '0' },
        timeoutMs: BUILD_TIMEOUT_MS,
      },
    );
    await rename(output, join(folder, build.binary));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function buildPauseImage(folder: string, destination: string): Promise<void> {
  const step = 'building the pause image';
  const scratch = await mkdtemp(join(folder, 'building-'));
  try {
    const listing = ['go', 'list', '-mod=readonly', '-m', '-f', '{{.Dir}}', 'k8s.io/kubernetes'];
    const { stdout } = await runCommand(step, listing, { cwd: moduleFolder('kubernetes') });
    const source = join(stdout.trim(), 'build/pause/linux/pause.c');
    if (!existsSync(source)) throw new ClusterError(step, `${source} does not exist`);
    const binary = join(scratch, 'pause');
    await runCommand(step, ['gcc', '-Os', '-static', '-DVERSION=sallyport', '-o', binary, source]);
    await writeOciImage(
      {
        reference: PAUSE_IMAGE,
        entrypoint: ['/pause'],
        entries: [{ kind: 'file', path: 'pause', source: binary, mode: 0o755 }],
      },
      destination,
    );
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Builds what is missing, one binary after the other: Go's linker alone fills the memory of a small machine. */
export async function ensureToolchain(options: { readonly onProgress?: Progress } = {}): Promise<Toolchain> {
  const folder = await locateToolchain();
  await mkdir(folder, { recursive: true });
  for (const [index, build] of BUILDS.entries()) {
    if (existsSync(join(folder, build.binary))) continue;
    options.onProgress?.(`building ${build.binary} (${index + 1} of ${BUILDS.length}), once, for minutes`);
    await buildBinary(build, folder);
  }
  const pauseImagePath = join(folder, 'pause.tar');
  if (!existsSync(pauseImagePath)) await buildPauseImage(folder, pauseImagePath);
  return { folder, pauseImagePath };
}

/** The path of helm 4; builds it where it is missing. */
export async function ensureHelm4(options: { readonly onProgress?: Progress } = {}): Promise<string> {
  const folder = await locate('helm4', HELM4, ['helm4']);
  await mkdir(folder, { recursive: true });
  const file = join(folder, HELM4.binary);
  if (!existsSync(file)) {
    options.onProgress?.('building helm 4, once, for minutes');
    await buildBinary(HELM4, folder);
  }
  return file;
}
