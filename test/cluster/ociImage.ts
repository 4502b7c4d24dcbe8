import { createHash } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';

/** One regular file, directory or link of an image layer. */
export type LayerEntry =
  | { readonly kind: 'file'; readonly path: string; readonly source: string; readonly mode: number }
  | { readonly kind: 'directory'; readonly path: string; readonly mode: number }
  | { readonly kind: 'link'; readonly path: string; readonly target: string };

export interface OciImage {
  /** Full reference, e.g. `sallyport.test/pause:1`. */
  readonly reference: string;
  readonly entries: readonly LayerEntry[];
  readonly entrypoint: readonly string[];
  readonly environment?: readonly string[];
}

const BLOCK_BYTES = 512;
const TYPE_FLAG = { file: '0', link: '2', directory: '5' } as const;

interface TarHeader {
  readonly path: string;
  readonly kind: keyof typeof TYPE_FLAG;
  readonly mode: number;
  readonly sizeBytes: number;
  readonly target?: string;
}

/** POSIX.1-1988 ustar header; everything belongs to root and is dated 0, so that equal content has an equal digest. */
function renderTarHeader(header: TarHeader): Buffer {
  if (Buffer.byteLength(header.path) > 100) throw new Error(`tar path too long: ${header.path}`);
  const block = Buffer.alloc(BLOCK_BYTES);
  const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, '0')}\0`;
  block.write(header.path, 0);
  block.write(octal(header.mode, 7), 100);
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  block.write(octal(header.sizeBytes, 11), 124);
  block.write(octal(0, 11), 136);
  block.write('        ', 148);
  block.write(TYPE_FLAG[header.kind], 156);
  block.write(header.target ?? '', 157);
  block.write('ustar\x0000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

function renderTar(members: readonly { readonly header: TarHeader; readonly body: Buffer }[]): Buffer {
  const parts = members.flatMap(({ header, body }) => [
    renderTarHeader(header),
    body,
    Buffer.alloc((BLOCK_BYTES - (body.length % BLOCK_BYTES)) % BLOCK_BYTES),
  ]);
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK_BYTES)]);
}

async function readMember(entry: LayerEntry): Promise<{ readonly header: TarHeader; readonly body: Buffer }> {
  const body = entry.kind === 'file' ? await readFile(entry.source) : Buffer.alloc(0);
  const mode = entry.kind === 'link' ? 0o777 : entry.mode;
  const target = entry.kind === 'link' ? { target: entry.target } : {};
  return { header: { path: entry.path, kind: entry.kind, mode, sizeBytes: body.length, ...target }, body };
}

/**
 * Writes an OCI image layout of one uncompressed layer as a tar that `ctr images import` reads.
 * Source: OCI image-spec, image-layout.md; the annotation is how containerd names an imported image.
 */
export async function writeOciImage(image: OciImage, destination: string): Promise<void> {
  const blobs = new Map<string, Buffer>();
  const describe = (mediaType: string, data: Buffer) => {
    const hex = createHash('sha256').update(data).digest('hex');
    blobs.set(hex, data);
    return { mediaType, digest: `sha256:${hex}`, size: data.length };
  };
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const layer = describe(
    'application/vnd.oci.image.layer.v1.tar',
    renderTar(await Promise.all(image.entries.map(readMember))),
  );
  const config = describe(
    'application/vnd.oci.image.config.v1+json',
    json({
      architecture: 'amd64',
      os: 'linux',
      config: {
        Entrypoint: image.entrypoint,
        Env: image.environment ?? ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'],
      },
      rootfs: { type: 'layers', diff_ids: [layer.digest] },
    }),
  );
  const manifestType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = describe(
    manifestType,
    json({ schemaVersion: 2, mediaType: manifestType, config, layers: [layer] }),
  );
  const annotations = { 'io.containerd.image.name': image.reference };
  const layout: readonly (readonly [string, Buffer])[] = [
    ['oci-layout', json({ imageLayoutVersion: '1.0.0' })],
    ['index.json', json({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] })],
    ...[...blobs].map(([hex, data]) => [`blobs/sha256/${hex}`, data] as const),
  ];
  const archive = renderTar(
    layout.map(([path, body]) => ({
      header: { path, kind: 'file', mode: 0o644, sizeBytes: body.length },
      body,
    })),
  );
  const partial = `${destination}.${process.pid}`;
  await writeFile(partial, archive);
  await rename(partial, destination);
}

const BUSYBOX_APPLETS = [
  'sh',
  'sleep',
  'nc',
  'wget',
  'cat',
  'httpd',
  'ip',
  'ping',
  'nslookup',
  'echo',
  'true',
];

/** The smallest image a pod can run a shell in: Debian's busybox-static and links to its applets. */
export async function writeBusyboxImage(reference: string, destination: string): Promise<void> {
  await writeOciImage(
    {
      reference,
      entrypoint: ['/bin/sh', '-c', 'trap exit TERM; while :; do sleep 3600 & wait; done'],
      entries: [
        { kind: 'directory', path: 'bin/', mode: 0o755 },
        { kind: 'directory', path: 'tmp/', mode: 0o1777 },
        { kind: 'file', path: 'bin/busybox', source: '/bin/busybox', mode: 0o755 },
        ...BUSYBOX_APPLETS.map(
          (applet) => ({ kind: 'link', path: `bin/${applet}`, target: 'busybox' }) as const,
        ),
      ],
    },
    destination,
  );
}
