/** What every part of a world stands on. */
import type { Durations } from '../../../failover/core/ownership/durations.ts';
import type { OwnershipWord } from '../../../failover/core/ownership/ownershipWord.ts';
import type { ApiModel } from './apiModel.ts';
import type { Checker } from './checker.ts';
import type { CoreModule } from './coreModule.ts';
import type { Coverage } from './coverage.ts';
import type { Draws } from './draws.ts';
import type { EventQueue } from './eventQueue.ts';
import type { Network } from './network.ts';
import type { Segment } from './segment.ts';

/** Wrongs of the world around the core, for the checker to find. */
export type WorldBug =
  | 'user-space fence only'
  | 'release before the kernel confirmed'
  | 'validity from the answer'
  | 'an address is announced once'
  | 're-arming with the remaining time'
  | 'no flush before a new session'
  | 'blind write'
  | 'epochs begin anew with a new object'
  | 'older configuration after a restart'
  | 'a lease that stood still proves a death'
  | 'the Lease is closed before the hand-over'
  | 'no joint configuration'
  | 'older voters are changed'
  | 'no wait for the old voters'
  | 'no final wait';

export interface Settings {
  readonly heartbeatMs: number;
  readonly sessionMs: number;
}

export interface Ground {
  readonly core: CoreModule;
  readonly bug: WorldBug | undefined;
  readonly queue: EventQueue;
  readonly draws: Draws;
  readonly durations: Durations;
  readonly network: Network;
  readonly segment: Segment;
  readonly api: ApiModel;
  readonly checker: Checker;
  readonly coverage: Coverage;
  /** Nodes by name, for the network. */
  readonly indexOf: ReadonlyMap<string, number>;
  readonly names: readonly string[];
  readonly trace: ((line: () => string) => void) | undefined;
}

export type Word = OwnershipWord;
