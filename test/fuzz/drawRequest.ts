/** What is sent in a case: a valid review with a few changes in its tree, in its text or around it, or bytes of no shape. */
import { POLICY_KINDS } from '../../policy/names.ts';
import type { Draw } from './draw.ts';
import { CONTROLLER, manifest } from './offline.ts';

export type FuzzedRequest =
  | {
      readonly kind: 'http';
      readonly path: string;
      readonly headers: Readonly<Record<string, string>>;
      readonly body: Buffer;
    }
  /** Bytes on the connection, in place of HTTP. */
  | { readonly kind: 'raw'; readonly bytes: Buffer };

const CIDRS = [
  '203.0.113.10/32', '203.0.113.10', '203.0.113.32/30', '203.0.113.11/32', '192.0.2.1/32', '2001:db8:1::10/128',
  '2001:db8:1::20', '010.0.0.0/8', '10.1/16', '203.0.113.10/24', '::ffff:1.2.3.4/128', 'FE80::1/128', '0.0.0.0/0',
  '224.0.0.0/4', '203.0.113.20/33', '203.0.113.20/032', ' 203.0.113.20/32', '203.0.113.20%eth0', '١٠.0.0.1/32', '',
] as const; // biome-ignore format: a corpus is read as a whole
/** Free for the policy `mine`. An update from one to the other takes an address away that is in use. */
const RIGHT_CIDRS = ['203.0.113.10/32', '203.0.113.20/32'] as const;
const KEYS = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'length',
  '',
  'a/b',
  'a~b',
  '~1',
  'spec',
  'cidr',
  'from',
  'to',
  'ippools',
  'ipPools',
  'shared',
  'matchLabels',
  'metadata',
  'deletionTimestamp',
  'apiVersion',
  'kind',
  'uid',
  '0',
  '\u0000',
] as const;
const ATOMS: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -0,
  -1,
  1.5,
  1e308,
  2 ** 53,
  -(2 ** 63),
  '',
  ' ',
  '\u0000',
  '\ud800',
  '😀',
  'null',
  'true',
  '{}',
  [],
  {},
  [[]],
  [null],
  { cidr: null },
  'CREATE',
  'UPDATE',
  'DELETE',
  'CONNECT',
  'EgressPolicy',
  'status',
  'Warning: x',
  '\r\nX-Injected: 1',
  '-5m',
  '168h',
  '1e3s',
  '999999999h',
  'Failover',
  'sallyport.dev/v1alpha1',
  'cilium.io/v2',
];
/** The largest seldom: most cases should be cheap. */
const LONG = [10, 50, 50, 100, 100, 200, 200, 500, 1000, 1000, 5000, 100_000] as const;

/** A header beyond what Node takes. */
export const LONG_HEADER = 'x-long';

/** A review that a change has made so large is changed no more: changes within what is repeated multiply. */
const GROWN_LENGTH = 20_000;

export function drawRequest(draw: Draw): FuzzedRequest {
  if (draw.chance(0.04)) return { kind: 'raw', bytes: drawRawBytes(draw) };
  const review = drawReview(draw);
  const changes = draw.pick([0, 1, 1, 1, 2, 3, 8]);
  let text = JSON.stringify(review);
  for (let change = 0; change < changes && text.length < GROWN_LENGTH; change += 1) {
    changeTree(review, draw);
    const changed = textOf(review);
    if (changed === undefined) break;
    text = changed;
  }
  const body = changeText(Buffer.from(text), draw);
  return { kind: 'http', path: drawPath(draw), headers: drawHeaders(draw), body };
}

/** Undefined: what is repeated within what is repeated has become more than a string can hold. */
function textOf(review: Tree): string | undefined {
  try {
    return JSON.stringify(review);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

interface Tree {
  [key: string]: unknown;
}

function drawReview(draw: Draw): Tree {
  const kind = draw.pick(POLICY_KINDS) ?? 'EgressPolicy';
  const operation = draw.pick(['CREATE', 'CREATE', 'CREATE', 'UPDATE', 'UPDATE', 'DELETE', 'CONNECT']);
  const name = draw.pick(['mine', 'mine', 'theirs']);
  const object = (): Tree =>
    manifest(
      kind,
      name,
      draw.chance(0.4)
        ? [draw.pick(RIGHT_CIDRS)]
        : Array.from({ length: 1 + draw.int(3) }, () => draw.pick(CIDRS)),
    );
  const [group = '', version] = String(object().apiVersion).split('/');
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: `uid-${draw.int(1e6)}`,
      kind: { group, version, kind },
      resource: { group, version, resource: 'egresspolicies' },
      ...(draw.chance(0.1) ? { subResource: 'status' } : {}),
      name,
      operation,
      userInfo: {
        username: draw.pick(['somebody', 'somebody', CONTROLLER]),
        groups: ['system:authenticated'],
      },
      object: operation === 'DELETE' ? null : object(),
      oldObject: operation === 'CREATE' ? null : object(),
      dryRun: draw.chance(0.2),
      options: null,
    },
  };
}

interface Place {
  readonly parent: Tree | unknown[];
  readonly key: string;
}

/** A tree that a change has blown up is not looked through to its end. */
const PLACES_MAX = 5000;

/** Places below a value, the nearer ones first. */
function placesIn(value: unknown): readonly Place[] {
  const places: Place[] = [];
  const queue: unknown[] = [value];
  for (let at = 0; at < queue.length && places.length < PLACES_MAX; at += 1) {
    const parent = queue[at];
    if (typeof parent !== 'object' || parent === null) continue;
    for (const [key, inner] of Object.entries(parent)) {
      places.push({ parent: parent as Place['parent'], key }); // a JSON value that is neither is none of these
      queue.push(inner);
    }
  }
  return places;
}

/** What may be repeated a hundred thousand times. */
const REPEATED_LENGTH_MAX = 100;

function small(value: unknown): unknown {
  return (JSON.stringify(value)?.length ?? 0) > REPEATED_LENGTH_MAX ? {} : value;
}

/** Assignment to `__proto__` would set the prototype. */
function put({ parent, key }: Place, value: unknown): void {
  if (Array.isArray(parent) && !/^\d+$/.test(key)) return;
  Object.defineProperty(parent, key, { value, enumerable: true, writable: true, configurable: true });
}

function changeTree(review: Tree, draw: Draw): void {
  // Most changes are in the object: that is what is judged.
  const object = (review.request as Tree | undefined)?.object;
  const place = draw.pick(placesIn(draw.chance(0.7) && object ? object : review)) ?? {
    parent: review,
    key: 'request',
  };
  const { parent, key } = place;
  const current = copy(Object.hasOwn(parent, key) ? (parent as Tree)[key] : undefined);
  const change = draw.int(10);
  if (change === 0) Reflect.deleteProperty(parent, key);
  else if (change === 1 && !Array.isArray(parent)) put({ parent, key: draw.pick(KEYS) }, current);
  else if (change === 2) put({ parent, key: draw.pick(KEYS) }, copy(draw.pick(ATOMS)));
  else if (change === 3) put(place, draw.pick(CIDRS));
  else if (change === 4) put(place, 'x'.repeat(draw.pick(LONG)));
  else if (change === 5) put(place, nest(current, draw.pick([1, 10, 55, 70, 500])));
  else if (change === 6) put(place, Array(draw.pick([1, 2, 65, 1001])).fill(small(current)));
  else if (change === 7) put(place, manyFields(draw.pick(LONG), small(current)));
  else if (change === 8 && typeof current === 'string') put(place, spliced(current, draw));
  else put(place, copy(draw.pick(ATOMS)));
}

/** What is drawn from a list that cases share, or put in a second place, must not change with it. */
function copy(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}

function manyFields(count: number, value: unknown): Tree {
  return Object.fromEntries(Array.from({ length: count }, (_, at) => [`k${at}`, value]));
}

function nest(value: unknown, levels: number): unknown {
  let nested = value;
  for (let level = 0; level < levels; level += 1) nested = level % 2 === 0 ? [nested] : { a: nested };
  return nested;
}

function spliced(text: string, draw: Draw): string {
  const at = draw.int(text.length + 1);
  const inserted = draw.pick(['0', ' ', '\t', '/', '.', ':', '-', '\u0000', 'é', '٣', '%', '\u202e', text]);
  return text.slice(0, at) + inserted + text.slice(at + draw.int(3));
}

function changeText(body: Buffer, draw: Draw): Buffer {
  const at = draw.int(body.length + 1);
  switch (draw.int(24)) {
    case 0:
      return body.subarray(0, at);
    case 1:
      return Buffer.concat([body.subarray(0, at), draw.bytes(1 + draw.int(8)), body.subarray(at)]);
    case 2:
      return Buffer.concat([body.subarray(0, at), draw.bytes(1), body.subarray(at + 1)]);
    case 3:
      return Buffer.concat([body, body.subarray(at)]);
    case 4:
      return draw.bytes(draw.int(200));
    case 5:
      return draw.pick([
        Buffer.from(body.toString(), 'utf16le'),
        Buffer.concat([Buffer.from('\ufeff'), body]),
      ]);
    case 6:
      return Buffer.from(
        body.toString().replace(/"uid":/, () => draw.pick(['"uid":"x","uid":', '"uid" :', '"u\\u0069d":'])),
      );
    case 7:
      return Buffer.from(
        body
          .toString()
          .replace(
            '"metadata":',
            () => `"deep":${'[{"a":'.repeat(draw.pick([30, 100, 100, 100, 2000, 100_000]))},"metadata":`,
          ),
      );
    default:
      return body;
  }
}

function drawPath(draw: Draw): string {
  const path = draw.pick(['/validate', '/validate', '/mutate']);
  return (
    path +
    draw.pick([
      '',
      '?timeout=10s',
      '?timeout=5s',
      '?timeout=1h',
      '?timeout=%00',
      '?timeout=1s&timeout=2s',
      '?%',
    ])
  );
}

function drawHeaders(draw: Draw): Readonly<Record<string, string>> {
  if (draw.chance(0.97)) return {};
  return draw.pick([
    { 'content-type': 'text/plain' },
    { 'content-type': 'application/json; charset=latin1' },
    { 'content-type': '' },
    { 'content-encoding': 'gzip' },
    { 'content-encoding': 'br, gzip' },
    { [LONG_HEADER]: 'x'.repeat(20_000) },
    { expect: '100-continue' },
  ]);
}

function drawRawBytes(draw: Draw): Buffer {
  const length = draw.pick(['5', '0', '-1', '99999999999999999999', '5, 5', '0x5', '8388609']);
  const lines = [
    draw.pick([
      'POST /validate?timeout=50ms HTTP/1.1',
      'GET /readyz HTTP/1.0',
      'POST * HTTP/1.1',
      'X',
      '\u0000',
    ]),
    'Host: a',
    'Content-Type: application/json',
    draw.pick([
      `Content-Length: ${length}`,
      'Transfer-Encoding: chunked',
      'Transfer-Encoding: x',
      'Connection: upgrade',
    ]),
    draw.pick(['', 'Content-Length: 3', `A: ${'b'.repeat(20_000)}`, 'A\u0000: b']),
  ];
  const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`);
  const tail = draw.pick([
    Buffer.from('{"a":'),
    Buffer.from('5\r\nhello\r\nzz\r\n'),
    draw.bytes(64),
    Buffer.alloc(0),
  ]);
  return draw.chance(0.2) ? draw.bytes(1 + draw.int(400)) : Buffer.concat([head, tail]);
}
