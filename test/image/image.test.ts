/** The image itself: what is in it and what is not, what it says of itself, and that it can be made again. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Ajv } from 'ajv';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildImage, buildStages } from './buildImage.ts';
import { buildArguments } from './imageLabels.ts';
import { buildah } from './imageStore.ts';
import { type Image, type ImageFile, readImage } from './readImage.ts';

const FROM = { version: '1.2.3', revision: '0123abc', source: 'https://git.example.com/sallyport' };
const REFERENCE = 'sallyport.test/sallyport:labelled';
const BILL = 'app/sbom.cdx.json';
const BUILD_TIMEOUT_MS = 900_000;
/** 56.9 MB were measured, most of it Node; 99 MB with the whole of Debian. */
const COMPRESSED_BYTES_MAX = 65_000_000;

let scratch: string;
let image: Image;

beforeAll(async () => {
  scratch = await mkdtemp(path.join(tmpdir(), 'sallyport-image-'));
  const { ociTarPath } = await buildImage({ onProgress: (line) => console.log(line) });
  image = await readImage(ociTarPath, path.join(scratch, 'product'));
}, BUILD_TIMEOUT_MS);

afterAll(async () => {
  await rm(scratch, { recursive: true, force: true });
});

const paths = (keep: (file: ImageFile) => boolean): readonly string[] =>
  image.files.filter(keep).map((file) => `${file.mode} ${file.owner} ${file.path}`);

test('it runs Node as nobody in particular, unless it is told otherwise', () => {
  expect(image.config).toMatchObject({ User: '65532:65532', Entrypoint: ['/usr/bin/node'] });
});

test('there are the programs, the second thread of one, the command, and what uninstalls', () => {
  const programs = image.files.map((file) => file.path).filter((file) => /^app\/.*\.js$/.test(file));
  expect(programs.toSorted()).toEqual(
    ['agent', 'cleanup', 'controller', 'ownership', 'sallyport', 'uninstall', 'webhook'].map(
      (it) => `app/${it}.js`,
    ),
  );
  expect(paths(({ path: file }) => file === 'app/LICENSE')).toHaveLength(1);
});

test('every file is root’s and readable; nothing is anybody’s to change, and no program runs as another user', () => {
  expect(paths(({ owner }) => owner !== '0/0')).toEqual([]);
  expect(paths(({ mode }) => mode[7] !== 'r')).toEqual([]);
  expect(paths(({ mode }) => /[sS]/.test(mode))).toEqual([]);
  const writable = image.files.filter(
    ({ mode }) => !mode.startsWith('l') && (mode[5] === 'w' || mode[8] === 'w'),
  );
  expect(writable.map((file) => file.path)).toEqual(['tmp']);
});

test('what is there to be executed is what the programs start', () => {
  const executable = image.files.filter(
    ({ path: file, mode }) => /^-..x/.test(mode) && /^(usr\/)?(local\/)?s?bin\//.test(file),
  );
  expect(executable.map((file) => file.path).toSorted()).toEqual([
    ...['usr/bin/cat', 'usr/bin/env', 'usr/bin/ip', 'usr/bin/node', 'usr/bin/perl', 'usr/bin/tee'],
    ...['usr/sbin/bridge', 'usr/sbin/nft'],
  ]);
});

test("no package manager is there, and nothing of one's work but the records of what it installed", () => {
  const left = /(^|\/)(apt|dpkg|npm|cache|log|lists|node_modules|\.npmrc)(\/|$)/;
  const found = image.files.filter(({ path: file }) => left.test(file)).map((file) => file.path);
  expect(found.filter((file) => !/^var\/lib\/dpkg(\/status\.d(\/.*)?)?$/.test(file))).toEqual([]);
  expect(image.files.filter(({ path: file }) => file.endsWith('.map'))).toEqual([]);
});

test('it is small', () => {
  console.log(`${(image.compressedBytes / 1e6).toFixed(1)} MB to download`);
  expect(image.compressedBytes).toBeLessThan(COMPRESSED_BYTES_MAX);
});

/** Of CycloneDX 1.6, what a reader needs to know a component again. */
const BILL_SCHEMA = {
  type: 'object',
  required: ['bomFormat', 'specVersion', 'serialNumber', 'version', 'metadata', 'components', 'dependencies'],
  properties: {
    bomFormat: { const: 'CycloneDX' },
    specVersion: { const: '1.6' },
    serialNumber: { pattern: '^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' },
    version: { type: 'integer', minimum: 1 },
    metadata: { required: ['component'], properties: { component: { $ref: '#/$defs/component' } } },
    components: { type: 'array', minItems: 50, uniqueItems: true, items: { $ref: '#/$defs/component' } },
    dependencies: { items: { required: ['ref', 'dependsOn'] } },
  },
  $defs: {
    component: {
      type: 'object',
      required: ['type', 'bom-ref', 'name', 'version', 'purl'],
      properties: {
        type: { enum: ['application', 'library'] },
        name: { type: 'string', minLength: 1 },
        version: { type: 'string', minLength: 1 },
        purl: { type: 'string', pattern: '^pkg:(npm|deb|github)/[^@ ]+@[^ ]+$' },
        licenses: { type: 'array', minItems: 1, items: { minProperties: 1, maxProperties: 1 } },
        hashes: { items: { properties: { content: { pattern: '^[0-9a-f]{128}$' } } } },
      },
    },
  },
};

interface Bill {
  readonly components: readonly {
    readonly name: string;
    readonly purl: string;
    readonly 'bom-ref': string;
  }[];
  readonly dependencies: readonly { readonly dependsOn: readonly string[] }[];
}

test('its bill of materials is CycloneDX and names what the files came from', async () => {
  const bill = JSON.parse(await image.read(BILL)) as Bill;
  const validate = new Ajv({ strictTypes: false }).compile(BILL_SCHEMA);
  expect(validate(bill), JSON.stringify(validate.errors)).toBe(true);
  const references = bill.components.map((it) => it['bom-ref']);
  expect(new Set(references).size).toBe(references.length);
  expect(bill.dependencies[0]?.dependsOn).toEqual(references);
  const names = bill.components.map(({ name }) => name);
  expect(names).toEqual(
    expect.arrayContaining(['node', 'nftables', 'iproute2', 'perl-base', 'coreutils', 'libc6']),
  );
  expect(names).toEqual(
    expect.arrayContaining(['undici', 'express', 'node-forge', '@kubernetes/client-node']),
  );
  expect(names).not.toContain('vitest');
  const recorded = image.files.flatMap(
    ({ path: file }) => /^var\/lib\/dpkg\/status\.d\/(.+)$/.exec(file)?.[1] ?? [],
  );
  const debian = bill.components.filter(({ purl }) => purl.startsWith('pkg:deb/')).map(({ name }) => name);
  expect(debian.toSorted()).toEqual(recorded.toSorted());
});

/** From nothing but the base images. */
async function makeLabelled(name: string): Promise<Image> {
  await buildStages(scratch, ['--layers', '--no-cache', ...buildArguments(FROM), '--tag', REFERENCE]);
  const tar = path.join(scratch, `${name}.tar`);
  await buildah('writing the image', ['push', '--quiet', REFERENCE, `oci-archive:${tar}`]);
  await buildah('removing the image', ['rmi', REFERENCE]);
  return readImage(tar, path.join(scratch, name));
}

test(
  'built once more from nothing it is the same, and says what it is in the words of OCI',
  async () => {
    const again = await makeLabelled('again');
    // The mirror may have moved on since the kept image was built: then both have to be of today.
    const today = (await again.read(BILL)) === (await image.read(BILL));
    const former = today ? image : await makeLabelled('once-more');
    const listed = ({ files }: Image) => files.map(({ path: file, mode, date }) => `${mode} ${date} ${file}`);
    expect(listed(again)).toEqual(listed(former));
    expect(again.layers).toEqual(former.layers);
    expect(new Set(image.files.map(({ date }) => date))).toEqual(new Set(['1970-01-01 00:00:00']));
    expect(again.config.Labels).toMatchObject({
      'org.opencontainers.image.title': 'Sallyport',
      'org.opencontainers.image.description': expect.stringContaining('gateway'),
      'org.opencontainers.image.licenses': 'Apache-2.0',
      'org.opencontainers.image.version': FROM.version,
      'org.opencontainers.image.revision': FROM.revision,
      'org.opencontainers.image.source': FROM.source,
    });
  },
  BUILD_TIMEOUT_MS,
);
