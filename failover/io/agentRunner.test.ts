/** The end of an agent's session towards the API server: its Lease is the last thing to go. */

import { beforeEach, expect, test, vi } from 'vitest';
import { makeAddress } from '../../policy/address.ts';
import { GATEWAY_LABEL } from '../../policy/names.ts';
import { createLogger } from '../../runtime/logger.ts';
import type { AgentView } from '../core/agent/agentView.ts';
import type { LeaseWriteOutcome } from '../core/agent/leaseSession.ts';
import type { DataPlane } from '../core/dataPlane.ts';
import { soleUplink } from '../core/uplinks.ts';
import { createAgentMetrics } from './agentMetrics.ts';
import { type AgentRunner, startAgentRunner } from './agentRunner.ts';
import type { LeaseHeart } from './leaseHeart.ts';
import type { ToOwnership } from './ownershipProtocol.ts';

const RENEW_MS = 100;

/** A Lease whose writes are answered when the test says so. */
class Lease implements LeaseHeart {
  holding = false;
  version = 0;
  #waiting: (() => void) | undefined;

  async read() {
    return 'absent' as const;
  }

  write({ holding }: { readonly holding: boolean }): Promise<LeaseWriteOutcome> {
    return new Promise((resolve) => {
      this.#waiting = () => {
        this.holding = holding;
        this.version += 1;
        resolve({ kind: 'accepted', version: String(this.version) });
      };
    });
  }

  get asked(): boolean {
    return this.#waiting !== undefined;
  }

  async answer(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
    await vi.advanceTimersByTimeAsync(1);
  }
}

const view: AgentView = {
  node: 'gw-1',
  self: { node: 'gw-1', address: makeAddress(4, 1n), mac: '02:53:00:00:00:01' },
  nodes: new Map([
    [
      'gw-1',
      {
        name: 'gw-1',
        labels: { [GATEWAY_LABEL]: '' },
        addresses: [],
        podCidrs: [],
        unschedulable: false,
        drained: false,
        taints: [],
        ready: true,
      },
    ],
  ]),
  namespaces: new Map(),
  pods: new Map(),
  policies: new Map(),
  egressIps: new Map(),
  gatewayNodes: new Map(),
  serviceCidrs: [],
};

let lease: Lease;
let posted: ToOwnership[];
let runner: AgentRunner;
/** What the kernel was told last. */
let attended: boolean;
let stoodStillMs: number;
const wasPosted = (kind: string): boolean =>
  posted.some((message) => message.kind === 'event' && message.event.kind === kind);

/** A gateway whose session is open, with a renewal of its Lease under way. */
beforeEach(async () => {
  vi.useFakeTimers();
  lease = new Lease();
  posted = [];
  [attended, stoodStillMs] = [false, 0];
  const done = async () => ({ kind: 'ok' }) as const;
  const dataPlane: Pick<DataPlane, 'apply' | 'forget' | 'attend' | 'leave'> = {
    apply: done,
    forget: () => undefined,
    attend: () => {
      attended = true;
      return done();
    },
    leave: () => {
      attended = false;
      return done();
    },
  };
  runner = startAgentRunner({
    node: 'gw-1',
    dataPlane: dataPlane as DataPlane, // The rest of it is for others.
    heart: lease,
    logger: createLogger({ program: 'test', level: 'error' }),
    metrics: createAgentMetrics(),
    observed: {
      interfaces: [],
      onLink: [],
      nextHops: [],
      uplinks: soleUplink('eth0'),
      ownAddresses: [],
      capacity: 1,
      versions: { agent: '', kernel: '', nftables: '' },
      dataPlaneReady: true,
      dataPlaneMessage: '',
    },
    recalled: new Map(),
    renewMs: RENEW_MS,
    report: () => undefined,
    joiner: { look: () => undefined, stop: () => undefined },
    post: (message) => posted.push(message),
    boot: 'b',
    isGateway: () => true,
    monotonicMs: () => Date.now() + stoodStillMs,
  });
  runner.viewed(view);
  runner.heard({ kind: 'flushed', ok: true });
  await vi.advanceTimersByTimeAsync(1);
  await lease.answer();
  expect(wasPosted('opened')).toBe(true);
  await vi.advanceTimersByTimeAsync(RENEW_MS);
  expect(lease.asked).toBe(true);
});

test('a Lease is not closed before everything was handed over, also when a renewal is answered meanwhile', async () => {
  let ended = false;
  const stopped = runner.stop().then(() => {
    ended = true;
  });
  expect(wasPosted('close')).toBe(true);
  await lease.answer();
  // A renewal more may have been sent, a closing not: whoever sees the Lease closed takes the session for dead.
  await lease.answer();
  expect(lease.holding).toBe(true);
  runner.heard({ kind: 'session-closed', session: 1 });
  await lease.answer();
  expect(lease.holding).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  await stopped;
  expect(ended).toBe(true);
});

test('a renewal that is under way when everything was handed over is let through, and then the Lease is closed', async () => {
  const stopped = runner.stop();
  runner.heard({ kind: 'session-closed', session: 1 });
  expect(lease.holding).toBe(true);
  await lease.answer();
  await lease.answer();
  expect(lease.holding).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  await stopped;
});

test('the node is attended to from the first plan in the kernel until the agent is stopped', async () => {
  expect(attended).toBe(true);
  void runner.stop();
  expect(attended).toBe(false);
  await vi.advanceTimersByTimeAsync(3000);
  expect(attended).toBe(false);
});

test('it is not while pods may come unseen', async () => {
  const heardOf = async (): Promise<boolean> => {
    attended = false;
    await vi.advanceTimersByTimeAsync(1500);
    return attended;
  };
  expect(await heardOf()).toBe(true);
  runner.podsUnseen(true);
  expect(await heardOf()).toBe(false);
  runner.podsUnseen(false);
  expect(await heardOf()).toBe(true);
});

test('after it stood still it lets nobody pass before it has heard of who came', async () => {
  attended = false;
  stoodStillMs = 5000;
  await vi.advanceTimersByTimeAsync(900);
  expect(attended).toBe(false);
  await vi.advanceTimersByTimeAsync(1000);
  expect(attended).toBe(true);
});
