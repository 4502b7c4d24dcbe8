/** What a simulated agent says of its node in the API: as core/agent/reportNode.ts states it, in the reader's form. */
import type { Claim } from '../../../failover/core/agent/holders.ts';
import { stateAddresses } from '../../../failover/core/agent/stateAddresses.ts';
import type { EgressIp } from '../../../failover/core/egressIp.ts';
import type { GatewayNode } from '../../../failover/core/gatewayNode.ts';
import type { ApiView } from './apiModel.ts';
import type { Word } from './ground.ts';

export interface NodeWord {
  readonly name: string;
  readonly word: Word;
  readonly newest: ReadonlyMap<string, EgressIp>;
  readonly heard: ReadonlyMap<string, readonly Claim[]>;
  /** The highest number of a session of this run. */
  readonly lastSession: number;
  readonly confirmed: ReadonlyMap<string, number>;
}

const UNUSED = {
  uid: '',
  resourceVersion: '',
  interfaces: [],
  onLink: [],
  nextHops: [],
  capacity: 1024,
  dataPlaneReady: true,
  dataPlaneMessage: '',
  healthy: true,
  healthMessage: '',
  demand: [],
  selected: [],
  versions: { agent: '', kernel: '', nftables: '' },
} as const;

export function renderNode(
  { name, word, newest, heard, lastSession, confirmed }: NodeWord,
  view: ApiView,
): GatewayNode {
  return {
    ...UNUSED,
    name,
    session: word.session,
    lastSession: Math.max(lastSession, view.nodes.get(name)?.lastSession ?? 0),
    addresses: stateAddresses(name, {
      egressIps: view.ips,
      newest,
      heard,
      ownership: word,
      confirmed,
    }).flatMap((it) => {
      const egressIp = view.ips.get(it.address);
      return egressIp === undefined ? [] : [{ ...it, address: egressIp.address }];
    }),
    dead: word.dead.filter(({ gateway, session }) => session >= (view.nodes.get(gateway)?.session ?? 0)),
    voterConfig: word.config ?? { version: 0, sets: [] },
  };
}

/** Texts by report: a report never changes, and every look at the view asks for that of the node's own. */
const texts = new WeakMap<GatewayNode, string>();

/** Differs where two reports do. */
export function reportText(report: GatewayNode): string {
  const known = texts.get(report);
  if (known !== undefined) return known;
  const text = textOf(report);
  texts.set(report, text);
  return text;
}

/** Addresses hold their bits as a bigint, which JSON has no form for. */
function textOf({ session, lastSession, addresses, dead, voterConfig }: GatewayNode): string {
  const stated = addresses.map(({ address, ...rest }) => [Number(address.value), rest]);
  return JSON.stringify([session, lastSession, stated, dead, voterConfig.version]);
}
