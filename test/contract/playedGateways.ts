/**
 * Gateways as the API server sees them, where there are no nodes: a Lease that lasts, and a report that follows what is
 * assigned. The first of an order answers at once; of what it waits for the voters are said to have found it dead.
 */
import type { EgressIp, SessionRef } from '../../failover/core/egressIp.ts';
import { parseEgressIp } from '../../failover/core/parseEgressIp.ts';
import { createLeaseHeart } from '../../failover/io/leaseHeart.ts';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { startReflector } from '../../kube/reflector.ts';
import { formatAddress } from '../../policy/address.ts';
import { collectionPath, EGRESS_IP, GATEWAY_LABEL, GATEWAY_NODE } from '../../policy/names.ts';
import type { Logger } from '../../runtime/logger.ts';
import { must } from './webhookProgram.ts';

const SESSION = 1;
/** Longer than any test. */
const LEASE_SECONDS = 3600;

interface Gateway {
  readonly name: string;
  readonly address: string;
  /** EgressIP name → what it states. */
  readonly statements: Map<string, object>;
}

export interface PlayedGateways {
  stop(): Promise<void>;
}

export async function startPlayedGateways(options: {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Name → address, in 203.0.113.0/24. */
  readonly gateways: Readonly<Record<string, string>>;
  readonly logger: Logger;
}): Promise<PlayedGateways> {
  const { client, namespace, logger } = options;
  const gateways = Object.entries(options.gateways).map(
    ([name, address]): Gateway => ({ name, address, statements: new Map() }),
  );
  for (const { name, address } of gateways) {
    must(await client.create('/api/v1/nodes', nodeOf(name, address)));
    const { group, version, kind } = GATEWAY_NODE;
    const node = { apiVersion: `${group}/${version}`, kind, metadata: { name } };
    must(await client.create(collectionPath(GATEWAY_NODE), node));
    const heart = createLeaseHeart({
      client,
      namespace,
      node: name,
      durationSeconds: LEASE_SECONDS,
      wallClock: Date.now,
    });
    const written = await heart.write({ session: SESSION, holding: true });
    if (written.kind !== 'accepted') throw new Error(`the Lease of ${name} is ${written.kind}`);
  }
  const names = new Set(gateways.map(({ name }) => name));
  const dead = new Map<string, SessionRef>();
  const report = async (): Promise<void> => {
    for (const { name, address, statements } of gateways) {
      const status = statusOf(address, [...statements.values()], [...dead.values()]);
      must(await client.mergePatch(`${collectionPath(GATEWAY_NODE)}/${name}/status`, { status }));
    }
  };
  await report();
  let reporting: Promise<void> | undefined;
  let changed = false;
  const change = (): void => {
    changed = true;
    reporting ??= (async () => {
      while (changed) {
        changed = false;
        await report();
      }
      reporting = undefined;
    })();
  };
  const follow = (egressIp: EgressIp): void => {
    let news = false;
    for (const { name, statements } of gateways) {
      const statement = statementOf(egressIp, name, statements.has(egressIp.name));
      if (statement === undefined) continue;
      news ||= JSON.stringify(statements.get(egressIp.name)) !== JSON.stringify(statement);
      statements.set(egressIp.name, statement);
    }
    if (names.has(egressIp.order[0]?.gateway ?? ''))
      for (const it of egressIp.fence) {
        const key = `${it.gateway}/${it.session}`;
        if (names.has(it.gateway) || dead.has(key)) continue;
        dead.set(key, it);
        news = true;
      }
    if (news) change();
  };
  const reflector = startReflector<EgressIp>({
    client,
    logger,
    path: collectionPath(EGRESS_IP),
    project: (raw) => {
      const value = parseEgressIp(raw);
      return value === undefined ? undefined : { key: value.name, value };
    },
    onEvent: (event) => {
      if (event.kind === 'synced') for (const it of event.items.values()) follow(it);
      else if (event.kind === 'upserted') follow(event.value);
    },
  });
  return {
    async stop() {
      await reflector.stop();
      await reporting;
    },
  };
}

function nodeOf(name: string, address: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { [GATEWAY_LABEL]: '' } },
    status: { addresses: [{ type: 'InternalIP', address }] },
  };
}

/** What it says of an EgressIP; undefined: nothing, for it never had to do with it. */
function statementOf(
  { address, epoch, order, fence, blocksVersion }: EgressIp,
  gateway: string,
  known: boolean,
): object | undefined {
  const rank = order.findIndex((it) => it.gateway === gateway);
  const fenced = fence.some((it) => it.gateway === gateway);
  if (rank < 0 && !fenced && !known) return undefined;
  const state = rank === 0 ? 'Answering' : rank > 0 ? 'Standby' : 'Released';
  return { address: formatAddress(address), state, epoch, index: 0, session: SESSION, blocksVersion };
}

function statusOf(address: string, addresses: readonly object[], dead: readonly SessionRef[]): object {
  return {
    session: SESSION,
    capacity: 64,
    underlay: { address, interfaceName: 'eth0', tunnelMac: '02:53:cb:00:71:01' },
    interfaces: [{ name: 'eth0', addresses: [`${address}/24`] }],
    onLink: [{ cidr: '203.0.113.0/24', interfaceName: 'eth0' }],
    conditions: [{ type: 'DataPlaneReady', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' }],
    addresses,
    dead,
  };
}
