/**
 * The same policies through a real API server with the CRD alone, through the webhook alone, and through both: the
 * schema refuses nothing that the webhook takes, the webhook sees all that the schema sees, and a person who asks both is
 * told the webhook's sentences.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { createRestClient } from '../../kube/restClient.ts';
import {
  CILIUM_EGRESS_GATEWAY_POLICY,
  collectionPath,
  EGRESS_POLICY,
  GATEWAY_NODE,
} from '../../policy/names.ts';
import { DEFINITIONS, renderCrd } from '../../policy/schema/crds.ts';
import { waitUntil } from '../cluster/waitUntil.ts';
import { egressPolicy } from '../lab/egressPolicy.ts';
import { CORPUS, type CorpusCase, TAKEN } from './admissionCorpus.ts';
import { type ApiServer, startApiServer } from './apiServer.ts';
import {
  createConfigurations,
  createGateway,
  must,
  startWebhookProgram,
  type WebhookProgram,
  waitUntilInForce,
} from './webhookProgram.ts';

const DEFINITIONS_PATH = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
/** The schema's costs are guesses of the API server that may change with its version: keep this much of them unused. */
const HEADROOM = 2;

let api: ApiServer;
let client: KubeClient;
let program: WebhookProgram | undefined;

/** What was said of one policy: `undefined` is consent. */
interface Verdicts {
  readonly schema: string | undefined;
  readonly webhook: string | undefined;
  readonly both: string | undefined;
}
const verdicts = new Map<string, Verdicts>();

const collectionOf = (object: object): string =>
  collectionPath(
    JSON.stringify(object).includes('"cilium.io/') ? CILIUM_EGRESS_GATEWAY_POLICY : EGRESS_POLICY,
  );

/** As kubectl asks: unknown fields are errors. Nothing is stored. */
async function refusalOf(object: object): Promise<string | undefined> {
  const outcome = await client.create(`${collectionOf(object)}?dryRun=All&fieldValidation=Strict`, object);
  return outcome.kind === 'ok' ? undefined : `${outcome.error.status}: ${outcome.error.message}`;
}

interface ReviewAnswer {
  readonly response: { readonly allowed: boolean; readonly status?: { readonly message: string } };
}

/** Past the API server, so that nothing was pruned, defaulted or refused before. */
async function webhookRefusalOf({ object }: CorpusCase): Promise<string | undefined> {
  if (program === undefined) throw new Error('the webhook is not running');
  const { apiVersion, kind } = object as { readonly apiVersion: string; readonly kind: string };
  const [group, version] = apiVersion.split('/');
  const request = { uid: 'u', kind: { group, version, kind }, operation: 'CREATE', name: 'case', object };
  const review = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request };
  const { status, body } = await program.ask('validate', review);
  if (status !== 200) throw new Error(`${status}: ${JSON.stringify(body)}`);
  const { response } = body as ReviewAnswer;
  return response.allowed ? undefined : (response.status?.message ?? '');
}

beforeAll(async () => {
  api = await startApiServer({ onProgress: (line) => console.log(line) });
  client = createRestClient(api.access, { deadlineMs: 30_000 });
  for (const definition of DEFINITIONS) must(await client.create(DEFINITIONS_PATH, renderCrd(definition)));
  for (const kind of [CILIUM_EGRESS_GATEWAY_POLICY, EGRESS_POLICY, GATEWAY_NODE])
    await waitUntil(
      kind.plural,
      async () => (await client.get(collectionPath(kind))).kind === 'ok' || undefined,
    );
  await createGateway(client);
  must(await client.create(collectionPath(EGRESS_POLICY), TAKEN));

  const alone = new Map<string, string | undefined>();
  for (const { name, object } of CORPUS) alone.set(name, await refusalOf(object));
  program = await startWebhookProgram(api, 'webhook-0');
  await createConfigurations(client, program.port);
  await waitUntilInForce(client);
  for (const it of CORPUS) {
    const [webhook, both] = [await webhookRefusalOf(it), await refusalOf(it.object)];
    verdicts.set(it.name, { schema: alone.get(it.name), webhook, both });
  }
}, 1_800_000);

afterAll(async () => {
  await program?.stop();
  await client?.close();
  await api?.stop();
});

function verdictsOf({ name }: CorpusCase): Verdicts {
  const found = verdicts.get(name);
  if (found === undefined) throw new Error(`${name} was not judged`);
  return found;
}

describe('a policy', () => {
  test('has one name in the corpus, and there are many of each sort', () => {
    expect(new Set(CORPUS.map(({ name }) => name)).size).toBe(CORPUS.length);
    const count = (by: CorpusCase['by']): number => CORPUS.filter((it) => it.by === by).length;
    expect(count('schema')).toBeGreaterThan(150);
    expect(count('webhook')).toBeGreaterThan(15);
    expect(count('nobody')).toBeGreaterThan(30);
  });

  test.each(CORPUS.filter(({ by }) => by === 'nobody'))('is taken by each layer: $name', (it) => {
    expect(verdictsOf(it)).toEqual({ schema: undefined, webhook: undefined, both: undefined });
  });

  test.each(CORPUS.filter(({ by }) => by === 'schema'))('is refused by each layer: $name', (it) => {
    const { schema, webhook, both } = verdictsOf(it);
    expect(schema).toMatch(/^4(?:22|00): /);
    expect(webhook).toContain(`(${it.code})`);
    // What does not fit the schema's types or names is refused while it is read, before anybody is asked.
    const unread = both?.startsWith('400: ') || it.code === 'schema' || it.code === 'limits';
    if (!unread) expect(both).toContain(`(${it.code})`);
    expect(both).toBeDefined();
  });

  test.each(CORPUS.filter(({ by }) => by === 'webhook'))('is refused by the webhook alone: $name', (it) => {
    const { schema, webhook, both } = verdictsOf(it);
    expect(schema).toBeUndefined();
    expect(webhook).toContain(`(${it.code})`);
    expect(both).toContain(`(${it.code})`);
  });

  test.each(CORPUS.filter(({ by }) => by === 'completed'))(
    'is completed by the mutating webhook: $name',
    (it) => {
      const { schema, webhook, both } = verdictsOf(it);
      expect(schema).toMatch(/^422: /);
      expect(webhook).toContain('(cidr-syntax)');
      expect(both).toBeUndefined();
    },
  );
});

test('what the schema says ends with what would be accepted', async () => {
  const said = CORPUS.filter(({ by }) => by === 'schema').flatMap((it) => verdictsOf(it).schema ?? []);
  const ownSentences = said.filter((text) =>
    /canonical|host bits|is no prefix|overlap|special use|comes after|more than/.test(text),
  );
  expect(ownSentences.length).toBeGreaterThan(100);
  for (const text of ownSentences) expect(text).toMatch(/write|use |list each|exchange|must be|must have/);
});

type Schema = { maxItems?: number; properties?: Record<string, Schema>; items?: Schema };

test('the API server would still take the CRD if every limit were twice as high', async () => {
  for (const definition of DEFINITIONS.filter(({ spec }) => spec !== undefined)) {
    const crd = parse(JSON.stringify(renderCrd(definition)));
    const raise = (schema: Schema): void => {
      if (schema.maxItems !== undefined) schema.maxItems *= HEADROOM;
      if (schema.items !== undefined) raise(schema.items);
      for (const child of Object.values(schema.properties ?? {})) raise(child);
    };
    raise(crd.spec.versions[0].schema.openAPIV3Schema);
    // Of another group, so that it can be created beside the one that is there; a dry run all the same.
    crd.spec.group = `copy.${crd.spec.group}`;
    crd.metadata.name = `${crd.spec.names.plural}.${crd.spec.group}`;
    const outcome = await client.create(`${DEFINITIONS_PATH}?dryRun=All`, crd);
    expect(outcome).toMatchObject({ kind: 'ok' });
  }
});

test('the largest policy that the limits allow is within the costs of one object', async () => {
  const word = (value: number): string => value.toString(16);
  const ippools = Array.from({ length: 64 }, (_, i) => ({
    from: `2001:db8:1:0:1111:2222:${word(0x3000 + i)}:1001`,
    to: `2001:db8:1:0:1111:2222:${word(0x3000 + i)}:1004`,
  }));
  const prefixes = (group: string) =>
    Array.from({ length: 1000 }, (_, i) => `2001:db8:aaaa:bbbb:${group}:1111:2222:${word(0x1000 + i)}/128`);
  const selector = {
    matchLabels: Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`example.com/key-${i}`, 'value'])),
    matchExpressions: Array.from({ length: 64 }, (_, i) => ({
      key: `example.com/e-${i}`,
      operator: 'In',
      values: ['a', 'b'],
    })),
  };
  const selectors = Array.from({ length: 64 }, () => ({
    podSelector: selector,
    namespaceSelector: selector,
  }));
  const largest = egressPolicy('largest', ippools, {
    selectors,
    destinationCIDRs: prefixes('cccc'),
    excludedCIDRs: prefixes('dddd'),
  });
  expect(await refusalOf(largest)).toBeUndefined();
});
