/**
 * Carries out what the ownership core asks for and reports each outcome back as an event. Runs on a thread of its own
 * with nothing else on it: no list of the API server, and no garbage of one, stands before a heartbeat here.
 */
import type { Address } from '../../policy/model.ts';
import type { KernelOutcome } from '../core/dataPlane.ts';
import { type Assignment, addressesNaming } from '../core/ownership/assignment.ts';
import { ownershipWakeMs, stepOwnership } from '../core/ownership/ownershipCore.ts';
import {
  initialOwnership,
  type OwnershipEffect,
  type OwnershipEvent,
  type OwnershipState,
} from '../core/ownership/ownershipState.ts';
import { wordOfOwnership } from '../core/ownership/ownershipWord.ts';
import { isValid } from '../core/ownership/peerSession.ts';
import type { KernelGate } from './answerGate.ts';
import type { FromOwnership, OwnershipSettings, Timeless, ToOwnership } from './ownershipProtocol.ts';
import type { PeerTransport } from './peerTransport.ts';
import { addressNamed, SourceSteering } from './sourceSteering.ts';

/** Between a failed kernel command and the report of it, so that a broken tool is not called in a hot loop. */
const RETRY_MS = 250;
const STATS_MS = 15_000;
const WARN_EVERY_MS = 1000;

export interface OwnershipRunnerOptions {
  readonly settings: OwnershipSettings;
  readonly incarnation: () => string;
  readonly gate: KernelGate;
  readonly transport: Pick<PeerTransport, 'send' | 'setKeys' | 'setPeers' | 'dropped'>;
  readonly post: (message: FromOwnership) => void;
  readonly monotonicMs: () => number;
}

export class OwnershipRunner {
  readonly #options: OwnershipRunnerOptions;
  readonly #queue: Timeless<OwnershipEvent>[] = [];
  #state: OwnershipState;
  #stepping = false;
  #timer: NodeJS.Timeout | undefined;
  #timerMs = 0;
  #stats: NodeJS.Timeout;
  #said = '';
  #wasValid = false;
  #lapses = 0;
  #longestStallMs = 0;
  #warnedMs = Number.NEGATIVE_INFINITY;
  #guarded = '';
  #peers: ReadonlyMap<string, Address> = new Map();
  readonly #sources: SourceSteering;

  constructor(options: OwnershipRunnerOptions) {
    this.#options = options;
    const { node, durations } = options.settings;
    this.#sources = new SourceSteering((address, gateway) => options.gate.steer(address, gateway));
    const nowMs = options.monotonicMs();
    this.#state = initialOwnership({ node, durations, incarnation: options.incarnation(), nowMs });
    this.#stats = setInterval(() => void this.#postStats(), STATS_MS);
  }

  handle(message: ToOwnership): void {
    const { transport, gate, post } = this.#options;
    switch (message.kind) {
      case 'event':
        if (message.event.kind === 'assigned') this.#guard(message.event.assignments);
        return this.post(message.event);
      case 'peers':
        transport.setPeers(message.peers);
        this.#peers = message.peers;
        return this.post({ kind: 'peers', peers: [...message.peers.keys()] });
      case 'keys':
        return transport.setKeys(message.keys);
      case 'rights':
        return this.#sources.follow(message.rights, this.#state.assignments);
      case 'flush':
        void gate.flush().then((outcome) => {
          this.#warn('flushing', outcome);
          setTimeout(
            () => post({ kind: 'flushed', ok: outcome.kind === 'ok' }),
            outcome.kind === 'ok' ? 0 : RETRY_MS,
          );
        });
        return;
      case 'resync':
        void gate.reassert().then((outcome) => this.#warn('restoring what is answered for', outcome));
        return;
      case 'uplinks':
        void gate.setUplinks(message.uplinks).then((outcome) => this.#warn('changing the uplinks', outcome));
        return;
      case 'stop':
        return;
      default:
        message satisfies never;
    }
  }

  /** Events are stepped one at a time, in order. */
  post(event: Timeless<OwnershipEvent>): void {
    this.#queue.push(event);
    if (this.#stepping) return;
    this.#stepping = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        const nowMs = this.#options.monotonicMs();
        const step = stepOwnership(this.#state, { ...next, nowMs });
        const changed = this.#notable(this.#state, step.state, nowMs);
        this.#state = step.state;
        for (const effect of step.effects) this.#perform(effect);
        if (changed) this.#say();
      }
    } finally {
      this.#stepping = false;
    }
    this.#schedule();
  }

  stop(): void {
    clearTimeout(this.#timer);
    clearInterval(this.#stats);
  }

  /** Most events put the next wake off: a timer that is early enough stays, and looks again when it is due. */
  #schedule(): void {
    const wakeMs = ownershipWakeMs(this.#state);
    if (this.#timer !== undefined && wakeMs !== undefined && this.#timerMs <= wakeMs) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (wakeMs === undefined) return;
    this.#timerMs = wakeMs;
    const waitMs = Math.max(0, wakeMs - this.#options.monotonicMs());
    this.#timer = setTimeout(() => this.#wake(), Math.ceil(waitMs));
  }

  #wake(): void {
    this.#timer = undefined;
    const wakeMs = ownershipWakeMs(this.#state);
    const lateMs = wakeMs === undefined ? -1 : this.#options.monotonicMs() - wakeMs;
    if (lateMs < 0) return this.#schedule();
    this.#longestStallMs = Math.max(this.#longestStallMs, lateMs);
    this.post({ kind: 'tick' });
  }

  /** Cheap to ask after each of a thousand heartbeats a second: did anything change that the main thread is told? */
  #notable(before: OwnershipState, after: OwnershipState, nowMs: number): boolean {
    const valid = isValid(after.peer, nowMs);
    if (this.#wasValid && !valid && after.peer !== undefined) {
      this.#lapses += 1;
      this.#log('warn', 'the session lapsed: no majority of voters granted it in time', {
        session: after.peer.session,
      });
    }
    const validityChanged = this.#wasValid !== valid;
    this.#wasValid = valid;
    return (
      validityChanged ||
      before.addresses !== after.addresses ||
      before.assignments !== after.assignments ||
      before.deaths.verdicts !== after.deaths.verdicts ||
      before.peer?.session !== after.peer?.session ||
      before.closing !== after.closing ||
      before.voter.config !== after.voter.config
    );
  }

  #say(): void {
    const word = wordOfOwnership(this.#state);
    const text = JSON.stringify({ ...word, released: [...word.released] });
    if (text === this.#said) return;
    this.#said = text;
    this.#options.post({ kind: 'word', word });
  }

  #guard(assignments: ReadonlyMap<string, Assignment>): void {
    const { gate, settings } = this.#options;
    const names = [...assignments.keys()].toSorted();
    const ours = addressesNaming(settings.node, assignments).toSorted();
    const text = `${names.join(' ')} | ${ours.join(' ')}`;
    if (text === this.#guarded) return;
    this.#guarded = text;
    const addressesOf = (some: readonly string[]) => some.flatMap((name) => addressNamed(name) ?? []);
    const again = (what: string, outcome: KernelOutcome): void => {
      this.#warn(what, outcome);
      if (outcome.kind !== 'ok') this.#guarded = '';
    };
    void gate.guard(addressesOf(names)).then((outcome) => again('guarding the egress IPs', outcome));
    void gate.standBy(addressesOf(ours)).then((outcome) => again('standing by', outcome));
  }

  #perform(effect: OwnershipEffect): void {
    const { gate, transport, post } = this.#options;
    switch (effect.kind) {
      case 'send':
        return transport.send(effect.to, effect.message);
      case 'beat': {
        const { session, seq } = effect;
        const beat = gate.beat(session, seq);
        // No pause after a failure: the next heartbeat comes at its own pace, and a session does not wait.
        return void beat.then((outcome) => {
          this.#warnRarely('a heartbeat', outcome);
          this.post({ kind: 'beat-done', session, seq, ok: outcome.kind === 'ok' });
        });
      }
      case 'grant':
        return gate.grant(effect.session, effect.seq);
      case 'arm':
      case 'disarm':
        return this.#move(effect);
      case 'announce':
      case 'refresh': {
        const address = addressNamed(effect.address);
        return address === undefined ? undefined : gate[effect.kind]([address]);
      }
      case 'session-over':
        this.#log('warn', 'the session is over', { session: effect.session, reason: effect.reason });
        return post(effect);
      case 'heard-holdings':
        this.#sources.hear(effect.holdings, {
          gateway: this.#peers.get(effect.session.gateway),
          assignments: this.#state.assignments,
        });
        return post(effect);
      case 'session-closed':
        return post(effect);
      default:
        return effect satisfies never;
    }
  }

  #move({
    kind,
    address: name,
    session,
  }: Extract<OwnershipEffect, { readonly kind: 'arm' | 'disarm' }>): void {
    const { gate } = this.#options;
    const address = addressNamed(name);
    if (address === undefined) throw new Error(`#move: ${name} is no address`); // Assignments are parsed objects.
    const arming = kind === 'arm';
    this.#log('info', arming ? 'answering for an egress IP' : 'giving up an egress IP', {
      address: name,
      session,
    });
    this.#command(
      arming ? 'arming' : 'disarming',
      arming ? gate.arm(address, session) : gate.disarm(address),
      (ok) => ({ kind: arming ? 'armed' : 'disarmed', address: name, session, ok }),
    );
  }

  /** Posts a command's outcome: at once if it succeeded, after a pause if not. */
  #command(
    what: string,
    run: Promise<KernelOutcome>,
    event: (ok: boolean) => Timeless<OwnershipEvent>,
  ): void {
    void run.then((outcome) => {
      this.#warn(what, outcome);
      if (outcome.kind === 'ok') this.post(event(true));
      else setTimeout(() => this.post(event(false)), RETRY_MS);
    });
  }

  #warn(what: string, outcome: KernelOutcome): void {
    if (outcome.kind === 'ok') return;
    this.#log('warn', `${what} failed`, { outcome: outcome.kind, reason: outcome.message });
  }

  /** Of what is tried forty times a second, one complaint a second says enough. */
  #warnRarely(what: string, outcome: KernelOutcome): void {
    const nowMs = this.#options.monotonicMs();
    if (outcome.kind === 'ok' || nowMs - this.#warnedMs < WARN_EVERY_MS) return;
    this.#warnedMs = nowMs;
    this.#warn(what, outcome);
  }

  #log(level: 'info' | 'warn', message: string, fields: Readonly<Record<string, unknown>>): void {
    this.#options.post({ kind: 'log', level, message, fields });
  }

  async #postStats(): Promise<void> {
    const { transport, gate, post } = this.#options;
    const longestStallMs = this.#longestStallMs;
    this.#longestStallMs = 0;
    const fenced = await gate.readFenced();
    post({
      kind: 'stats',
      stats: { dropped: transport.dropped(), fenced, lapses: this.#lapses, longestStallMs },
    });
  }
}
