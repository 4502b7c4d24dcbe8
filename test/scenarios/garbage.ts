/**
 * Ten thousand objects of our kinds that nobody needs: EgressIPs of policies and gateways that never were, GatewayNodes of
 * nodes that are not there, policies that select nothing. Made by the administrator, who may write what he likes.
 */
import type { KubeClient, KubeOutcome } from '../../kube/kubeClient.ts';
import {
  API_VERSION,
  collectionPath,
  EGRESS_IP,
  EGRESS_POLICY,
  GATEWAY_NODE,
  SALLYPORT_GROUP,
} from '../../policy/names.ts';

/** Each kind's part. */
const EGRESS_IPS = 4000;
const GATEWAY_NODES = 4000;
const POLICIES = 2000;
export const GARBAGE = EGRESS_IPS + GATEWAY_NODES + POLICIES;
/** All policies list this one, which they may share. */
export const GARBAGE_ADDRESS = '203.0.113.200';
export const GARBAGE_LABEL = { 'sallyport.test/garbage': 'true' };
const AT_ONCE = 32;

/** While no webhook runs: it refuses statuses that nobody but an agent may write. */
export async function makeGarbageObjects(client: KubeClient): Promise<void> {
  await each(EGRESS_IPS, (at) => client.create(collectionPath(EGRESS_IP), egressIp(at)));
  await each(GATEWAY_NODES, async (at) => {
    const made = await client.create(collectionPath(GATEWAY_NODE), gatewayNode(at));
    if (made.kind !== 'ok' || at % 2 === 0) return made;
    const path = `${collectionPath(GATEWAY_NODE)}/${ghost(at)}/status`;
    return client.mergePatch(path, { status: ghostStatus(at) });
  });
}

/** Through the webhook. */
export async function makeGarbagePolicies(client: KubeClient): Promise<void> {
  await each(POLICIES, (at) => client.create(collectionPath(EGRESS_POLICY), selectsNothing(at)));
}

async function each(count: number, make: (at: number) => Promise<KubeOutcome<unknown>>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at < count; at = next++) {
      const outcome = await make(at);
      if (outcome.kind !== 'ok') throw new Error(`object ${at} was not made: ${outcome.error.message}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

function object(kind: string, name: string, rest: object): object {
  const metadata = { name, labels: GARBAGE_LABEL };
  return { apiVersion: `${SALLYPORT_GROUP}/${API_VERSION}`, kind, metadata, ...rest };
}

const ghost = (at: number): string => `ghost-${at}`;
const address = (at: number): string => `10.99.${Math.floor(at / 250)}.${1 + (at % 250)}`;

/** Every second one has an order of gateways that are not there, and the owner that it names is not there either. */
function egressIp(at: number): object {
  const owned = {
    order: [{ gateway: ghost(at), session: 3 }],
    policies: [{ kind: 'EgressPolicy', name: ghost(at), uid: ghost(at) }],
  };
  return object(EGRESS_IP.kind, address(at), {
    spec: { address: address(at), epoch: 1 + at, ...(at % 2 === 0 ? {} : owned) },
  });
}

function gatewayNode(at: number): object {
  return object(GATEWAY_NODE.kind, ghost(at), {});
}

/** It says to answer for the EgressIP of the same number, and to know voters that never were. */
function ghostStatus(at: number): object {
  const said = { address: address(at), state: 'Answering', epoch: 1 + at, index: 0, session: 3 };
  return {
    session: 3,
    underlay: {
      address: `10.98.${Math.floor(at / 250)}.${1 + (at % 250)}`,
      interfaceName: 'eth0',
      tunnelMac: '02:00:00:00:00:01',
    },
    capacity: 100,
    addresses: [{ ...said, blocksVersion: 0 }],
    voterConfigVersion: 1000 + at,
    voterSets: [[ghost(at)]],
    demand: [{ address: address(at), ports: 64 }],
  };
}

function selectsNothing(at: number): object {
  return object(EGRESS_POLICY.kind, `garbage-${at}`, {
    spec: {
      selectors: [{ matchLabels: { garbage: String(at) } }],
      destinationCIDRs: ['0.0.0.0/0'],
      egressGateway: { ippools: [{ cidr: `${GARBAGE_ADDRESS}/32`, shared: true }] },
    },
  });
}
