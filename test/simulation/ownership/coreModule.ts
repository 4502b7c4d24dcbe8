/** The parts of the product that a world runs on: the real ones, or a copy with a planted bug. */
import * as joinOrders from '../../../failover/core/agent/joinOrders.ts';
import * as leaseSession from '../../../failover/core/agent/leaseSession.ts';
import * as planEgressIp from '../../../failover/core/controller/planEgressIp.ts';
import * as durations from '../../../failover/core/ownership/durations.ts';
import * as ownershipCore from '../../../failover/core/ownership/ownershipCore.ts';
import * as ownershipState from '../../../failover/core/ownership/ownershipState.ts';
import * as ownershipWord from '../../../failover/core/ownership/ownershipWord.ts';

export type CoreModule = Pick<typeof ownershipCore, 'stepOwnership' | 'ownershipWakeMs'> &
  Pick<typeof ownershipState, 'initialOwnership'> &
  Pick<typeof ownershipWord, 'wordOfOwnership'> &
  Pick<typeof durations, 'deriveDurations'> &
  Pick<typeof leaseSession, 'initialLeaseSession' | 'stepLeaseSession' | 'leaseWakeMs'> &
  Pick<typeof joinOrders, 'planJoins'> &
  Pick<typeof planEgressIp, 'planEgressIp'>;

export const REAL_CORE: CoreModule = {
  ...ownershipCore,
  ...ownershipState,
  ...ownershipWord,
  ...durations,
  ...leaseSession,
  ...joinOrders,
  ...planEgressIp,
};
