/** Writes an EgressIP's metadata and spec as the wire has them; the inverse of parseEgressIp. */
import { formatAddress } from '../../policy/address.ts';
import { API_VERSION, EGRESS_IP, SALLYPORT_GROUP } from '../../policy/names.ts';
import { formatTimestamp } from '../../policy/timestamp.ts';
import type { EgressIp } from './egressIp.ts';

/** With a resourceVersion the write is a compare-and-swap; a new object has none. */
export function renderEgressIp(egressIp: EgressIp): unknown {
  const { name, uid, resourceVersion } = egressIp;
  return {
    apiVersion: `${SALLYPORT_GROUP}/${API_VERSION}`,
    kind: EGRESS_IP.kind,
    metadata: {
      name,
      ...(uid === '' ? {} : { uid }),
      ...(resourceVersion === '' ? {} : { resourceVersion }),
    },
    spec: renderEgressIpSpec(egressIp),
  };
}

export function renderEgressIpSpec(egressIp: EgressIp): unknown {
  const { address, epoch, home, blocksVersion } = egressIp;
  return {
    address: formatAddress(address),
    policies: egressIp.policies.map((owner) => ({ kind: owner.kind, name: owner.name, uid: owner.uid })),
    epoch,
    order: egressIp.order,
    fence: egressIp.fence,
    ...(home === undefined ? {} : { home }),
    blocksVersion,
    blocks: egressIp.blocks,
    // Rounded up: a block never rests for less than it was given.
    resting: egressIp.resting.map(({ first, last, untilMs }) => ({
      first,
      last,
      until: formatTimestamp(Math.ceil(untilMs / 1000) * 1000),
    })),
  };
}
