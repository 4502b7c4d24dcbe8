/**
 * Keeps the webhook's certificates in a Secret of its own: each round reads it, publishes its CAs, serves its leaf, states
 * that, and does what `decideRotation` says. A crash anywhere leaves a Secret that the next round, of any replica, goes on with.
 */
import type { KubeClient } from '../../kube/kubeClient.ts';
import type { Logger } from '../../runtime/logger.ts';
import { joinPem, parseCertificate } from '../../runtime/pem.ts';
import type { RotationWatch } from '../core/awaitReplicas.ts';
import { isLeafUsable, isWhole, phaseOf } from '../core/readEvent.ts';
import { decideRotation, type RotationDecision, type RotationEvent } from '../core/rotation.ts';
import { type PresentFacts, plausibleMs } from '../core/rotationFacts.ts';
import type { CertificateMeter } from './certificateMeter.ts';
import { readCertSecret, type SecretAddress, type StoredSecret, writeCertSecret } from './certSecret.ts';
import { createHandOver } from './createHandOver.ts';
import { createStatements, type Statements } from './createStatements.ts';
import { CA_NAME, type IssuedPair, serviceNames } from './issue.ts';
import { createLeavingCas } from './leavingCas.ts';
import type { CertificateSet } from './readFacts.ts';
import { readReplicas } from './readReplicas.ts';
import { renderContent } from './renderContent.ts';
import { createRepairBudget } from './repairBudget.ts';
import type { CertificateKeeper, RoundResult } from './runCertificates.ts';
import { publishBundle, readTrust } from './trustedBundles.ts';

/** Steps, statements and lost races in one round; more means that something fights. */
const STEPS_MAX = 8;

export interface CertificateOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly secretName: string;
  readonly serviceName: string;
  readonly podName: string;
  /** Which Pods are replicas of the webhook; absent: only what they state is known. */
  readonly podSelector?: string;
  readonly validatingConfiguration: string;
  readonly mutatingConfiguration: string;
  /** How long every API server takes at the most to learn of a bundle. */
  readonly propagationMs: number;
  readonly logger: Logger;
  readonly meter: CertificateMeter;
  /** May throw, see createHandOver.ts. */
  readonly onCertificate: (pair: IssuedPair) => void;
  /** Milliseconds since the epoch. */
  readonly wallClock?: () => number;
  readonly monotonic?: () => number;
}

export function keepCertificates(options: CertificateOptions): CertificateKeeper {
  const round = new KeepingRound(options);
  return { round: () => round.run(), stop: () => round.leave() };
}

class KeepingRound {
  readonly #options: CertificateOptions;
  readonly #address: SecretAddress;
  readonly #names: readonly string[];
  readonly #handOver: ReturnType<typeof createHandOver>;
  readonly #statements: Statements;
  readonly #mayRepair = createRepairBudget();
  readonly #leaving = createLeavingCas();
  #watch: RotationWatch | undefined;
  #remembered: { readonly set: CertificateSet; readonly facts: PresentFacts } | undefined;
  #told = '';

  constructor(options: CertificateOptions) {
    this.#options = options;
    this.#address = { namespace: options.namespace, name: options.secretName };
    this.#names = serviceNames(options.serviceName, options.namespace);
    this.#handOver = createHandOver(options);
    this.#statements = createStatements(options.client, this.#address, options);
  }

  get #wallMs(): number {
    return (this.#options.wallClock ?? Date.now)();
  }

  get #monotonicMs(): number {
    return (this.#options.monotonic ?? (() => performance.now()))();
  }

  async run(): Promise<RoundResult> {
    for (let step = 0; step < STEPS_MAX; step += 1) {
      const read = await readCertSecret(this.#options.client, this.#address, this.#names);
      if (read.kind === 'refused') return this.#fail('read', 'cannot be read', read.error.message);
      const stored = read.value;
      const use = await this.#use(stored);
      if (use === 'stated') continue;
      const decision = await this.#decide(stored, use === 'published');
      if (decision.step === 'keep') {
        if (use === 'failed') return 'failed';
        return use === 'published' && decision.state === 'settled' ? 'settled' : 'moving';
      }
      const changed = await this.#change(decision, stored);
      if (changed === 'failed') return 'failed';
    }
    return this.#fail('write', 'keeps changing under us', `${STEPS_MAX} times in one round`);
  }

  /** This replica serves no more. */
  leave(): Promise<void> {
    return this.#statements.leave();
  }

  /** Trusts, serves and states what the Secret holds. A set that nobody could use touches nothing. */
  async #use({ facts, set, object }: StoredSecret): Promise<'published' | 'waiting' | 'stated' | 'failed'> {
    const wallMs = this.#wallMs;
    if (facts.kind !== 'present' || !isLeafUsable(facts, wallMs)) return 'waiting';
    if (isWhole(facts, wallMs)) this.#remembered = { set, facts };
    const published = await this.#publish(set.caPems, wallMs);
    const handedOver = this.#handOver.offer({
      leaf: set.leaf,
      ...(published ? { trusted: set.caPems } : {}),
      ...{ wallMs, monotonicMs: this.#monotonicMs },
    });
    this.#options.meter.phase(phaseOf(facts));
    this.#options.meter.expires('ca', notAfterMs(set.caPems[0]));
    const said = { trusts: published ? facts.bundleId : '', serves: this.#handOver.served() };
    const stated = await this.#statements.state(said, {
      ...{ wallMs, monotonicMs: this.#monotonicMs },
      awaited: phaseOf(facts) !== 'settled',
      object,
    });
    if (stated === 'failed') this.#options.meter.failed('write');
    if (stated === 'written') return 'stated';
    if (!published || stated === 'failed') return 'failed';
    return handedOver === 'wait' ? 'waiting' : 'published';
  }

  /** What replicas of another mode may still serve is trusted for a while: only theirs are not named as ours are. */
  async #publish(caPems: readonly string[], wallMs: number): Promise<boolean> {
    const trust = await readTrust(this.#options, plausibleMs(wallMs));
    if (trust.kind === 'unknown') {
      this.#fail('publish', 'cannot be published', trust.reason);
      return false;
    }
    const present = (trust.kind === 'known' ? trust.bySome : []).filter((pem) => !isOurs(pem));
    const kept = this.#leaving({ present, wanted: caPems, nowMs: this.#monotonicMs });
    return publishBundle(this.#options, joinPem([...caPems, ...kept]));
  }

  /** What can be restored: it must be good by the clock as it is now. */
  #whole(): CertificateSet | undefined {
    const it = this.#remembered;
    return it !== undefined && isWhole(it.facts, this.#wallMs) ? it.set : undefined;
  }

  async #decide(stored: StoredSecret, published: boolean): Promise<RotationDecision> {
    const { client, propagationMs, logger } = this.#options;
    const inRotation = stored.facts.kind === 'present' && phaseOf(stored.facts) !== 'settled';
    const decision = decideRotation(
      {
        secret: stored.facts,
        remembered: this.#whole() !== undefined,
        replicas: inRotation ? await readReplicas(client, this.#options, stored.object ?? {}) : [],
        published,
        wallMs: this.#wallMs,
        monotonicMs: this.#monotonicMs,
        propagationMs,
      },
      this.#watch,
    );
    this.#watch = decision.watch;
    const waiting = `${decision.state} ${decision.waitingFor.join(', ')}`;
    if (decision.waitingFor.length > 0 && waiting !== this.#told)
      logger.info('a rotation waits for replicas', { phase: decision.state, replicas: decision.waitingFor });
    this.#told = waiting;
    return decision;
  }

  async #trusted(wallMs: number): Promise<readonly string[]> {
    const trust = await readTrust(this.#options, plausibleMs(wallMs));
    return trust.kind === 'known' ? trust.bySome.filter(isOurs) : [];
  }

  async #change(decision: RotationDecision, stored: StoredSecret): Promise<'written' | 'lost' | 'failed'> {
    const { step, state, event, reason, leftBehind } = decision;
    if (step === 'keep') return 'written';
    const { client, logger, meter } = this.#options;
    const isRepair = REPAIRS.has(event);
    if (isRepair && !this.#mayRepair(this.#monotonicMs))
      return this.#fail(
        'too-often',
        'was repaired too often of late, so that it is left alone for a while',
        reason,
      );
    const isFirst = state === 'absent' && step === 'make';
    logger[isRepair && !isFirst ? 'warn' : 'info']('changing the certificates', {
      step,
      state,
      event,
      reason,
      leftBehind,
    });
    const nowMs = this.#wallMs;
    const content = await renderContent(step, {
      ...{ stored, state, nowMs, names: this.#names, remembered: this.#whole() },
      trusted: step === 'make' ? await this.#trusted(nowMs) : [],
      gone: leftBehind,
    });
    const written = await writeCertSecret(client, this.#address, { content, over: stored });
    if (written.kind === 'refused') return this.#fail('write', 'cannot be written', written.error.message);
    if (written.kind === 'written') {
      if (step === 'publish-ca' || step === 'make') meter.rotated('ca');
      if (step === 'renew-leaf' || step === 'sign-by-next' || step === 'make') meter.rotated('leaf');
    }
    return written.kind;
  }

  #fail(failure: Parameters<CertificateMeter['failed']>[0], what: string, reason: string): 'failed' {
    this.#options.logger.warn(`the certificate Secret ${what}`, { ...this.#address, reason });
    this.#options.meter.failed(failure);
    return 'failed';
  }
}

/** What nobody planned: logged as a warning, and not done without end. */
const REPAIRS: ReadonlySet<RotationEvent> = new Set<RotationEvent>([
  'remembered',
  'all-unusable',
  'leaf-unusable',
  'ca-unusable',
]);

function isOurs(pem: string): boolean {
  return parseCertificate(pem)?.subject.startsWith(`CN=${CA_NAME}`) === true;
}

function notAfterMs(pem: string | undefined): number {
  return parseCertificate(pem ?? '')?.validToDate.getTime() ?? 0;
}
