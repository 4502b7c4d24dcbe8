import { describe, expect, test } from 'vitest';
import { egressIpName, formatAddress, makeAddress } from '../../../policy/address.ts';
import { makeCidr } from '../../../policy/cidr.ts';
import type { Address, NodeFacts, Policy } from '../../../policy/model.ts';
import type { EgressIp, SessionRef } from '../egressIp.ts';
import type { AddressStatement, GatewayNode } from '../gatewayNode.ts';
import type { Holding } from '../ownership/messages.ts';
import type { OwnershipWord } from '../ownership/ownershipWord.ts';
import { soleUplink } from '../uplinks.ts';
import type { AgentEvent } from './absorbAgentEvent.ts';
import { type AgentEffect, stepAgent } from './agentCore.ts';
import { type AgentState, initialAgent, NO_OWNERSHIP } from './agentState.ts';
import type { AgentView, LocalPod } from './agentView.ts';
import { IDLE_BEFORE_RETURN_MS } from './portReturns.ts';
import type { ObservedNode } from './reportNode.ts';

const EGRESS = makeAddress(4, 0xcb00710an); // 203.0.113.10
const NAME = formatAddress(EGRESS);
const EGRESS6 = makeAddress(6, (0x20010db8n << 96n) | 0x100n); // 2001:db8::100
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
    healthy: true,
    healthMessage: '',
    addresses:
      statement === undefined
        ? []
        : [
            {
              address: EGRESS,
              state: 'Standby',
              epoch: 4,
              index: 0,
              session,
              blocksVersion: 2,
              ...statement,
            },
          ],
    dead: [],
    voterConfig: { version: 0, sets: [] },
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
  uplinks: soleUplink('eth0'),
  ownAddresses: [],
  capacity: 256,
  versions: { agent: '', kernel: '', nftables: '' },
  dataPlaneReady: true,
  dataPlaneMessage: '',
};
const VOTERS = { version: 3, sets: [['gw-1', 'worker-1', 'worker-2']] };
/** What the ownership thread says of a gateway whose session is valid. */
function ownership(change: Partial<OwnershipWord> = {}): AgentEvent {
  const report = { ...NO_OWNERSHIP, session: 5, config: VOTERS, released: new Map([[NAME, 4]]), ...change };
  return { kind: 'ownership', report };
}

function holding(epoch: number, index = 0, blocksVersion = 2): Holding {
  return { address: NAME, right: { epoch, index }, blocksVersion };
}

/** Another gateway says by datagram that it answers. */
function heard({ gateway: node, session }: SessionRef, ...holdings: readonly Holding[]): AgentEvent {
  return { kind: 'heard', session: { gateway: node, session }, holdings };
}

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
const reportNow = (state: AgentState) => lastReport(run([{ kind: 'report-failed' }], state).effects);
const lastPlan = (effects: readonly AgentEffect[]) => {
  const apply = effects.findLast((it) => it.kind === 'apply');
  return apply?.kind === 'apply' ? apply.plan : undefined;
};

const lastOf = <K extends AgentEffect['kind']>(effects: readonly AgentEffect[], kind: K) =>
  effects.findLast((it): it is Extract<AgentEffect, { readonly kind: K }> => it.kind === kind);

const applied: AgentEvent = { kind: 'applied', ok: true, message: '' };
const answering = ownership({ holdings: [holding(4)], released: new Map() });
const START: readonly AgentEvent[] = [
  { kind: 'viewed', view: view() },
  ownership(),
  applied,
  answering,
  applied,
  applied,
];

describe('an agent', () => {
  test('asks for twice its ports where they run short, and not again before it can use those', () => {
    const wish = (state: AgentState) => reportNow(state)?.demand;
    const started = run(START).state;
    expect(wish(started)).toEqual([{ address: NAME, ports: 64 }]);
    const pressed = run([{ kind: 'pressed', pressed: new Map([[NAME, 1024]]) }], started);
    expect(lastReport(pressed.effects)?.demand).toEqual([{ address: NAME, ports: 2048 }]);
    const { blocks } = egressIp();
    const grown = {
      blocksVersion: 3,
      blocks: [...blocks, { node: 'gw-1', first: 2048, last: 3071, version: 3 }],
    };
    const given = run([withIp(grown)], pressed.state).state;
    expect(wish(given)).toEqual([{ address: NAME, ports: 64 }]);
    const again = run([{ kind: 'pressed', pressed: new Map([[NAME, 2048]]) }], given).state;
    expect(wish(again)).toEqual([{ address: NAME, ports: 4096 }]);
    expect(wish(run([{ kind: 'pressed', pressed: new Map() }], again).state)).toEqual([
      { address: NAME, ports: 64 },
    ]);
  });

  test('asks for nothing before its caches have synced', () => {
    expect(run([answering, heard(OTHER, holding(4, 1)), { kind: 'observed', observed }]).effects).toEqual([]);
  });

  test('passes an assignment on as it is, with the ports only once they are in the kernel', () => {
    const change = { epoch: 5, order: [SELF, OTHER], fence: [{ gateway: 'gw-3', session: 1 }] };
    const before = run([withIp(change)]);
    expect(lastOf(before.effects, 'assign')?.assignments.get(NAME)).toEqual({
      address: NAME,
      ...change,
      blocksVersion: undefined,
    });
    const after = run([applied], before.state);
    expect(lastOf(after.effects, 'assign')?.assignments.get(NAME)).toEqual({
      address: NAME,
      ...change,
      blocksVersion: 2,
    });
  });

  test('goes on with the ports that are in the kernel while newer ones are on their way there', () => {
    const started = run(START).state;
    const grown = withIp({ blocksVersion: 3 });
    const during = run([grown], started);
    expect(kinds(during.effects)).toEqual(['apply']);
    const failed = run([{ kind: 'applied', ok: false, message: 'nft failed' }], during.state);
    expect(kinds(failed.effects)).not.toContain('assign');
    const after = run([applied], failed.state);
    expect(lastOf(after.effects, 'assign')?.assignments.get(NAME)?.blocksVersion).toBe(3);
  });

  test('passes on what is new once, and nothing where nothing is', () => {
    const { state, effects } = run(START);
    // Without the ports, then with them.
    expect(kinds(effects).filter((kind) => kind === 'assign')).toHaveLength(2);
    expect(kinds(effects).filter((kind) => kind === 'state')).toHaveLength(1);
    expect(kinds(run([{ kind: 'viewed', view: view() }], state).effects)).toEqual(['apply']);
    const gone: AgentEvent = { kind: 'viewed', view: view({ egressIps: new Map() }) };
    expect(lastOf(run([gone], state).effects, 'assign')?.assignments.size).toBe(0);
  });

  test('an IPv6 address goes by its text where kernels and neighbours are spoken to, whatever its object is named', () => {
    const text = formatAddress(EGRESS6);
    const six = egressIp({ name: egressIpName(EGRESS6), address: EGRESS6 });
    const viewed: AgentEvent = { kind: 'viewed', view: view({ egressIps: new Map([[six.name, six]]) }) };
    const planned = run([viewed, applied, ownership({ released: new Map() }), applied]);
    expect(lastOf(planned.effects, 'assign')?.assignments.get(text)).toMatchObject({
      address: text,
      blocksVersion: 2,
    });
    const held = { ...holding(4, 0), address: text };
    const answering = run([ownership({ holdings: [held], released: new Map() }), applied], planned.state);
    expect(lastReport(answering.effects)?.addresses).toMatchObject([{ address: text, state: 'Answering' }]);
    expect(lastPlan(answering.effects)?.addresses).toMatchObject([{ holder: 'gw-1' }]);
    const released = run([ownership({ released: new Map([[text, 4]]) }), applied], answering.state);
    expect(lastReport(released.effects)?.addresses).toMatchObject([{ address: text, state: 'Standby' }]);
    const other = { ...holding(5, 0), address: text };
    const moved = run([{ kind: 'heard', session: OTHER, holdings: [other] }], released.state);
    expect(lastPlan(moved.effects)?.addresses).toMatchObject([{ holder: 'gw-2' }]);
  });

  describe.each([
    { served: 'both families', pools: [EGRESS, EGRESS6], pods: { 4: NAME, 6: formatAddress(EGRESS6) } },
    { served: 'IPv4 alone', pools: [EGRESS], pods: { 4: NAME, 6: 'refuse' } },
    { served: 'IPv6 alone', pools: [EGRESS6], pods: { 4: 'refuse', 6: formatAddress(EGRESS6) } },
  ])('with pools of $served', ({ pools, pods }) => {
    const both: Policy = {
      ...policy,
      failureMode: 'Open',
      destinations: [makeCidr(4, 0n, 0), makeCidr(6, 0n, 0)],
      pools: pools.map((address) => ({
        range: { family: address.family, first: address.value, last: address.value },
        shared: false,
        text: '',
        path: '',
      })),
    };
    const egressIps = pools.map((address) => egressIp({ name: egressIpName(address), address }));
    const viewOf = (addresses: readonly Address[]): AgentView =>
      view({
        pods: new Map([['default/my-app-1', { ...pod, addresses }]]),
        policies: new Map([['uid-p', both]]),
        egressIps: new Map(egressIps.map((it) => [it.name, it])),
      });

    test('a pod leaves with an address of the family of where it goes, or not at all', () => {
      const addresses = [makeAddress(4, 0x0af40105n), makeAddress(6, 0xfd00n << 112n)];
      const plan = lastPlan(run([{ kind: 'viewed', view: viewOf(addresses) }]).effects);
      const actions = plan?.pods.map(({ address, routes }) => [
        address.family,
        routes.map(({ range, action }) => [
          range.family,
          action.kind === 'egress' ? action.addresses.map(formatAddress).join() : action.kind,
        ]),
      ]);
      expect(actions).toEqual([
        [4, [[4, pods[4]]]],
        [6, [[6, pods[6]]]],
      ]);
    });

    test('ports are wanted on addresses of the families that the node’s pods have', () => {
      const { effects } = run([{ kind: 'viewed', view: viewOf([makeAddress(4, 0x0af40105n)]) }]);
      expect(lastReport(effects)?.demand.map(({ address }) => address)).toEqual(
        pods[4] === 'refuse' ? [] : [NAME],
      );
    });
  });

  describe('with no pod left that wants its ports', () => {
    const idle = (nowMs: number): AgentEvent => ({ kind: 'port-use', use: new Map([[NAME, 0]]), nowMs });
    const without = view({ pods: new Map() });
    const usable = (effects: readonly AgentEffect[]) => lastPlan(effects)?.addresses[0]?.usable;

    test('says that they are returned only when its kernel has stopped using them', () => {
      const held = run([...START, { kind: 'viewed', view: without }, applied, idle(0)]);
      expect(usable(held.effects)).toHaveLength(2);
      const asked = run([idle(IDLE_BEFORE_RETURN_MS)], held.state);
      expect(usable(asked.effects)).toEqual([]);
      expect(lastReport(asked.effects)).toBeUndefined();
      const done = run([applied], asked.state);
      expect(lastReport(done.effects)?.demand).toEqual([{ address: NAME, ports: 0, returned: 2 }]);
    });

    test('a pod that comes then waits for others, and so it does after a restart of the agent', () => {
      const given = run([
        ...START,
        { kind: 'viewed', view: without },
        applied,
        idle(0),
        idle(IDLE_BEFORE_RETURN_MS),
        applied,
      ]);
      const back = run([{ kind: 'viewed', view: view() }, applied], given.state);
      expect(usable(back.effects)).toEqual([]);
      expect(lastReport(back.effects)?.demand).toEqual([{ address: NAME, ports: 64, returned: 2 }]);
      const said = { ...gateway('gw-1', 5), demand: [{ address: EGRESS, ports: 0, returned: 2 }] };
      const others = [said, gateway('gw-2', 3, {})].map((it) => [it.name, it] as const);
      const restarted = run([{ kind: 'viewed', view: view({ gatewayNodes: new Map(others) }) }, answering]);
      expect(usable(restarted.effects)).toEqual([]);
      const regranted = egressIp({
        blocksVersion: 3,
        blocks: [{ node: 'gw-1', first: 4096, last: 4607, version: 3 }],
      });
      const after = run(
        [{ kind: 'viewed', view: view({ egressIps: new Map([[NAME, regranted]]) }) }, applied],
        back.state,
      );
      expect(usable(after.effects)).toEqual([{ first: 4096, last: 4607 }]);
    });
  });

  test('states that it answers only once the ownership thread has it confirmed, by which right', () => {
    const before = run([{ kind: 'viewed', view: view() }, ownership({ released: new Map() }), applied]);
    expect(lastReport(before.effects)?.addresses).toEqual([]);
    const done = run([ownership({ holdings: [holding(4, 1)], released: new Map() })], before.state);
    expect(lastReport(done.effects)).toMatchObject({
      session: 5,
      holding: 1,
      voterConfigVersion: 3,
      voterSets: [['gw-1', 'worker-1', 'worker-2']],
      addresses: [{ address: NAME, state: 'Answering', epoch: 4, index: 1, session: 5, blocksVersion: 2 }],
    });
  });

  test('states the peer keys that the ownership thread has taken, and none before', () => {
    const before = run(START);
    expect(lastReport(before.effects)).toMatchObject({ peerKeys: [], peerSigningKey: 0 });
    const taken = run([{ kind: 'keys-taken', keys: { accepted: [3, 4], signing: 3 } }], before.state);
    expect(lastReport(taken.effects)).toMatchObject({ peerKeys: [3, 4], peerSigningKey: 3 });
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

  test.each([
    { name: 'a fenced one lets go', fence: [SELF], order: [OTHER], state: 'Released' },
    { name: 'one that is not fenced stands by', fence: [], order: [OTHER, SELF], state: 'Standby' },
  ])(
    '$name: it is stated with the epoch below which nothing will be answered any more',
    ({ fence, order, state }) => {
      const moved = run([withIp({ epoch: 5, order, fence })], run(START).state);
      // Until the thread says otherwise the kernel answers by the old right.
      const during = lastReport(moved.effects)?.addresses ?? [{ state: 'Answering', epoch: 4 }];
      expect(during).toMatchObject([{ state: 'Answering', epoch: 4 }]);
      const disarming = run([ownership({ released: new Map() })], moved.state);
      expect(lastReport(disarming.effects)).toMatchObject({ holding: 0, addresses: [] });
      const released = run([ownership({ released: new Map([[NAME, 5]]) })], disarming.state);
      expect(lastReport(released.effects)?.addresses).toEqual([
        { address: NAME, state, epoch: 5, index: 0, session: 5, blocksVersion: 2 },
      ]);
    },
  );

  test.each([
    { name: 'nothing where it names others', ip: { order: [{ gateway: 'gw-2', session: 3 }] }, says: [] },
    {
      name: 'what it let go of where it is fenced',
      ip: { order: [{ gateway: 'gw-2', session: 3 }], fence: [{ gateway: 'gw-1', session: 5 }] },
      says: ['Released 4'],
    },
    {
      name: 'which epoch stood once where an older one stands again',
      ip: { epoch: 3, order: [{ gateway: 'gw-2', session: 3 }] },
      says: ['Standby 4'],
    },
  ])('of an address that it does not answer for it says $name', ({ ip, says }) => {
    const { state } = run([withIp(ip), ownership(), applied, applied]);
    const said = reportNow(state)?.addresses.map(({ state: what, epoch }) => `${what} ${epoch}`);
    expect(said).toEqual(says);
  });

  test('without a session it says which epoch stood once, where an older one stands again', () => {
    const without = ownership({ session: 0, released: new Map([[NAME, 9]]) });
    const { state } = run([...START, without, applied]);
    expect(reportNow(state)?.addresses).toEqual([
      { address: NAME, state: 'Standby', epoch: 9, index: 0, session: 0, blocksVersion: 2 },
    ]);
    const lifted = run([withIp({ epoch: 10 }), applied], state).state;
    expect(reportNow(lifted)?.addresses).toEqual([]);
  });

  test.each([
    { name: 'an older epoch', older: { epoch: 3, order: [OTHER] }, sessions: [SELF, OTHER] },
    { name: 'a shorter order', older: { order: [SELF] }, sessions: [SELF, OTHER] },
  ])(
    'where $name stands again it says whom the later one named, with a session and without',
    ({ older, sessions }) => {
      const named = withIp({ order: [SELF, OTHER] });
      const { state } = run([
        named,
        ownership({ holdings: [holding(4)], released: new Map() }),
        applied,
        applied,
      ]);
      expect(reportNow(state)?.addresses).toMatchObject([{ state: 'Answering', epoch: 4 }]);
      expect(reportNow(state)?.addresses[0]).not.toHaveProperty('lost');
      const restored = run([withIp(older), applied, applied], state).state;
      const lost = { epoch: 4, sessions };
      expect(reportNow(restored)?.addresses).toMatchObject([
        { state: 'Answering', epoch: 4, session: 5, lost },
      ]);
      const over = run([ownership({ session: 0, released: new Map([[NAME, 4]]) })], restored).state;
      expect(reportNow(over)?.addresses).toMatchObject([{ state: 'Standby', epoch: 4, session: 0, lost }]);
      const anew = run([withIp({ epoch: 5, order: [SELF, OTHER] }), applied], over).state;
      expect(reportNow(anew)?.addresses).toEqual([]);
    },
  );

  test('of what an API server lost it says so much at a time as an object has room for', () => {
    const fence = Array.from({ length: 3000 }, (_, at) => ({ gateway: `gw-${at}`, session: 1 }));
    const addresses = [10n, 11n, 12n].map((host) => makeAddress(4, 0xcb007100n + host));
    const all = (epoch: number): AgentEvent => ({
      kind: 'viewed',
      view: view({
        egressIps: new Map(
          addresses.map((address) => [
            formatAddress(address),
            egressIp({ name: formatAddress(address), address, epoch, fence: epoch === 4 ? fence : [] }),
          ]),
        ),
      }),
    });
    const { state } = run([all(4), ownership(), all(3)]);
    const said = reportNow(state)?.addresses ?? [];
    expect(said.map(({ address }) => address)).toEqual(['203.0.113.10', '203.0.113.11']);
    for (const { lost } of said) expect(lost?.sessions).toHaveLength(3002);
  });

  test('without a session it says nothing of any address, whatever it held', () => {
    const { state } = run(START);
    const over = run([ownership({ session: 0, holdings: [], released: new Map([[NAME, 4]]) })], state);
    expect(lastReport(over.effects)).toMatchObject({ session: 0, lastSession: 5, holding: 0, addresses: [] });
  });

  test('without its ports in the kernel it says nothing of an address', () => {
    expect(lastReport(run([{ kind: 'viewed', view: view() }, ownership()]).effects)?.addresses).toEqual([]);
  });

  test('states verdicts until the gateway that they are about has a later session', () => {
    const verdict = ownership({
      dead: [
        { gateway: 'gw-3', session: 9 },
        { gateway: 'gw-2', session: 3 },
      ],
    });
    const { state, effects } = run([{ kind: 'viewed', view: view() }, verdict]);
    expect(lastReport(effects)?.dead).toEqual([
      { gateway: 'gw-2', session: 3 },
      { gateway: 'gw-3', session: 9 },
    ]);
    const again = run([withIp({}, gateway('gw-2', 4))], state);
    expect(lastReport(again.effects)?.dead).toEqual([{ gateway: 'gw-3', session: 9 }]);
  });

  test('keeps sending to the old holder until the new one says that it answers', () => {
    const old = gateway('gw-2', 3, { state: 'Answering', epoch: 4, blocksVersion: 1 });
    const { state, effects } = run([
      withIp({ epoch: 5, order: [SELF], fence: [OTHER] }, old),
      ownership(),
      applied,
    ]);
    expect(lastPlan(effects)?.addresses).toMatchObject([
      { holder: 'gw-2', usable: [{ first: 1024, last: 1535 }] },
    ]);
    const own = run([applied, ownership({ holdings: [holding(5)] }), applied], state);
    expect(lastPlan(own.effects)?.addresses[0]?.holder).toBe('gw-1');
  });

  test('sends to a standby that took over as soon as it says so, long before the API does', () => {
    const dead = gateway('gw-2', 3, { state: 'Answering', epoch: 4 });
    const next: SessionRef = { gateway: 'gw-3', session: 1 };
    const started = run([withIp({ order: [OTHER, next] }, dead), applied]).state;
    const moved = run([heard(next, holding(4, 1, 1))], started);
    expect(kinds(moved.effects)).toEqual(['apply']);
    expect(lastPlan(moved.effects)?.addresses).toMatchObject([
      { holder: 'gw-3', usable: [{ first: 1024, last: 1535 }] },
    ]);
  });

  test('sends on by its own right, unless another gateway says that it answers by a higher one', () => {
    const started = run(START).state;
    const lower = run([heard(OTHER, holding(3, 7)), applied], started);
    expect(lastPlan(lower.effects)?.addresses[0]?.holder).toBe('gw-1');
    const higher = run([heard(OTHER, holding(4, 1)), applied], lower.state);
    expect(lastPlan(higher.effects)?.addresses[0]?.holder).toBe('gw-2');
  });

  test('hears the same word again without a new plan, a newer one of the same gateway with one', () => {
    const { state } = run([heard(OTHER, holding(4, 1, 1)), applied], run(START).state);
    expect(run([heard(OTHER, holding(4, 1, 1))], state).effects).toEqual([]);
    const grown = run([heard(OTHER, holding(4, 1, 2))], state);
    expect(kinds(grown.effects)).toEqual(['apply']);
    expect(grown.state.heard.get(NAME)).toHaveLength(1);
  });

  test('forgets what it heard of an address that is no more', () => {
    const { state } = run([heard(OTHER, holding(4, 1)), applied], run(START).state);
    const gone = run([{ kind: 'viewed', view: view({ egressIps: new Map() }) }], state);
    expect(gone.state.heard.size).toBe(0);
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
    const { effects } = run([withIp({ order: [] }), ownership(), applied]);
    expect(lastPlan(effects)?.addresses[0]?.holder).toBeUndefined();
    expect(lastPlan(effects)?.pods[0]?.routes[0]?.action).toEqual({ kind: 'refuse' });
  });

  test('a policy that no EgressIP names is not programmed', () => {
    const { effects } = run([withIp({ policies: [] }), ownership(), applied]);
    expect(lastPlan(effects)?.pods).toEqual([{ address: pod.addresses[0], routes: [] }]);
  });

  test('a report that was not written is written again', () => {
    const { state } = run(START);
    expect(
      run([ownership({ holdings: [holding(4)], released: new Map() }), applied], state).effects,
    ).toHaveLength(1);
    expect(lastReport(run([{ kind: 'report-failed' }], state).effects)).toMatchObject({ holding: 1 });
  });

  test.each([
    { name: 'an older copy of it was restored', after: new Map([['gw-1', gateway('gw-1', 3)]]), again: true },
    { name: 'it was deleted', after: new Map<string, GatewayNode>(), again: true },
    {
      name: 'it is newer',
      after: new Map([['gw-1', { ...gateway('gw-1', 3), resourceVersion: '11' }]]),
      again: false,
    },
  ])('its report is written again where $name', ({ after, again }) => {
    const seenAs = (gatewayNodes: ReadonlyMap<string, GatewayNode>): AgentEvent => ({
      kind: 'viewed',
      view: view({ gatewayNodes }),
    });
    const own = { ...gateway('gw-1', 3), resourceVersion: '10' };
    const { state } = run([seenAs(new Map([['gw-1', own]])), ownership(), applied]);
    const { effects } = run([seenAs(after), applied], state);
    expect(kinds(effects).includes('report')).toBe(again);
  });

  test('a gateway says how healthy it is, and another node nothing', () => {
    const { state } = run(START);
    expect(reportNow(state)).not.toHaveProperty('health');
    const health = {
      healthy: false,
      reasons: ['NoCarrier'],
      message: 'the uplink eth0: no carrier',
    } as const;
    const broken = run([{ kind: 'health', health }], state);
    expect(kinds(broken.effects)).toEqual(['report']);
    expect(lastReport(broken.effects)).toMatchObject({ health, holding: 1 });
    const left = run([{ kind: 'health', health: undefined }], broken.state);
    expect(kinds(left.effects)).toEqual(['report']);
    expect(lastReport(left.effects)).not.toHaveProperty('health');
  });

  test('a plan that failed is tried again, and the node says that its data plane is not ready', () => {
    const during = run([{ kind: 'viewed', view: view() }]).state;
    const failed = run([{ kind: 'applied', ok: false, message: 'nft failed' }], during);
    expect(kinds(failed.effects)).toContain('apply');
    expect(lastReport(failed.effects)).toMatchObject({
      dataPlaneReady: false,
      dataPlaneMessage: 'nft failed',
    });
    // What is seen on the node says nothing of that.
    const seen = run([{ kind: 'observed', observed }], failed.state);
    expect(seen.state.observed.dataPlaneReady).toBe(false);
    expect(lastReport(run([applied], seen.state).effects)).toMatchObject({ dataPlaneReady: true });
  });

  test('says which generation of a policy its kernel holds, and not which is on its way there', () => {
    const held = (state: AgentState) => reportNow(state)?.selected.map(({ generation }) => generation);
    const first = run([{ kind: 'viewed', view: view() }]).state;
    expect(held(first)).toEqual([0]);
    const holding = run([applied], first).state;
    expect(held(holding)).toEqual([policy.generation]);
    const changed = { ...policy, generation: policy.generation + 1 };
    const newer: AgentEvent = { kind: 'viewed', view: view({ policies: new Map([['uid-p', changed]]) }) };
    const underWay = run([newer], holding).state;
    expect(held(underWay)).toEqual([policy.generation]);
    expect(held(run([{ kind: 'applied', ok: false, message: 'no' }], underWay).state)).toEqual([
      policy.generation,
    ]);
    expect(held(run([applied], underWay).state)).toEqual([policy.generation + 1]);
  });

  test('applies one plan at a time, and the newest when that is done', () => {
    const during = run([{ kind: 'viewed', view: view() }]);
    const waiting = run([withIp({ blocksVersion: 3 }), { kind: 'resync' }, answering], during.state);
    expect(kinds(waiting.effects)).not.toContain('apply');
    expect(kinds(run([applied], waiting.state).effects).filter((kind) => kind === 'apply')).toHaveLength(1);
  });
});

describe('what the ownership thread hears of the API', () => {
  const word = (event: AgentEvent) => lastOf(run([event]).effects, 'state');
  const nodes = (...gateways: readonly GatewayNode[]): AgentEvent => ({
    kind: 'viewed',
    view: view({
      egressIps: new Map([[NAME, egressIp({ epoch: 5, order: [SELF], fence: [OTHER] })]]),
      gatewayNodes: new Map(gateways.map((it) => [it.name, it])),
      nodes: new Map(
        gateways
          .filter(({ name }) => name !== 'ghost')
          .map(({ name }) => [name, { podCidrs: [], addresses: [] } as unknown as NodeFacts]),
      ),
    }),
  });

  test('each session that its own gateway has followed by a later one, and each that others heard to be dead', () => {
    const dead = [
      { gateway: 'gw-2', session: 4 },
      { gateway: 'gw-4', session: 2 },
    ];
    const event = nodes(gateway('gw-2', 3), gateway('gw-3', 1), { ...gateway('gw-1', 5), dead });
    expect(word(event)?.dead).toEqual([
      { gateway: 'gw-2', session: 4 },
      { gateway: 'gw-1', session: 4 },
      { gateway: 'gw-4', session: 2 },
    ]);
  });

  test('nothing that the report of a node says which does not exist', () => {
    const slander = { ...gateway('ghost', 1), dead: [{ gateway: 'gw-2', session: 2 ** 50 }] };
    expect(word(nodes(gateway('gw-2', 3), slander))?.dead).toEqual([{ gateway: 'gw-2', session: 2 }]);
  });

  test('of several words about one gateway the highest session', () => {
    const says = (name: string, session: number) => ({
      ...gateway(name, 1),
      dead: [{ gateway: 'gw-2', session }],
    });
    const about = (event: AgentEvent) => word(event)?.dead.filter((it) => it.gateway === 'gw-2');
    expect(about(nodes(says('gw-3', 7), says('gw-4', 6)))).toEqual([{ gateway: 'gw-2', session: 7 }]);
    expect(about(nodes(gateway('gw-2', 9), says('gw-3', 7)))).toEqual([{ gateway: 'gw-2', session: 8 }]);
  });

  test.each([
    {
      name: 'says that it answers',
      other: gateway('gw-2', 3, { state: 'Answering', epoch: 5 }),
      epoch: undefined,
    },
    { name: 'says nothing', other: gateway('gw-2', 3), epoch: undefined },
    { name: 'released', other: gateway('gw-2', 3, { state: 'Released', epoch: 5 }), epoch: 5 },
    // Whether that is enough is for the thread to judge.
    {
      name: 'released at an older epoch',
      other: gateway('gw-2', 3, { state: 'Released', epoch: 4 }),
      epoch: 4,
    },
    {
      name: 'stands by at a later epoch',
      other: gateway('gw-2', 3, { state: 'Standby', epoch: 6 }),
      epoch: 6,
    },
    {
      name: 'released under an older session',
      other: gateway('gw-2', 3, { state: 'Released', epoch: 5, session: 2 }),
      epoch: undefined,
    },
    {
      name: 'released under a later session, which is the death of this one',
      other: gateway('gw-2', 4, { state: 'Released', epoch: 5, session: 4 }),
      epoch: undefined,
    },
  ])('a fenced session that $name', ({ other, epoch }) => {
    const released = epoch === undefined ? [] : [{ session: OTHER, address: NAME, epoch }];
    expect(word(nodes(other))?.released).toEqual(released);
  });

  test('nothing of the letting go of sessions that nobody waits for', () => {
    const other = gateway('gw-2', 3, { state: 'Released', epoch: 5 });
    expect(word(withIp({ epoch: 5, order: [SELF, OTHER], fence: [] }, other))?.released).toEqual([]);
  });
});
