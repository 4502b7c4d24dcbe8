/**
 * What planNode.ts decides, kept up with one view after the other: an egress IP whose object and holder are the same has the
 * same plan, as the same object, and so the data plane need not look at it. A test compares the two.
 */
import { formatAddress } from '../../../policy/address.ts';
import type { EgressAddressPlan } from '../dataPlane.ts';
import type { EgressIp } from '../egressIp.ts';
import { remember } from '../remember.ts';
import type { AgentView } from './agentView.ts';
import { ClaimIndex } from './claimIndex.ts';
import { bestClaim } from './holders.ts';
import {
  chooseHolder,
  compareAddresses,
  directNetworks,
  type Holder,
  type KnownAnswers,
  type NodePlan,
  peerOf,
  planAddress,
} from './planNode.ts';
import { PodSelector } from './podSelector.ts';
import type { PodSelection } from './selectPods.ts';

interface Planned {
  readonly egressIp: EgressIp;
  /** The address. */
  readonly text: string;
  readonly holder: Holder | undefined;
  /** Blocks of this node up to that version are given back. */
  readonly usableAfter: number;
  readonly plan: EgressAddressPlan;
}

export class NodePlanner {
  readonly #selector = new PodSelector();
  readonly #claims = new ClaimIndex();
  /** By the EgressIP's name. */
  #planned: ReadonlyMap<string, Planned> = new Map();
  readonly #sorted = remember((egressIps: AgentView['egressIps']) =>
    [...egressIps.values()].toSorted((a, b) => compareAddresses(a.address, b.address)),
  );
  readonly #versions = remember(
    (egressIps: AgentView['egressIps']): ReadonlyMap<string, number> =>
      new Map([...egressIps.values()].map(({ name, blocksVersion }) => [name, blocksVersion])),
  );
  readonly #direct = remember((nodes: AgentView['nodes'], serviceCidrs: AgentView['serviceCidrs']) =>
    directNetworks({ nodes, serviceCidrs }),
  );

  select(view: AgentView): PodSelection {
    return this.#selector.select(view);
  }

  plan(view: AgentView, known: KnownAnswers): NodePlan {
    this.#claims.follow(view.gatewayNodes);
    const own = new Map(known.holdings.map((it) => [it.address, it]));
    const planned = new Map<string, Planned>();
    const holders = new Map<string, Holder>();
    for (const egressIp of this.#sorted(view.egressIps)) {
      const before = this.#planned.get(egressIp.name);
      const text = before?.text ?? formatAddress(egressIp.address);
      const heard = known.heard.get(text) ?? [];
      const remote = bestClaim(egressIp, [...this.#claims.claims(text, view.node), ...heard]);
      const holder = chooseHolder(view, egressIp, { ...known, remote, own: own.get(text) });
      if (holder !== undefined) holders.set(egressIp.name, holder);
      const usableAfter = known.givenBack.get(egressIp.name) ?? 0;
      const keeps =
        before?.egressIp === egressIp &&
        before.usableAfter === usableAfter &&
        sameHolder(before.holder, holder);
      const plan = keeps ? before.plan : planAddress(egressIp, holder, { node: view.node, usableAfter });
      planned.set(egressIp.name, keeps ? before : { egressIp, text, holder, usableAfter, plan });
    }
    this.#planned = planned;
    return {
      dataPlane: {
        self: view.self,
        uplink: view.uplink,
        peers: [...view.gatewayNodes.values()].filter(({ name }) => name !== view.node).flatMap(peerOf),
        direct: this.#direct(view.nodes, view.serviceCidrs),
        addresses: [...planned.values()].map(({ plan }) => plan),
        pods: this.#selector.select(view).pods,
      },
      versions: this.#versions(view.egressIps),
      holders,
    };
  }
}

function sameHolder(a: Holder | undefined, b: Holder | undefined): boolean {
  return a?.node === b?.node && a?.blocksVersion === b?.blocksVersion;
}
