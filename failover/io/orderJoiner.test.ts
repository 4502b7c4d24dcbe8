import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { KubeOutcome } from '../../kube/kubeClient.ts';
import { makeAddress } from '../../policy/address.ts';
import { createLogger } from '../../runtime/logger.ts';
import type { EgressIp } from '../core/egressIp.ts';
import { createOrderJoiner, type OrderJoiner } from './orderJoiner.ts';

const IP: EgressIp = {
  name: '203.0.113.10',
  uid: 'u',
  resourceVersion: '7',
  address: makeAddress(4, 0xcb00710an),
  policies: [],
  epoch: 3,
  order: [{ gateway: 'gw-1', session: 4 }],
  fence: [],
  blocksVersion: 0,
  blocks: [],
  resting: [],
};
const SELF = { gateway: 'gw-1', session: 5 };
const viewOf = (it: EgressIp) => ({ egressIps: new Map([[it.name, it]]), gatewayNodes: new Map() });
const atVersion = (value: string) => ({ op: 'replace', path: '/metadata/resourceVersion', value });

let written: { readonly path: string; readonly patch: unknown }[];
let outcome: KubeOutcome<unknown>;
let joiner: OrderJoiner;

beforeEach(() => {
  vi.useFakeTimers();
  written = [];
  outcome = { kind: 'ok', value: {} };
  joiner = createOrderJoiner({
    client: {
      async jsonPatch(path, patch) {
        written.push({ path, patch });
        return outcome;
      },
    },
    logger: createLogger({ program: 'test', level: 'error' }),
    monotonicMs: () => performance.now(),
  });
});
afterEach(() => {
  joiner.stop();
  vi.useRealTimers();
});

test('after a second without a controller the own session stands at the end, by compare-and-swap', async () => {
  joiner.look(viewOf(IP), SELF);
  await vi.advanceTimersByTimeAsync(900);
  expect(written).toEqual([]);
  await vi.advanceTimersByTimeAsync(200);
  expect(written).toEqual([
    {
      path: '/apis/sallyport.dev/v1alpha1/egressips/203.0.113.10',
      patch: [atVersion('7'), { op: 'add', path: '/spec/order/-', value: SELF }],
    },
  ]);
});

test('a conflict is tried again later, on what the watch has brought', async () => {
  outcome = { kind: 'refused', error: { code: 'conflict', transient: true, message: 'too late' } };
  joiner.look(viewOf(IP), SELF);
  await vi.advanceTimersByTimeAsync(1100);
  joiner.look(viewOf({ ...IP, resourceVersion: '8' }), SELF);
  await vi.advanceTimersByTimeAsync(1100);
  const versions = [atVersion('7'), atVersion('8')];
  expect(written.map(({ patch }) => patch)).toMatchObject(versions.map((it) => [it, {}]));
});

test('an agent that hands over names itself nowhere', async () => {
  joiner.look(viewOf(IP), SELF);
  joiner.stop();
  await vi.advanceTimersByTimeAsync(5000);
  joiner.look(viewOf(IP), undefined);
  await vi.advanceTimersByTimeAsync(5000);
  expect(written).toEqual([]);
});
