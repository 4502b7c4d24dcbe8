/** What is said of a change of the Secret with the agents' keys, in the log and as an Event on the Secret. */
import type { PeerKeyAct, PeerKeyStep } from './peerKeyFacts.ts';

/** Named in a message, of the nodes that were not waited for: a message has 1,024 characters, a node's name up to 253. */
const NAMES_MAX = 3;

export interface PeerKeyNews {
  readonly type: 'Normal' | 'Warning';
  /** UpperCamel, closed. */
  readonly reason: string;
  readonly message: string;
}

const REASONS: Readonly<Record<PeerKeyAct, string>> = {
  make: 'PeerKeyMade',
  repair: 'PeerKeyRepaired',
  stamp: 'PeerKeyDated',
  add: 'PeerKeyAdded',
  sign: 'PeerKeySigning',
  retire: 'PeerKeyRetired',
};

export function describePeerKeyStep(step: Extract<PeerKeyStep, { readonly kind: 'write' }>): PeerKeyNews {
  const { act, leftBehind } = step;
  return {
    type: act === 'repair' || leftBehind.length > 0 ? 'Warning' : 'Normal',
    reason: REASONS[act],
    message: [sentenceOf(step), ...leftBehindSentence(leftBehind)].join(' '),
  };
}

function sentenceOf({ act, next }: Extract<PeerKeyStep, { readonly kind: 'write' }>): string {
  const { signing, keys } = next;
  const newest = keys.at(-1)?.id ?? signing;
  switch (act) {
    case 'make':
    case 'repair': {
      const did = act === 'make' ? 'The Secret was made' : 'The Secret was damaged and is repaired';
      const then = newest > signing ? `; key ${newest} takes over once every agent accepts it` : '';
      return `${did}: agents sign with key ${signing}${then}.`;
    }
    case 'stamp':
      return `Key ${signing} bore no usable time; it counts as made now.`;
    case 'add':
      return `Key ${newest} is there: agents sign with key ${signing} until all of them accept it.`;
    case 'sign':
      return `Every agent accepts key ${signing}: agents sign with it from now on.`;
    case 'retire':
      return `Every agent signs with key ${signing}: older keys are removed.`;
    default:
      return act satisfies never;
  }
}

function leftBehindSentence(nodes: readonly string[]): readonly string[] {
  if (nodes.length === 0) return [];
  const more = nodes.length > NAMES_MAX ? ` and ${nodes.length - NAMES_MAX} more` : '';
  return [`Not waited for any longer: ${nodes.slice(0, NAMES_MAX).join(', ')}${more}.`];
}
