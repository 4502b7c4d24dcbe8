/**
 * Reads addresses that load balancers give out from the kinds that have them. These are other people's kinds with looser
 * syntax than ours: host bits, capitals and ranges `a-b` are read as their owners read them; what cannot be is left out.
 */
import ipaddr from 'ipaddr.js';
import { makeAddress, parseAddress } from './address.ts';
import { cidrRange, parseCidr } from './cidr.ts';
import type { LoadBalancerRange } from './facts.ts';
import { FieldReader } from './fieldReader.ts';
import type { AddressRange } from './model.ts';

/** Far more than people write; keeps a broken object from filling memory. */
const LIST_MAX = 4096;

/** metallb.io/v1beta1 IPAddressPool: `spec.addresses`, prefixes or `from-to`. */
export function parseIpAddressPool(raw: unknown): readonly LoadBalancerRange[] {
  const { owner, spec } = open(raw, 'IPAddressPool');
  return texts(spec, 'addresses').flatMap((text) => ranged(owner, text, parseLooseRange(text)));
}

/** cilium.io CiliumLoadBalancerIPPool: `spec.blocks` of `cidr` or `start` and `stop`; `spec.cidrs` before 1.15. */
export function parseCiliumLoadBalancerIpPool(raw: unknown): readonly LoadBalancerRange[] {
  const { owner, spec } = open(raw, 'CiliumLoadBalancerIPPool');
  return ['blocks', 'cidrs'].flatMap((field) =>
    spec.list(field, { min: 0, max: LIST_MAX }).flatMap((block) => {
      const [cidr, start] = [block.optionalText('cidr'), block.optionalText('start')];
      const text = cidr ?? (start === undefined ? '' : `${start}-${block.optionalText('stop') ?? start}`);
      return ranged(owner, text, parseLooseRange(text));
    }),
  );
}

/** A Service's own: what it was given, and what it asks for by hand. */
export function parseServiceAddresses(raw: unknown): readonly LoadBalancerRange[] {
  const { owner, spec, status } = open(raw, 'Service');
  if (spec.optionalText('type') !== 'LoadBalancer') return [];
  const given = status
    .child('loadBalancer')
    .list('ingress', { min: 0, max: LIST_MAX })
    .flatMap((it) => it.optionalText('ip') ?? []);
  const asked = spec.optionalText('loadBalancerIP');
  const all = new Set([...given, ...(asked === undefined ? [] : [asked]), ...texts(spec, 'externalIPs')]);
  return [...all].flatMap((text) => ranged(owner, text, parseLooseRange(text)));
}

function open(raw: unknown, kind: string) {
  const object = new FieldReader(raw, '', []);
  const metadata = object.child('metadata');
  const namespace = metadata.optionalText('namespace');
  const name = metadata.optionalText('name') ?? '';
  const owner = `${kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`;
  return { owner, spec: object.child('spec'), status: object.child('status') };
}

function texts(reader: FieldReader, field: string): readonly string[] {
  return reader.list(field, { min: 0, max: LIST_MAX }).flatMap((it) => it.text() ?? []);
}

function ranged(owner: string, text: string, range: AddressRange | undefined): readonly LoadBalancerRange[] {
  return range === undefined ? [] : [{ owner, text, range }];
}

function parseLooseRange(text: string): AddressRange | undefined {
  const strict = parseCidr(text);
  if (strict.kind === 'ok') return cidrRange(strict.value);
  const dash = text.split('-');
  if (dash.length === 2) {
    const [from, to] = dash.map((part) => parseLooseAddress(part.trim()));
    if (from === undefined || to === undefined || from.family !== to.family || from.value > to.value)
      return undefined;
    return { family: from.family, first: from.value, last: to.value };
  }
  const [addressText = '', prefixText] = text.trim().split('/');
  const address = parseLooseAddress(addressText);
  if (address === undefined) return undefined;
  const bits = address.family === 4 ? 32 : 128;
  const prefix = prefixText === undefined ? bits : Number(prefixText);
  if (!Number.isInteger(prefix) || prefix < 0 || prefix > bits) return undefined;
  const hostMask = (1n << BigInt(bits - prefix)) - 1n;
  return { family: address.family, first: address.value & ~hostMask, last: address.value | hostMask };
}

/** Capitals and full forms of IPv6 too. IPv4 has no other form that its owners' parsers (Go's netip) read. */
function parseLooseAddress(text: string): ReturnType<typeof makeAddress> | undefined {
  const strict = parseAddress(text);
  if (strict.kind === 'ok') return strict.value;
  if (!text.includes(':') || text.includes('%') || !ipaddr.IPv6.isValid(text)) return undefined;
  const bytes = ipaddr.IPv6.parse(text).toByteArray();
  return makeAddress(
    6,
    bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n),
  );
}
