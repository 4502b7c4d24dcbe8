/** What the webhook counts. Every label takes its values from a closed set; no names of objects. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import {
  CERTIFICATE_FAILURES,
  CERTIFICATE_KINDS,
  type CertificateMeter,
} from '../../certs/io/certificateMeter.ts';
import { CERTIFICATE_PHASES } from '../../policy/certificateNotes.ts';
import type { Refusal } from '../core/refusal.ts';
import type { Decision, Operation } from '../core/review.ts';

/** A decision takes well under a millisecond; a second is a disaster. */
const LATENCY_BUCKETS_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1];

export type Endpoint = 'validate' | 'mutate';

export interface WebhookMetrics {
  readonly registry: Registry;
  readonly certificates: CertificateMeter;
  decided(decision: Decision, operation: Operation): void;
  refusedRequest(reason: Refusal): void;
  took(endpoint: Endpoint, seconds: number): void;
}

export function createWebhookMetrics(): WebhookMetrics {
  const registry = new Registry();
  const registers = [registry];
  const decisions = new Counter({
    name: 'sallyport_webhook_decisions_total',
    help: 'Findings of admission by code and verdict; code "none" with verdict "allow" where there was none.',
    labelNames: ['code', 'verdict', 'operation'],
    registers,
  });
  const malformed = new Counter({
    name: 'sallyport_webhook_malformed_total',
    help: 'Requests that were not decided, by what was wrong with them.',
    labelNames: ['reason'],
    registers,
  });
  const latency = new Histogram({
    name: 'sallyport_webhook_review_duration_seconds',
    help: 'From the complete body to the answer.',
    labelNames: ['endpoint'],
    buckets: LATENCY_BUCKETS_SECONDS,
    registers,
  });
  return {
    registry,
    certificates: createCertificateMeter(registers),
    decided: ({ violations }, operation) => {
      if (violations.length === 0) decisions.inc({ code: 'none', verdict: 'allow', operation });
      for (const { code, verdict } of violations) decisions.inc({ code, verdict, operation });
    },
    refusedRequest: (reason) => malformed.inc({ reason }),
    took: (endpoint, seconds) => latency.observe({ endpoint }, seconds),
  };
}

function createCertificateMeter(registers: readonly Registry[]): CertificateMeter {
  const common = { registers: [...registers] };
  const expiry = new Gauge({
    name: 'sallyport_webhook_certificate_expiry_timestamp_seconds',
    help: 'When the served leaf, and the CA that signs, expire, in seconds since the epoch.',
    labelNames: ['certificate'],
    ...common,
  });
  const phases = new Gauge({
    name: 'sallyport_webhook_certificate_phase',
    help: '1 for the phase that the rotation is in, 0 for the others.',
    labelNames: ['phase'],
    ...common,
  });
  const rotations = new Counter({
    name: 'sallyport_webhook_certificate_rotations_total',
    help: 'Certificates that this replica issued.',
    labelNames: ['certificate'],
    ...common,
  });
  const failures = new Counter({
    name: 'sallyport_webhook_certificate_failures_total',
    help: 'Rounds of the keeper of certificates that did not do what was due, by why.',
    labelNames: ['reason'],
    ...common,
  });
  for (const certificate of CERTIFICATE_KINDS) rotations.inc({ certificate }, 0);
  for (const reason of CERTIFICATE_FAILURES) failures.inc({ reason }, 0);
  return {
    expires: (certificate, notAfterMs) => expiry.set({ certificate }, notAfterMs / 1000),
    phase: (current) => {
      for (const phase of CERTIFICATE_PHASES) phases.set({ phase }, phase === current ? 1 : 0);
    },
    rotated: (certificate) => rotations.inc({ certificate }),
    failed: (reason) => failures.inc({ reason }),
  };
}
