import { describe, expect, test } from 'vitest';
import { formatAddress, makeAddress } from '../../../policy/address.ts';
import { makeCidr } from '../../../policy/cidr.ts';
import type { Policy } from '../../../policy/model.ts';
import type { EgressIp, SessionRef } from '../egressIp.ts';
import type { AddressStatement, GatewayNode } from '../gatewayNode.ts';
import {
  type AgentEffect,
  type AgentEvent,
  type AgentState,
  initialAgent,
  readyToClose,
  stepAgent,
} from './agentCore.ts';
import type { AgentView, LocalPod } from './agentView.ts';
import type { ObservedNode } from './reportNode.ts';
import { initialSession, type SessionState } from './session.ts';

const EGRESS = makeAddress(4, 0xcb00710an); // 203.0.113.10
const NAME = formatAddress(EGRESS);
const SELF: SessionRef = { gateway: 'gw-1', session: 5 };
const OTHER: SessionRef = { gateway: 'gw-2', session: 3 };

const policy: Policy = {
  ref: { kind: 'EgressPolicy', name: 'p', uid: 'uid-p', createdAtMs: 1 },
  generation: 1,
  deleting: false,
  selectors: [{ pods: { requirements: [{ key: 'app', operator: 'In', values: ['my-app'] }] } }],
  destinations: [makeCidr(4, 0n, 0)],
  excluded: [],
  pools: [
    { range: { family: 4, first: EGRESS.value, last: EGRESS.value }, shared: false, text: NAME, path: '' },
  ],
  strategy: 'Distribute',
  affinity: 'Pod',
  failureMode: 'Closed',
  returnPolicy: 'Stay',
  returnAfterMs: 0,
};

function egressIp(change: Partial<EgressIp> = {}): EgressIp {
  return {
    name: NAME,
    uid: 'uid-eip',
    resourceVersion: '1',
    address: EGRESS,
    policies: [{ kind: 'EgressPolicy', name: 'p', uid: 'uid-p' }],
    epoch: 4,
    order: [SELF, OTHER],
    fence: [],
    blocksVersion: 2,
    blocks: [
      { node: 'gw-1', first: 1024, last: 1535, version: 1 },
      { node: 'gw-1', first: 1536, last: 2047, version: 2 },
    ],
    resting: [],
    ...change,
  };
}

function gateway(name: string, session: number, statement?: Partial<AddressStatement>): GatewayNode {
  const address = makeAddress(4, name === 'gw-1' ? 0xcb00710bn : 0xcb00710cn);
  return {
    name,
    uid: name,
    resourceVersion: '1',
    session,
    underlay: { address, interfaceName: 'eth0', tunnelMac: '02:53:cb:00:71:0c' },
    interfaces: [],
    onLink: [],
    nextHops: [],
    capacity: 256,
    dataPlaneReady: true,
    dataPlaneMessage: '',
    addresses:
      statement === undefined
        ? []
        : [{ address: EGRESS, state: 'Standby', epoch: 4, session, blocksVersion: 2, ...statement }],
    demand: [],
    selected: [],
    versions: { agent: '', kernel: '', nftables: '' },
  };
}

const pod: LocalPod = {
  namespace: 'default',
  name: 'my-app-1',
  labels: { app: 'my-app' },
  addresses: [makeAddress(4, 0x0af40105n)],
};

function view(change: Partial<AgentView> = {}): AgentView {
  return {
    node: 'gw-1',
    self: { node: 'gw-1', address: makeAddress(4, 0xcb00710bn), mac: '02:53:cb:00:71:0b' },
    uplink: 'eth0',
    nodes: new Map(),
    namespaces: new Map(),
    pods: new Map([['default/my-app-1', pod]]),
    policies: new Map([['uid-p', policy]]),
    egressIps: new Map([[NAME, egressIp()]]),
    gatewayNodes: new Map([['gw-2', gateway('gw-2', 3, {})]]),
    serviceCidrs: [],
    ...change,
  };
}

function withIp(change: Partial<EgressIp>, other: GatewayNode = gateway('gw-2', 3, {})): AgentEvent {
  return {
    kind: 'viewed',
    view: view({ egressIps: new Map([[NAME, egressIp(change)]]), gatewayNodes: new Map([['gw-2', other]]) }),
  };
}

const observed: ObservedNode = {
  interfaces: [],
  onLink: [],
  nextHops: [],
  capacity: 256,
  versions: { agent: '', kernel: '', nftables: '' },
  dataPlaneReady: true,
  dataPlaneMessage: '',
};
const open: SessionState = {
  ...initialSession({ heartbeatMs: 500, lifetimeMs: 3000, floor: 4 }).state,
  validUntilMs: 3000,
  phase: { kind: 'open', session: 5, version: '9' },
};

function run(events: readonly AgentEvent[], from: AgentState = initialAgent(observed)) {
  let state = from;
  const effects: AgentEffect[] = [];
  for (const event of events) {
    const step = stepAgent(state, event);
    state = step.state;
    effects.push(...step.effects);
  }
  return { state, effects };
}

const kinds = (effects: readonly AgentEffect[]) => effects.map(({ kind }) => kind);
const lastReport = (effects: readonly AgentEffect[]) => {
  const report = effects.findLast((it) => it.kind === 'report');
  return report?.kind === 'report' ? report.report : undefined;
};
const lastPlan = (effects: readonly AgentEffect[]) => {
  const apply = effects.findLast((it) => it.kind === 'apply');
  return apply?.kind === 'apply' ? apply.plan : undefined;
};

const applied: AgentEvent = { kind: 'applied', ok: true, message: '' };
const opened: AgentEvent = { kind: 'gateway', session: open };
const armed: AgentEvent = { kind: 'armed', name: NAME, ok: true };
const START: readonly AgentEvent[] = [{ kind: 'viewed', view: view() }, opened, applied, armed, applied];

describe('an agent', () => {
  test('does nothing to the kernel before its caches have synced', () => {
    expect(run([opened, { kind: 'observed', observed }]).effects).toEqual([]);
  });

  test('arms only once the port map is in the kernel, and states it only once the kernel confirmed', () => {
    const before = run([{ kind: 'viewed', view: view() }, opened]);
    expect(kinds(before.effects)).not.toContain('arm');
    const arming = run([applied], before.state);
    expect(arming.effects).toContainEqual({ kind: 'arm', name: NAME, address: EGRESS, session: 5 });
    expect(lastReport(arming.effects)).toBeUndefined();
    const done = run([armed], arming.state);
    expect(kinds(done.effects)).toContain('announce');
    expect(lastReport(done.effects)?.addresses).toEqual([
      { address: NAME, state: 'Answering', epoch: 4, session: 5, blocksVersion: 2 },
    ]);
  });

  test('sends its own pods to itself once it answers, with all its ports', () => {
    const { effects } = run(START);
    expect(lastPlan(effects)?.addresses).toMatchObject([
      {
        holder: 'gw-1',
        usable: [
          { first: 1024, last: 1535 },
          { first: 1536, last: 2047 },
        ],
      },
    ]);
    expect(lastPlan(effects)?.pods).toMatchObject([
      { address: pod.addresses[0], routes: [{ action: { kind: 'egress', addresses: [EGRESS] } }] },
    ]);
    expect(lastReport(effects)).toMatchObject({
      demand: [{ address: NAME }],
      selected: [{ policyUid: 'uid-p', pods: 1 }],
      holding: 1,
    });
  });

  test('disarms before it states that it released, when another one is first', () => {
    const started = run(START).state;
    const moved = run([withIp({ epoch: 5, order: [OTHER], fence: [SELF] })], started);
    expect(moved.effects).toContainEqual({ kind: 'disarm', name: NAME, address: EGRESS });
    expect(lastReport(moved.effects)?.addresses).toEqual([]);
    const released = run([{ kind: 'disarmed', name: NAME, ok: true }], moved.state);
    expect(lastReport(released.effects)?.addresses).toMatchObject([
      { state: 'Released', epoch: 5, session: 5 },
    ]);
  });

  test('a disarm that failed is asked for again and nothing is stated meanwhile', () => {
    const moved = run([...START, withIp({ epoch: 5, order: [OTHER], fence: [SELF] })]).state;
    const again = run([{ kind: 'disarmed', name: NAME, ok: false }], moved);
    expect(kinds(again.effects)).toContain('disarm');
    expect(lastReport(again.effects)).toBeUndefined();
  });

  test('an arm whose outcome is not known is disarmed before it is tried again', () => {
    const arming = run([{ kind: 'viewed', view: view() }, opened, applied]).state;
    const failed = run([{ kind: 'armed', name: NAME, ok: false }], arming);
    expect(kinds(failed.effects)).toContain('disarm');
    expect(kinds(run([{ kind: 'disarmed', name: NAME, ok: true }], failed.state).effects)).toContain('arm');
  });

  test('keeps sending to the old holder until the new one says that it answers', () => {
    const old = gateway('gw-2', 3, { state: 'Answering', epoch: 4, blocksVersion: 1 });
    const { effects } = run([withIp({ epoch: 5, order: [SELF], fence: [OTHER] }, old), opened, applied]);
    expect(kinds(effects)).not.toContain('arm');
    expect(lastPlan(effects)?.addresses).toMatchObject([
      { holder: 'gw-2', usable: [{ first: 1024, last: 1535 }] },
    ]);
  });

  test('goes on sending to a holder that released, until its successor says that it answers', () => {
    const worker = (change: Partial<EgressIp>, ...gateways: readonly GatewayNode[]): AgentEvent => ({
      kind: 'viewed',
      view: view({
        egressIps: new Map([[NAME, egressIp(change)]]),
        gatewayNodes: new Map(gateways.map((it) => [it.name, it])),
      }),
    });
    const next: SessionRef = { gateway: 'gw-3', session: 1 };
    const moved = { epoch: 5, order: [next], fence: [OTHER] };
    const { effects } = run([
      worker({ order: [OTHER] }, gateway('gw-2', 3, { state: 'Answering', epoch: 4 })),
      applied,
      worker(moved, gateway('gw-2', 3, { state: 'Released', epoch: 5 })),
      applied,
    ]);
    expect(lastPlan(effects)?.addresses[0]).toMatchObject({
      holder: 'gw-2',
      usable: [{ first: 1024 }, { first: 1536 }],
    });
    const nobody = run([
      worker({ ...moved, order: [] }, gateway('gw-2', 3, { state: 'Released', epoch: 5 })),
      applied,
    ]);
    expect(lastPlan(nobody.effects)?.addresses[0]?.holder).toBeUndefined();
  });

  test('made anew it sends where its former run did, as long as nobody says that it answers', () => {
    const silent = gateway('gw-2', 4);
    const event = withIp({ epoch: 5, order: [{ gateway: 'gw-2', session: 4 }], fence: [] }, silent);
    const recalled = new Map([[NAME, '02:53:cb:00:71:0c']]);
    const { effects } = run([event, applied], initialAgent(observed, recalled));
    expect(lastPlan(effects)?.addresses[0]).toMatchObject({
      holder: 'gw-2',
      usable: [{ first: 1024 }, { first: 1536 }],
    });
    expect(lastPlan(run([event, applied]).effects)?.addresses[0]?.holder).toBeUndefined();
  });

  test('made anew on the gateway that answered, its own pods go on leaving from here', () => {
    const before = gateway('gw-1', 4, { state: 'Answering', session: 4 });
    const gatewayNodes = new Map([
      ['gw-1', before],
      ['gw-2', gateway('gw-2', 3, {})],
    ]);
    const event: AgentEvent = { kind: 'viewed', view: view({ gatewayNodes }) };
    const after: AgentEvent = {
      kind: 'viewed',
      view: view({
        gatewayNodes: new Map([
          ['gw-1', gateway('gw-1', 0)],
          ['gw-2', gateway('gw-2', 3, {})],
        ]),
      }),
    };
    expect(lastPlan(run([event, applied, after, applied]).effects)?.addresses[0]?.holder).toBe('gw-1');
  });

  test('does not take the last words of a gateway that died for those of a holder', () => {
    const order = [
      { gateway: 'gw-3', session: 1 },
      { gateway: 'gw-2', session: 4 },
    ];
    const stale = gateway('gw-2', 3, { state: 'Answering', epoch: 4, session: 3 });
    const { effects } = run([withIp({ epoch: 6, order, fence: [] }, stale), applied]);
    expect(lastPlan(effects)?.addresses[0]?.holder).toBeUndefined();
  });

  test('with nobody in order its pods are refused, not left to wait', () => {
    const { effects } = run([withIp({ order: [] }), opened, applied]);
    expect(lastPlan(effects)?.addresses[0]?.holder).toBeUndefined();
    expect(lastPlan(effects)?.pods[0]?.routes[0]?.action).toEqual({ kind: 'refuse' });
  });

  test('a policy that no EgressIP names is not programmed', () => {
    const { effects } = run([withIp({ policies: [] }), opened, applied]);
    expect(lastPlan(effects)?.pods).toEqual([]);
  });

  test('after a flush it knows nothing of the kernel and arms again under the new session only', () => {
    const started = run(START).state;
    const lost = { ...started, session: { ...open, phase: { kind: 'flushing' } } } as const;
    const flushed = run([{ kind: 'session', event: { kind: 'flushed', ok: true, nowMs: 9 } }], lost);
    expect(flushed.state.answers.size).toBe(0);
    expect(kinds(flushed.effects)).not.toContain('arm');
  });

  test('on stop it disarms everything and only then lets the session close', () => {
    const stopping = run([{ kind: 'stop' }], run(START).state);
    expect(kinds(stopping.effects)).toContain('disarm');
    expect(readyToClose(stopping.state)).toBe(false);
    expect(readyToClose(run([{ kind: 'disarmed', name: NAME, ok: true }], stopping.state).state)).toBe(true);
  });
});

describe('a fence entry holds the new holder back', () => {
  const fenced = (other: GatewayNode) =>
    kinds(
      run([withIp({ epoch: 5, order: [SELF], fence: [OTHER] }, other), opened, applied]).effects,
    ).includes('arm');

  test.each([
    {
      name: 'while it says that it answers',
      other: gateway('gw-2', 3, { state: 'Answering', epoch: 4 }),
      arms: false,
    },
    {
      name: 'while it released at an older epoch only',
      other: gateway('gw-2', 3, { state: 'Released', epoch: 4 }),
      arms: false,
    },
    { name: 'while it says nothing', other: gateway('gw-2', 3), arms: false },
    {
      name: 'no longer once it released at this epoch',
      other: gateway('gw-2', 3, { state: 'Released', epoch: 5 }),
      arms: true,
    },
    {
      name: 'no longer once it stands by at a later epoch',
      other: gateway('gw-2', 3, { state: 'Standby', epoch: 6 }),
      arms: true,
    },
    { name: 'no longer once its gateway opened a later session', other: gateway('gw-2', 4), arms: true },
    {
      name: 'while an older session said that it released',
      other: {
        ...gateway('gw-2', 3, { state: 'Released', epoch: 5 }),
        addresses: [{ address: EGRESS, state: 'Released', epoch: 5, session: 2, blocksVersion: 2 }],
      } as const,
      arms: false,
    },
  ])('$name', ({ other, arms }) => {
    expect(fenced(other)).toBe(arms);
  });
});
