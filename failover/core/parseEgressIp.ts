/** Reads an EgressIP object. One that does not parse is as if it were not there: nobody may act on half of a right. */
import { egressIpName, parseAddress } from '../../policy/address.ts';
import { FieldReader } from '../../policy/fieldReader.ts';
import type { Violation } from '../../policy/model.ts';
import { POLICY_KINDS } from '../../policy/names.ts';
import type { EgressIp, PolicyOwner, PortBlock, RestingBlock, SessionRef } from './egressIp.ts';

/** Granules of 64 in the ports from 1024 on: more blocks than that cannot be. */
const BLOCKS_MAX = 1008;
/** Sessions in an order or a fence: every gateway once, with room for lives that are not proven dead yet. */
const SESSIONS_MAX = 4096;
const OWNERS_MAX = 4096;
const PORT_MAX = 65_535;

export function parseEgressIp(raw: unknown): EgressIp | undefined {
  const problems: Violation[] = [];
  const object = new FieldReader(raw, '', problems);
  const metadata = object.child('metadata');
  const spec = object.child('spec');
  const address = parseAddress(spec.requiredText('address') ?? '');
  const name = metadata.requiredText('name') ?? '';
  const home = spec.optionalText('home');
  const parsed = {
    name,
    uid: metadata.optionalText('uid') ?? '',
    resourceVersion: metadata.optionalText('resourceVersion') ?? '',
    policies: spec.list('policies', { min: 0, max: OWNERS_MAX }).flatMap(parseOwner),
    epoch: countable(spec, 'epoch'),
    order: parseSessions(spec, 'order'),
    fence: parseSessions(spec, 'fence'),
    ...(home === undefined ? {} : { home }),
    blocksVersion: countable(spec, 'blocksVersion'),
    blocks: spec.list('blocks', { min: 0, max: BLOCKS_MAX }).map(parseBlock),
    resting: spec.list('resting', { min: 0, max: BLOCKS_MAX }).map(parseResting),
  };
  if (problems.length > 0 || address.kind === 'refused') return undefined;
  // Another name would let two objects speak for one address.
  if (name !== egressIpName(address.value)) return undefined;
  return { ...parsed, address: address.value };
}

function parseOwner(owner: FieldReader): readonly PolicyOwner[] {
  const text = owner.requiredText('kind');
  const kind = POLICY_KINDS.find((it) => it === text);
  const [name, uid] = [owner.requiredText('name') ?? '', owner.requiredText('uid') ?? ''];
  return kind === undefined
    ? owner.refuse('schema', `${text} is no policy kind`, 'kind')
    : [{ kind, name, uid }];
}

function parseSessions(spec: FieldReader, field: string): readonly SessionRef[] {
  return spec
    .list(field, { min: 0, max: SESSIONS_MAX })
    .map((it) => ({ gateway: it.requiredText('gateway') ?? '', session: natural(it, 'session') }));
}

function parsePorts(block: FieldReader): { readonly first: number; readonly last: number } {
  const [first, last] = [natural(block, 'first'), natural(block, 'last')];
  if (first > last || last > PORT_MAX) block.refuse('schema', `${first}-${last} is no range of ports`);
  return { first, last };
}

function parseBlock(block: FieldReader): PortBlock {
  return { node: block.requiredText('node') ?? '', ...parsePorts(block), version: natural(block, 'version') };
}

function parseResting(block: FieldReader): RestingBlock {
  return { ...parsePorts(block), untilMs: block.timeMs('until') };
}

/** A number that another one comes after. */
function countable(reader: FieldReader, field: string): number {
  const value = natural(reader, field);
  if (value >= Number.MAX_SAFE_INTEGER)
    reader.refuse('schema', `${field} is ${value}; there is no next one`, field);
  return value;
}

function natural(reader: FieldReader, field: string): number {
  const value = reader.optionalInteger(field) ?? 0;
  if (value < 0) reader.refuse('schema', `${field} is ${value}; it may not be negative`, field);
  return value;
}
