/** What a simulated agent says of its node in the API: as core/agent/reportNode.ts states it, in the reader's form. */
import type { GatewayNode } from '../../../failover/core/gatewayNode.ts';
import type { ApiView } from './apiModel.ts';
import type { Word } from './ground.ts';

export interface NodeWord {
  readonly name: string;
  readonly word: Word;
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

export function renderNode({ name, word, lastSession, confirmed }: NodeWord, view: ApiView): GatewayNode {
  const rights = new Map(word.holdings.map(({ address, right }) => [address, right]));
  return {
    ...UNUSED,
    name,
    session: word.session,
    lastSession: Math.max(lastSession, view.nodes.get(name)?.lastSession ?? 0),
    addresses: [...view.ips.values()].flatMap((egressIp): GatewayNode['addresses'] => {
      const blocksVersion = confirmed.get(egressIp.name);
      const right = rights.get(egressIp.name);
      const epoch = word.released.get(egressIp.name);
      if (word.session === 0) {
        if (epoch === undefined || epoch <= egressIp.epoch) return [];
        const { address } = egressIp;
        return [
          { address, session: 0, blocksVersion: blocksVersion ?? 0, state: 'Standby', epoch, index: 0 },
        ];
      }
      if (blocksVersion === undefined) return [];
      const base = { address: egressIp.address, session: word.session, blocksVersion };
      if (right !== undefined) return [{ ...base, state: 'Answering', ...right }];
      if (epoch === undefined) return [];
      const isFenced = egressIp.fence.some(({ gateway }) => gateway === name);
      const isOrdered = egressIp.order.some(({ gateway }) => gateway === name);
      if (!isFenced && !isOrdered && epoch <= egressIp.epoch) return [];
      const state = isFenced ? 'Released' : 'Standby';
      return [{ ...base, state, epoch, index: 0 }];
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
