/** The EgressIP of an address that has none yet: what the first write of one is planned from. */
import { type EgressIp, isPossibleEpoch } from '../egressIp.ts';
import type { Claim } from './claims.ts';
import type { ControllerView } from './controllerView.ts';
import { statementIndex } from './statementIndex.ts';

/**
 * An address may have had an EgressIP before, of which agents remember who let go at which epoch although nobody states it
 * any more. Epochs of the new object must be above all of those: they start at the milliseconds of the wall clock, because
 * no object changes its epoch as fast, and above whatever is still stated.
 */
export function emptyEgressIp({ name, address }: Claim, view: ControllerView, wallMs: number): EgressIp {
  const stated = statementIndex(view.gatewayNodes)
    .on(address)
    .map(({ statement }) => statement.epoch)
    .filter((epoch) => isPossibleEpoch(epoch, wallMs));
  return {
    name,
    uid: '',
    resourceVersion: '',
    address,
    policies: [],
    epoch: stated.reduce((highest, epoch) => Math.max(highest, epoch), wallMs),
    order: [],
    fence: [],
    blocksVersion: 0,
    blocks: [],
    resting: [],
  };
}
