/**
 * Asks what a gateway checks, each check at its own pace and one question of each at a time, and says what became of its
 * health. Nodes that are no gateways ask nothing.
 */
import { randomInt } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Address } from '../../policy/model.ts';
import type { Labels } from '../../policy/selector.ts';
import type { Logger } from '../../runtime/logger.ts';
import type { AgentView } from '../core/agent/agentView.ts';
import {
  type Health,
  type HealthEvent,
  type HealthState,
  initialHealth,
  judgeHealth,
  type ProbeOutcome,
  stepHealth,
} from '../core/agent/health.ts';
import { type HealthCheck, type HealthSettings, planChecks } from '../core/agent/healthChecks.ts';
import type { ObservedNode } from '../core/agent/reportNode.ts';
import { remember } from '../core/remember.ts';
import { createPacketProber, type PacketProber } from './packetProber.ts';
import { runStreamProbe } from './runStreamProbe.ts';

export interface HealthProbesOptions {
  readonly node: string;
  readonly uplink: string;
  /** What the node is known by. */
  readonly address: Address;
  readonly settings: HealthSettings;
  readonly observed: ObservedNode;
  readonly isGateway: (view: AgentView) => boolean;
  /** Undefined: the node is no gateway any more, and nothing is said of its health. */
  readonly onHealth: (health: Health | undefined) => void;
  readonly logger: Logger;
  readonly execPrefix?: readonly string[];
  /** Where the kernel shows devices; another place only in tests. */
  readonly sysClassNet?: string;
}

export interface HealthProbes {
  viewed(view: AgentView): void;
  observed(observed: ObservedNode): void;
  stop(): void;
}

export function startHealthProbes(options: HealthProbesOptions): HealthProbes {
  return new Probes(options);
}

const SYS_CLASS_NET = '/sys/class/net';
const IDENTIFIER_MAX = 0xffff;
const NO_LABELS: Labels = {};

/** One check that goes on until it is stopped. */
interface Round {
  /** As it was planned last: the address that it is asked from may be another by then. */
  check: HealthCheck;
  timer?: NodeJS.Timeout;
}

/** What of a view the checks follow from, and what became of them. */
interface Gateway extends Pick<AgentView, 'egressIps'> {
  readonly labels: Labels;
  readonly health: HealthState;
}

class Probes implements HealthProbes {
  readonly #options: HealthProbesOptions;
  /** By the device that they ask on. */
  readonly #probers = new Map<string, PacketProber>();
  readonly #identifier = randomInt(IDENTIFIER_MAX + 1);
  /** By the check's id. */
  readonly #rounds = new Map<string, Round>();
  /** Check → why it could not be made, as it was logged. */
  readonly #unmade = new Map<string, string>();
  /** Undefined while the node is no gateway. */
  #gateway: Gateway | undefined;
  #observed: ObservedNode;
  #planned = '';
  #said = '';
  readonly #checksOf = remember(
    (labels: Labels, egressIps: AgentView['egressIps'], observed: ObservedNode): readonly HealthCheck[] => {
      const { settings, uplink, address } = this.#options;
      const addresses = [...egressIps.values()].map((egressIp) => egressIp.address);
      return planChecks(settings, { labels, uplink, address, observed, egressIps: addresses });
    },
  );

  constructor(options: HealthProbesOptions) {
    this.#options = options;
    this.#observed = options.observed;
  }

  viewed(view: AgentView): void {
    const { node, isGateway } = this.#options;
    if (!isGateway(view)) return this.#leave();
    const { healthy = true, healthMessage = '' } = view.gatewayNodes.get(node) ?? {};
    const labels = view.nodes.get(node)?.labels ?? NO_LABELS;
    const health = this.#gateway?.health ?? initialHealth({ healthy, message: healthMessage });
    this.#gateway = { labels, egressIps: view.egressIps, health };
    this.#plan(this.#gateway);
  }

  observed(observed: ObservedNode): void {
    this.#observed = observed;
    if (this.#gateway !== undefined) this.#plan(this.#gateway);
  }

  stop(): void {
    this.#halt([...this.#rounds.keys()]);
    this.#gateway = undefined;
    for (const prober of this.#probers.values()) prober.close();
    this.#probers.clear();
  }

  #leave(): void {
    if (this.#gateway === undefined) return;
    this.stop();
    this.#planned = '';
    this.#said = '';
    this.#options.onHealth(undefined);
  }

  #plan({ labels, egressIps }: Gateway): void {
    const checks = this.#checksOf(labels, egressIps, this.#observed);
    const text = JSON.stringify(checks);
    if (text === this.#planned) return;
    this.#planned = text;
    this.#step({ kind: 'checks', rules: checks });
    const wanted = new Set(checks.map(({ id }) => id));
    this.#halt([...this.#rounds.keys()].filter((id) => !wanted.has(id)));
    for (const check of checks) {
      const round = this.#rounds.get(check.id);
      if (round === undefined) this.#begin(check);
      else round.check = check;
    }
    this.#endProbers(new Set(checks.flatMap(({ question }) => this.#deviceOf(question) ?? [])));
  }

  /** Of devices that nothing is asked on any more: a card may come and go. */
  #endProbers(asked: ReadonlySet<string>): void {
    for (const [device, prober] of this.#probers) {
      if (asked.has(device)) continue;
      prober.close();
      this.#probers.delete(device);
    }
  }

  /** That packets of our own are sent on; undefined: it takes none. */
  #deviceOf(question: HealthCheck['question']): string | undefined {
    if (question.kind === 'icmp') return this.#options.uplink;
    return question.kind === 'arp' || question.kind === 'nd' ? question.device : undefined;
  }

  #halt(ids: readonly string[]): void {
    for (const id of ids) {
      clearTimeout(this.#rounds.get(id)?.timer);
      this.#rounds.delete(id);
      this.#unmade.delete(id);
    }
  }

  #begin(first: HealthCheck): void {
    const round: Round = { check: first };
    this.#rounds.set(first.id, round);
    const look = async (): Promise<void> => {
      const began = performance.now();
      const { check } = round;
      const outcome = await this.#ask(check);
      if (this.#rounds.get(check.id) !== round) return;
      this.#noteUnmade(check, outcome);
      this.#step({ kind: 'probed', id: check.id, outcome });
      const restMs = check.intervalMs - (performance.now() - began);
      round.timer = setTimeout(() => void look(), Math.max(0, restMs));
    };
    void look();
  }

  async #ask({ question, timeoutMs }: HealthCheck): Promise<ProbeOutcome> {
    const { sysClassNet = SYS_CLASS_NET, uplink } = this.#options;
    switch (question.kind) {
      case 'carrier':
        return readCarrier(`${sysClassNet}/${question.device}/carrier`);
      case 'unaskable':
        return { kind: 'unknown', detail: question.why };
      case 'arp':
      case 'nd':
        return this.#proberOn(question.device).ask(question.kind, question.address, {
          from: question.from,
          timeoutMs,
        });
      case 'icmp':
        return this.#proberOn(uplink).ask(question.kind, question.address, {
          from: question.from,
          timeoutMs,
        });
      case 'tcp':
      case 'http':
        return runStreamProbe(question, { localAddress: question.from, timeoutMs });
      default:
        return question satisfies never;
    }
  }

  #proberOn(device: string): PacketProber {
    const { execPrefix = [] } = this.#options;
    const found = this.#probers.get(device);
    const prober = found ?? createPacketProber({ execPrefix, uplink: device, identifier: this.#identifier });
    this.#probers.set(device, prober);
    return prober;
  }

  #step(event: HealthEvent): void {
    if (this.#gateway === undefined) return;
    const health = stepHealth(this.#gateway.health, event);
    this.#gateway = { ...this.#gateway, health };
    const judged = judgeHealth(health);
    const text = JSON.stringify(judged);
    if (text === this.#said) return;
    const { logger, onHealth } = this.#options;
    const { healthy, reasons, message } = judged;
    if (!healthy) logger.warn('this gateway is unhealthy', { reasons, why: message });
    else if (this.#said !== '') logger.info('this gateway is healthy again');
    this.#said = text;
    onHealth(judged);
  }

  /** Once for each reason, not once a second. */
  #noteUnmade({ id }: HealthCheck, outcome: ProbeOutcome): void {
    if (outcome.kind !== 'unknown') this.#unmade.delete(id);
    else if (this.#unmade.get(id) !== outcome.detail) {
      this.#unmade.set(id, outcome.detail);
      this.#options.logger.warn('a health check could not be made', { check: id, why: outcome.detail });
    }
  }
}

/** The file of a device that was taken down cannot be read: EINVAL. */
async function readCarrier(file: string): Promise<ProbeOutcome> {
  try {
    const up = (await readFile(file, 'utf8')).trim() === '1';
    return up ? { kind: 'ok' } : { kind: 'failed', detail: 'it has no carrier' };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException; // What node:fs throws.
    if (code === 'EINVAL') return { kind: 'failed', detail: 'it is down' };
    if (code === 'ENOENT') return { kind: 'failed', detail: 'it is gone' };
    return { kind: 'unknown', detail: message };
  }
}
