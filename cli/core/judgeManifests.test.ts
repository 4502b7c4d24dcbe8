/** What a row of manifests does that one alone does not; what a single one is told is test/unit/cliWebhook's. */
import { expect, test } from 'vitest';
import { stringify } from 'yaml';
import { UNKNOWN_FACTS } from '../../policy/facts.ts';
import { DEFAULT_RULE_SETTINGS } from '../../policy/rules.ts';
import { CLUSTER, FIRST, manifest, policy } from '../../test/unit/admission/exampleCluster.ts';
import { collectManifests } from './collectManifests.ts';
import { judgeManifests } from './judgeManifests.ts';
import { readDocuments } from './sourceDocument.ts';

/** As people write them: without what the API server fills in. */
function judge(manifests: readonly ReturnType<typeof manifest>[], facts = CLUSTER) {
  const written = manifests.map(({ metadata: { uid: _uid, ...metadata }, ...rest }) => ({
    ...rest,
    metadata,
  }));
  const read = readDocuments(written.map((it) => stringify(it, { version: '1.1' })).join('---\n'));
  if (read.kind === 'refused') throw new Error(JSON.stringify(read.error));
  const { manifests: collected } = collectManifests([{ name: 'f', documents: read.value }]);
  return judgeManifests(collected, facts, DEFAULT_RULE_SETTINGS).map(({ findings }) =>
    findings.filter(({ verdict }) => verdict === 'deny').map(({ code }) => code),
  );
}

const first = (...ippools: readonly object[]) =>
  manifest({ ...FIRST, spec: { ...FIRST.spec, egressGateway: { ippools } } });
const POOL = { cidr: '203.0.113.64/28' };
const SHARED = { cidr: '203.0.113.200/32', shared: true };

test('the second update of a policy is still an update of the one that the cluster serves', () => {
  expect(judge([first(POOL, SHARED, { cidr: '203.0.113.33/32' }), first(SHARED)])).toEqual([
    [],
    ['pool-in-use'],
  ]);
});

test('what an update gives up is free for the next, and what it takes is not', () => {
  const other = (cidr: string) =>
    manifest({
      name: 'other',
      spec: {
        selectors: [{ matchLabels: { app: 'other' } }],
        egressGateway: { ippools: [{ cidr }] },
      },
    });
  expect(judge([other('203.0.113.200/32')])).toEqual([['pool-overlap']]);
  expect(judge([first(POOL), other('203.0.113.200/32')])).toEqual([[], []]);
  expect(judge([first(POOL, { cidr: '203.0.113.33/32' }), other('203.0.113.33/32')])).toEqual([
    [],
    ['pool-overlap'],
  ]);
});

test('without facts the manifests are held against each other', () => {
  const another = manifest({ name: 'another', spec: { selectors: [{ matchLabels: { app: 'another' } }] } });
  expect(judge([manifest(), another], UNKNOWN_FACTS)).toEqual([[], ['pool-overlap']]);
});

test('the facts that were given are not changed by it', () => {
  const policies = [policy(FIRST)];
  judge([first(SHARED), first({ cidr: '203.0.113.33/32' })], { ...CLUSTER, policies });
  expect(policies).toEqual([policy(FIRST)]);
});
