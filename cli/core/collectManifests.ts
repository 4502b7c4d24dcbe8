/**
 * Finds the policies among the documents of files: of both kinds, alone or in Lists. What is of another kind is counted
 * and left alone, except what plainly means one of ours and could not be applied.
 */
import { FieldReader } from '../../policy/fieldReader.ts';
import type { Violation } from '../../policy/model.ts';
import {
  CILIUM_EGRESS_GATEWAY_POLICY,
  CILIUM_GROUP,
  CILIUM_POLICY_V2,
  EGRESS_POLICY,
  POLICY_KINDS,
  type PolicyKind,
  SALLYPORT_GROUP,
  type ServedKind,
} from '../../policy/names.ts';
import type { Place, SourceDocument } from './sourceDocument.ts';

export interface SourceFile {
  /** As the person named it, or as it was found in a folder. */
  readonly name: string;
  readonly documents: readonly SourceDocument[];
}

export interface Manifest {
  readonly file: string;
  /** In its file, from 1. */
  readonly document: number;
  /** Of Cilium's own version of the kind only what concerns ours is judged. */
  readonly judgedAs: PolicyKind | typeof CILIUM_POLICY_V2;
  /** Empty where the object has none; with a number where the API server is to complete it. */
  readonly name: string;
  readonly raw: unknown;
  /** What is wrong with it as an object, before anybody looks into `spec`. */
  readonly problems: readonly Violation[];
  /** Of a field path that begins at the object. */
  locate(path: string): Place;
}

export interface Collected {
  readonly manifests: readonly Manifest[];
  readonly documents: number;
  /** Objects of other kinds. */
  readonly ignored: number;
}

/** Lists in Lists beyond this are nobody's policies. */
const DEPTH_MAX = 4;
const CILIUM_V2 = `${CILIUM_GROUP}/v2`;
const SERVED: Readonly<Record<PolicyKind, ServedKind>> = {
  CiliumEgressGatewayPolicy: CILIUM_EGRESS_GATEWAY_POLICY,
  EgressPolicy: EGRESS_POLICY,
};

export function collectManifests(files: readonly SourceFile[]): Collected {
  const manifests: Manifest[] = [];
  let ignored = 0;
  for (const { name, documents } of files) {
    for (const document of documents) {
      for (const item of itemsOf({ raw: document.value, path: '' }, undefined, DEPTH_MAX)) {
        const manifest = readManifest(item, name, document);
        if (manifest === undefined) ignored += 1;
        else
          manifests.push(manifest.name.endsWith('?') ? numbered(manifest, manifests.length + 1) : manifest);
      }
    }
  }
  const documents = files.reduce((sum, file) => sum + file.documents.length, 0);
  return { manifests, documents, ignored };
}

interface Item {
  readonly raw: unknown;
  /** Within its document: '' or `items[3]`. */
  readonly path: string;
  /** What a typed List says its items are, for those that do not say it themselves. */
  readonly implied?: { readonly apiVersion: string; readonly kind: string };
}

/** The object itself, or what the List holds. */
function itemsOf(item: Item, implied: Item['implied'], depth: number): readonly Item[] {
  const object = new FieldReader(item.raw, '', []);
  const kind = object.optionalText('kind') ?? '';
  const items = asList(item.raw, 'items');
  if (!kind.endsWith('List') || items === undefined || depth === 0)
    return [implied === undefined ? item : { ...item, implied }];
  const apiVersion = object.optionalText('apiVersion') ?? '';
  const inner = kind === 'List' ? undefined : { apiVersion, kind: kind.slice(0, -'List'.length) };
  const prefix = item.path === '' ? 'items' : `${item.path}.items`;
  return items.flatMap((raw, index) => itemsOf({ raw, path: `${prefix}[${index}]` }, inner, depth - 1));
}

function asList(raw: unknown, field: string): readonly unknown[] | undefined {
  if (typeof raw !== 'object' || raw === null || !Object.hasOwn(raw, field)) return undefined;
  const value = (raw as Readonly<Record<string, unknown>>)[field];
  return Array.isArray(value) ? value : undefined;
}

function readManifest(item: Item, file: string, document: SourceDocument): Manifest | undefined {
  const object = new FieldReader(item.raw, '', []);
  const kindText = object.optionalText('kind') ?? item.implied?.kind;
  const apiVersion = object.optionalText('apiVersion') ?? item.implied?.apiVersion ?? '';
  const kind = POLICY_KINDS.find((known) => known === kindText);
  if (kind === undefined) return undefined;
  const [group = ''] = apiVersion.split('/');
  const served = `${SERVED[kind].group}/${SERVED[kind].version}`;
  const isOurs = apiVersion === served;
  // Other projects have kinds of these names too.
  const isMeant =
    kind === 'EgressPolicy' ? group === CILIUM_GROUP || group === SALLYPORT_GROUP : group === SALLYPORT_GROUP;
  const isCiliums = kind === 'CiliumEgressGatewayPolicy' && apiVersion === CILIUM_V2;
  if (!isOurs && !isMeant && !isCiliums) return undefined;
  const metadata = object.child('metadata');
  const prefix = item.path === '' ? '' : `${item.path}.`;
  return {
    file,
    document: document.number,
    judgedAs: isCiliums ? CILIUM_POLICY_V2 : kind,
    name: metadata.optionalText('name') ?? generatedName(metadata),
    raw: item.raw,
    problems: [
      ...(isOurs || isCiliums
        ? []
        : [deny('apiVersion', `${kind} is not served as ${apiVersion}; write ${served}`)]),
      ...(metadata.has('name') || metadata.has('generateName')
        ? []
        : [deny('metadata.name', 'the policy has no name; give it one')]),
    ],
    locate: (path) => document.locate(`${prefix}${path}`),
  };
}

/** A generated name is not known yet; the question mark is in no name that is. */
function generatedName(metadata: FieldReader): string {
  const prefix = metadata.optionalText('generateName');
  return prefix === undefined ? '' : `${prefix}?`;
}

function numbered(manifest: Manifest, number: number): Manifest {
  return { ...manifest, name: `${manifest.name}${number}` };
}

function deny(path: string, message: string): Violation {
  return { code: 'schema', verdict: 'deny', path, message };
}
