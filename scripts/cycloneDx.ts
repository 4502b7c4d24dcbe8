/**
 * A CycloneDX 1.6 bill of materials as data: what an image is made of, from package-lock.json, from the records of its
 * Debian packages and from the Node that is in it. The same input gives the same text: the serial number is a hash of what is
 * listed, and no date is in it.
 */
import { createHash } from 'node:crypto';

export interface Component {
  readonly type: 'application' | 'library';
  readonly 'bom-ref': string;
  readonly name: string;
  readonly version: string;
  /** https://github.com/package-url/purl-spec; one name for the package anywhere. */
  readonly purl: string;
  readonly licenses?: readonly (
    | { readonly license: { readonly id: string } }
    | { readonly expression: string }
  )[];
  readonly hashes?: readonly { readonly alg: 'SHA-512'; readonly content: string }[];
}

/** As much of package-lock.json (lockfileVersion 3) as matters here. */
export interface PackageLock {
  readonly packages: Readonly<
    Record<
      string,
      {
        readonly name?: string;
        readonly version?: string;
        readonly license?: string;
        readonly integrity?: string;
        readonly dev?: boolean;
      }
    >
  >;
}

const MODULES = 'node_modules/';
const SHA512 = 'sha512-';

/** What the programs are bundled from; what only builds and tests them is in no image. */
export function npmComponents({ packages }: PackageLock): readonly Component[] {
  return Object.entries(packages)
    .filter(([place, { dev }]) => place !== '' && dev !== true)
    .map(([place, { version = '', license, integrity }]): Component => {
      const name = place.slice(place.lastIndexOf(MODULES) + MODULES.length);
      const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`;
      return {
        ...{ type: 'library', 'bom-ref': purl, name, version, purl },
        ...(license === undefined ? {} : { licenses: [licenseOf(license)] }),
        ...(integrity?.startsWith(SHA512) ? { hashes: [hashOf(integrity)] } : {}),
      };
    });
}

function licenseOf(text: string): NonNullable<Component['licenses']>[number] {
  return /[ ()]/.test(text) ? { expression: text } : { license: { id: text } };
}

function hashOf(integrity: string): NonNullable<Component['hashes']>[number] {
  return { alg: 'SHA-512', content: Buffer.from(integrity.slice(SHA512.length), 'base64').toString('hex') };
}

/** @param status one package's paragraph of dpkg's status file */
export function debianComponent(status: string): Component {
  const field = (name: string): string => new RegExp(`^${name}: (.+)$`, 'm').exec(status)?.[1] ?? '';
  const [name, version, architecture] = [field('Package'), field('Version'), field('Architecture')];
  const purl = `pkg:deb/debian/${name}@${encodeURIComponent(version)}?arch=${architecture}&distro=debian-12`;
  return { type: 'library', 'bom-ref': purl, name, version, purl };
}

export function nodeComponent(version: string): Component {
  const purl = `pkg:github/nodejs/node@${version}`;
  return {
    ...{ type: 'application', 'bom-ref': purl, name: 'node', version, purl },
    licenses: [{ license: { id: 'MIT' } }],
  };
}

export function renderBill(lock: PackageLock, others: readonly Component[]): unknown {
  const { name = 'sallyport', version = '', license = '' } = lock.packages[''] ?? {};
  const purl = `pkg:npm/${name}@${version}`;
  const components = unique([...npmComponents(lock), ...others]);
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: `urn:uuid:${uuidOf(JSON.stringify(components))}`,
    version: 1,
    metadata: {
      component: {
        ...{ type: 'application', 'bom-ref': purl, name, version, purl },
        licenses: [licenseOf(license)],
      },
    },
    components,
    dependencies: [{ ref: purl, dependsOn: components.map((it) => it['bom-ref']) }],
  };
}

/** A package may lie in several folders; by reference, so that neither order nor repetition shows. */
function unique(components: readonly Component[]): readonly Component[] {
  const byRef = new Map(components.map((it) => [it['bom-ref'], it]));
  return [...byRef.values()].toSorted((a, b) => (a['bom-ref'] < b['bom-ref'] ? -1 : 1));
}

/** RFC 9562, version 8: of one's own making. */
function uuidOf(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-');
}
