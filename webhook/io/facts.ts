/** What reviews are decided by, kept from the cluster: its facts, and the settings that go with them. */
import {
  type ClusterFactsOptions,
  type ClusterFactsState,
  STALE_AFTER_MS,
  watchClusterFacts,
} from '../../kube/clusterFacts.ts';
import type { ReviewSettings, Snapshot } from '../core/snapshot.ts';

export { STALE_AFTER_MS };

export type FactsState =
  | Extract<ClusterFactsState, { readonly kind: 'waiting' }>
  | { readonly kind: 'synced'; readonly snapshot: Snapshot };

export interface Facts {
  state(): FactsState;
  stop(): Promise<void>;
}

export interface FactsOptions extends ClusterFactsOptions {
  readonly review: ReviewSettings;
}

export function watchFacts({ review, ...options }: FactsOptions): Facts {
  const watch = watchClusterFacts(options);
  return {
    state: () => {
      const state = watch.state();
      if (state.kind === 'waiting') return state;
      return { kind: 'synced', snapshot: { ...review, index: state.index } };
    },
    stop: watch.stop,
  };
}
