/**
 * What RUN steps borrow from this machine to reach its mirrors: apt's and npm's settings and its CA certificates, mounted
 * read-only while a step runs. An empty mount point is all that can stay behind in an image.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { imageFolder } from './imageStore.ts';
import { locateNpm } from './machineNpm.ts';

const CA_BUNDLE = '/etc/ssl/certs/ca-certificates.crt';
const APT_PLACES = ['/etc/apt', '/usr/share/keyrings'];
/** Where npm of the node image looks for machine-wide settings. */
const IMAGE_NPM_SETTINGS = '/usr/local/etc/npmrc';

/** buildah's `--volume` values for a step that calls apt. */
export function aptMounts(): readonly string[] {
  const ca = machineCa();
  return [
    ...APT_PLACES.filter((place) => existsSync(place)).map((place) => `${place}:${place}:ro`),
    ...(ca === undefined ? [] : [`${ca}:${CA_BUNDLE}:ro`]),
  ];
}

/** For a step that calls npm. `scratch` lives as long as the step: the machine-wide settings are copied there. */
export async function npmMounts(scratch: string): Promise<readonly string[]> {
  const cache = path.join(imageFolder(), 'npm');
  await mkdir(cache, { recursive: true });
  const { global, user } = locateNpm().settings;
  const ca = machineCa();
  const machine = global === undefined ? '' : await readFile(global, 'utf8');
  const settings = path.join(scratch, 'npmrc');
  await writeFile(settings, `${machine}\n${ca === undefined ? '' : `cafile=${CA_BUNDLE}\n`}`, {
    mode: 0o600,
  });
  return [
    `${settings}:${IMAGE_NPM_SETTINGS}:ro`,
    ...(user === undefined ? [] : [`${user}:/root/.npmrc:ro`]),
    ...(ca === undefined ? [] : [`${ca}:${CA_BUNDLE}:ro`]),
    `${cache}:/root/.npm`,
  ];
}

function machineCa(): string | undefined {
  const places = [process.env.NODE_EXTRA_CA_CERTS, process.env.SSL_CERT_FILE, CA_BUNDLE];
  return places.find((place) => place !== undefined && place !== '' && existsSync(place));
}
