/**
 * Keeps the Secret with the key that agents prove themselves to each other with: makes it, repairs it and changes the
 * key, as core/controller/peerKeyRotation.ts decides. The leader does. Every write is a create or a compare-and-swap;
 * whoever loses one, or its answer, reads again.
 */
import type { EventRecorder } from '../../kube/eventRecorder.ts';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { FieldReader } from '../../policy/fieldReader.ts';
import { PEER_KEY_SECRET } from '../../policy/names.ts';
import type { Logger } from '../../runtime/logger.ts';
import type { Now } from '../core/controller/controllerEvents.ts';
import { describePeerKeyStep } from '../core/controller/describePeerKeyStep.ts';
import {
  type AgentKeys,
  ID_STEP_MAX,
  type PeerKeyStep,
  signingAgeMs,
} from '../core/controller/peerKeyFacts.ts';
import { decidePeerKeys, type PeerKeyWatch } from '../core/controller/peerKeyRotation.ts';
import {
  type KeyBytes,
  type PeerKeySecret,
  readPeerKeySecret,
  storedOf,
  writePeerKeySecret,
} from './peerKeySecret.ts';

export interface PeerKeyKeeper {
  /** We lead: the Secret is looked after from now on. */
  begin(): void;
  /** Looks once; milliseconds until the next look. Called by the keeper itself once it has begun. */
  look(): Promise<number>;
  stop(): Promise<void>;
}

export interface PeerKeyKeeperOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  /** 0: only when asked. */
  readonly rotateEveryMs: number;
  /** What agents state of their keys; undefined while that is not known. */
  readonly agents: () => readonly AgentKeys[] | undefined;
  readonly leads: () => boolean;
  readonly events: EventRecorder;
  /** Of the key that is signed with. */
  readonly onAge: (ageMs: number) => void;
  readonly logger: Logger;
  readonly now: () => Now;
  /** In [0, 1). */
  readonly random?: () => number;
}

/** A Secret that somebody deleted or damaged is rebuilt after this: agents keep the keys they have until then. */
const LOOK_MS = 30_000;
/** While a key is changed: agents answer each step within about a second. */
const STEP_MS = 2000;
const RETRY_MS = 1000;
/** Of nodes in a line of the log. */
const NAMES_MAX = 10;

export function createPeerKeyKeeper(options: PeerKeyKeeperOptions): PeerKeyKeeper {
  return new Keeper(options);
}

class Keeper implements PeerKeyKeeper {
  readonly #options: PeerKeyKeeperOptions;
  /** Of the newest sound Secret: what a damaged one is rebuilt from. */
  #remembered: KeyBytes = new Map();
  #watch: PeerKeyWatch | undefined;
  #waitedFor = '';
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #stopped = false;

  constructor(options: PeerKeyKeeperOptions) {
    this.#options = options;
  }

  begin(): void {
    this.#looking = this.look().then((pauseMs) => {
      if (!this.#stopped) this.#timer = setTimeout(() => this.begin(), pauseMs);
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#looking;
  }

  async look(): Promise<number> {
    const { client, namespace, logger } = this.#options;
    const read = await readPeerKeySecret(client, namespace);
    const agents = this.#options.agents();
    if (read.kind === 'refused' || agents === undefined) {
      if (read.kind === 'refused') logger.warn('the peer keys cannot be read', { error: read.error.message });
      return RETRY_MS;
    }
    const step = this.#decide(read.value, agents);
    if (step.kind === 'write') return this.#write(step, read.value);
    // An exhausted one may be damaged as well; of damage nothing is remembered.
    if (step.phase !== 'exhausted') this.#remembered = read.value.bytes;
    this.#sayWaiting(step);
    return step.phase === 'spreading' || step.phase === 'retiring' ? STEP_MS : LOOK_MS;
  }

  #decide({ stored }: PeerKeySecret, agents: readonly AgentKeys[]): PeerKeyStep {
    const { rotateEveryMs, now, onAge, random = Math.random } = this.#options;
    const { wallMs, monotonicMs } = now();
    const remembered = [...this.#remembered.keys()];
    const idStep = 1 + Math.floor(random() * ID_STEP_MAX);
    const known = { stored, remembered, agents, wallMs, monotonicMs, rotateEveryMs, idStep };
    const { step, watch } = decidePeerKeys(known, this.#watch);
    this.#watch = watch;
    const ageMs = signingAgeMs(stored, wallMs);
    if (ageMs !== undefined) onAge(ageMs);
    return step;
  }

  async #write(step: Extract<PeerKeyStep, { readonly kind: 'write' }>, over: PeerKeySecret): Promise<number> {
    const { client, namespace, logger, leads } = this.#options;
    if (!leads()) return RETRY_MS;
    const { next, act } = step;
    const outcome = await writePeerKeySecret(client, namespace, { next, over, remembered: this.#remembered });
    if (outcome.kind === 'ok') {
      this.#remembered = storedOf(outcome.value).bytes;
      this.#announce(step, outcome.value);
      return STEP_MS;
    }
    const { code, message } = outcome.error;
    // Somebody else was first, or the answer was lost: whatever stands there now is decided upon anew.
    const lost = code === 'conflict' || code === 'already-exists' || code === 'not-found';
    if (outcome.kind === 'refused' && !lost)
      logger.warn('the peer keys cannot be written', { act, error: message });
    else logger.info('reading the peer keys again', { act, reason: message });
    return RETRY_MS;
  }

  #announce(step: Extract<PeerKeyStep, { readonly kind: 'write' }>, object: unknown): void {
    const { logger, events, namespace } = this.#options;
    const { act, next, leftBehind } = step;
    const ids = next.keys.map(({ id }) => id);
    const { type, reason, message } = describePeerKeyStep(step);
    const fields = { act, keys: ids, signing: next.signing, leftBehind: leftBehind.slice(0, NAMES_MAX) };
    logger[type === 'Warning' ? 'warn' : 'info'](message, fields);
    const uid = new FieldReader(object, '', []).child('metadata').optionalText('uid') ?? '';
    const regarding = { apiVersion: 'v1', kind: 'Secret', name: PEER_KEY_SECRET, namespace, uid };
    events.record({ regarding, type, reason, message });
  }

  #sayWaiting({ phase, waitingFor }: Extract<PeerKeyStep, { readonly kind: 'keep' }>): void {
    const { logger } = this.#options;
    const text = [phase, ...waitingFor].join(' ');
    if (text === this.#waitedFor) return;
    this.#waitedFor = text;
    if (phase === 'exhausted') logger.error('a new peer key is due and there is no number left for it');
    else if (waitingFor.length > 0)
      logger.info('the change of the peer key waits for agents', {
        phase,
        agents: waitingFor.length,
        nodes: waitingFor.slice(0, NAMES_MAX),
      });
  }
}
