/**
 * How long one admission decision takes: from the parsed body of a request to the answer's object, as the webhook does
 * it for each request. HTTP, TLS and the JSON text are left out.
 */
import {
  type AdmissionReview,
  decideAdmission,
  parseReview,
  renderReview,
  type Snapshot,
} from '../webhook/core/review.ts';
import type { Candidate } from './population.ts';
import { percentile } from './statistics.ts';

/** The cases take turns of so many decisions, so that a busy second of the machine is everybody's. */
const TURN_DECISIONS = 100;
/** After this a slow machine begins no further turn. */
const DURATION_MAX_MS = 15_000;

export interface DecisionCase {
  readonly snapshot: Snapshot;
  readonly candidates: readonly Candidate[];
}

export interface DecisionFigures {
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
  readonly decisions: number;
  readonly refused: number;
}

interface Sample {
  readonly tookMs: number;
  readonly allowed: boolean;
}

/** Figures in the order of the cases. Throws where a verdict is not the one that the candidate was made for. */
export function measureDecisions(cases: readonly DecisionCase[]): readonly DecisionFigures[] {
  // Also the warm-up: the compiler has then seen every way through.
  for (const { snapshot, candidates } of cases)
    for (const candidate of candidates) expectVerdict(candidate, decide(candidate.body, snapshot));
  const samples = cases.map((): Sample[] => []);
  const decisions = Math.min(...cases.map(({ candidates }) => candidates.length));
  const beganMs = performance.now();
  for (
    let from = 0;
    from < decisions && performance.now() - beganMs < DURATION_MAX_MS;
    from += TURN_DECISIONS
  )
    cases.forEach(({ snapshot, candidates }, at) => {
      for (const { body } of candidates.slice(from, from + TURN_DECISIONS))
        samples[at]?.push(timeDecision(body, snapshot));
    });
  return samples.map(summarize);
}

function timeDecision(body: unknown, snapshot: Snapshot): Sample {
  const beganMs = performance.now();
  const { allowed } = decide(body, snapshot).response;
  return { tookMs: performance.now() - beganMs, allowed };
}

function summarize(samples: readonly Sample[]): DecisionFigures {
  const tookMs = samples.map((sample) => sample.tookMs);
  return {
    p50Ms: percentile(tookMs, 50),
    p99Ms: percentile(tookMs, 99),
    decisions: samples.length,
    refused: samples.filter(({ allowed }) => !allowed).length,
  };
}

function decide(body: unknown, snapshot: Snapshot): AdmissionReview {
  const request = parseReview(body);
  if (request.kind === 'refused') throw new Error(request.error);
  return renderReview(request.value.uid, decideAdmission(request.value, snapshot));
}

function expectVerdict({ conflicting }: Candidate, { response }: AdmissionReview): void {
  const message = response.status?.message ?? '';
  const asMade = conflicting ? message.includes('(pool-overlap)') : response.allowed;
  if (!asMade) throw new Error(`not the verdict that was expected: ${JSON.stringify(response)}`);
}
