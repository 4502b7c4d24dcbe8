/** Says what this replica trusts and serves, in an annotation of its own: when that changed, and regularly while others may wait for it. */
import { randomBytes } from 'node:crypto';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { renderStatement, replicaAnnotation } from '../../policy/certificateNotes.ts';
import type { Logger } from '../../runtime/logger.ts';
import { BEAT_INTERVAL_MS } from '../core/awaitReplicas.ts';
import { type SecretAddress, writeStatement } from './certSecret.ts';
import { asRecord } from './readFacts.ts';

export interface Said {
  /** Digests; empty: none yet. */
  readonly trusts: string;
  readonly serves: string;
}

export interface StatementTime {
  readonly wallMs: number;
  readonly monotonicMs: number;
  /** Whether anybody may be waiting to hear it. */
  readonly awaited: boolean;
  /** The Secret as read: it may have been made anew without what was stated. */
  readonly object: Readonly<Record<string, unknown>> | undefined;
}

export interface Statements {
  /** `written`: the Secret is another one now. */
  state(said: Said, time: StatementTime): Promise<'same' | 'written' | 'failed'>;
  /** Takes the statement away. */
  leave(): Promise<void>;
}

export function createStatements(
  client: KubeClient,
  address: SecretAddress,
  { podName, logger }: { readonly podName: string; readonly logger: Logger },
): Statements {
  let last = { text: '', atMs: Number.NEGATIVE_INFINITY };
  return {
    async state(said, { wallMs, monotonicMs, awaited, object }) {
      const text = JSON.stringify(said);
      const isLost =
        asRecord(asRecord(object?.metadata).annotations)[replicaAnnotation(podName)] === undefined;
      const isDue = isLost || (awaited && monotonicMs - last.atMs >= BEAT_INTERVAL_MS);
      if (text === last.text && !isDue) return 'same';
      const beat = randomBytes(4).toString('hex');
      const statement = renderStatement({ ...said, beat, statedAtMs: wallMs });
      const outcome = await writeStatement(client, address, { podName, text: statement });
      if (outcome.kind === 'ok') {
        last = { text, atMs: monotonicMs };
        return 'written';
      }
      logger.warn('what this replica serves cannot be stated', { ...address, reason: outcome.error.message });
      return 'failed';
    },
    async leave() {
      await writeStatement(client, address, { podName, text: undefined });
    },
  };
}
