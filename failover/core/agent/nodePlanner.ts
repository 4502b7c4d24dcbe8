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
  unknownPods,
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

interface PlannedAddresses {
  readonly addresses: readonly EgressAddressPlan[];
  readonly holders: ReadonlyMap<string, Holder>;
}

export class NodePlanner {
  readonly #selector = new PodSelector();
  readonly #claims = new ClaimIndex();
  /** By the EgressIP's name. */
  #planned: ReadonlyMap<string, Planned> = new Map();
  #addresses: (PlannedAddresses & { readonly inputs: readonly unknown[] }) | undefined;
  readonly #sorted = remember((egressIps: AgentView['egressIps']) =>
    [...egressIps.values()].toSorted((a, b) => compareAddresses(a.address, b.address)),
  );
  readonly #versions = remember(
    (egressIps: AgentView['egressIps']): ReadonlyMap<string, number> =>
      new Map([...egressIps.values()].map(({ name, blocksVersion }) => [name, blocksVersion])),
  );
  readonly #peers = remember((gatewayNodes: AgentView['gatewayNodes'], self: string) =>
    [...gatewayNodes.values()].filter(({ name }) => name !== self).flatMap(peerOf),
  );
  readonly #direct = remember((nodes: AgentView['nodes'], serviceCidrs: AgentView['serviceCidrs']) =>
    directNetworks({ nodes, serviceCidrs }),
  );

  readonly #unknownPods = remember(unknownPods);

  select(view: AgentView): PodSelection {
    return this.#selector.select(view);
  }

  plan(view: AgentView, known: KnownAnswers): NodePlan {
    const { egressIps, gatewayNodes } = view;
    const { holdings, heard, holders, recalled, givenBack } = known;
    const inputs = [egressIps, gatewayNodes, holdings, heard, holders, recalled, givenBack];
    const kept = this.#addresses;
    const same = kept?.inputs.every((input, at) => input === inputs[at]) === true;
    const planned = same ? kept : { inputs, ...this.#planAddresses(view, known) };
    this.#addresses = planned;
    const { pods, awaited, closed } = this.#selector.select(view);
    return {
      dataPlane: {
        self: view.self,
        uplinks: known.uplinks,
        peers: this.#peers(gatewayNodes, view.node),
        direct: this.#direct(view.nodes, view.serviceCidrs),
        addresses: planned.addresses,
        pods,
        unknownPods: this.#unknownPods(view.nodes.get(view.node)?.podCidrs, awaited, closed),
      },
      versions: this.#versions(egressIps),
      holders: planned.holders,
    };
  }

  #planAddresses(view: AgentView, known: KnownAnswers): PlannedAddresses {
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
    const addresses = [...planned.values()].map(({ plan }) => plan);
    return { addresses, holders: sameHolders(known.holders, holders) ? known.holders : holders };
  }
}

function sameHolders(a: ReadonlyMap<string, Holder>, b: ReadonlyMap<string, Holder>): boolean {
  return a.size === b.size && [...b].every(([name, holder]) => sameHolder(a.get(name), holder));
}

function sameHolder(a: Holder | undefined, b: Holder | undefined): boolean {
  return a?.node === b?.node && a?.blocksVersion === b?.blocksVersion;
}
