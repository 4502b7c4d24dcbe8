/**
 * Creates of policies at a steady pace against a real API server, most of them dry runs, some of them refused for a good
 * reason: what becomes of each, by whether the webhook could be asked at all.
 */
import type { KubeClient } from '../../kube/kubeClient.ts';
import { collectionPath, EGRESS_POLICY } from '../../policy/names.ts';

const POLICIES = collectionPath(EGRESS_POLICY);
/** One create a second is stored and deleted again: what is stored costs controller and agents work. */
const STORED_EACH = 50;
/** Every third is refused. */
const DENIED_EACH = 3;
const FAILURES_KEPT_MAX = 100;
const OFF_EVERY_LINK = '192.0.2.1/32';

/** Nothing of a dry run lasts, so that it may have the address of another. */
function dryHost(index: number): number {
  return 100 + (index % 100);
}

/** A stored policy has its address until the controller has let it go: the next one with the same comes fifty seconds later. */
function storedHost(index: number): number {
  return 200 + (Math.floor(index / STORED_EACH) % 50);
}

export interface LoadReport {
  readonly allowed: number;
  readonly denied: number;
  /** The webhook was not asked, or its answer was lost: what the API server said. */
  readonly failures: readonly string[];
  /** Answers in milliseconds, sorted. */
  readonly tookMs: readonly number[];
}

export interface ReviewLoad {
  /** What happened since the last call. Waits for what is under way. */
  take(): Promise<LoadReport>;
  stop(): Promise<void>;
}

export function startReviewLoad(clients: readonly KubeClient[], perSecond: number): ReviewLoad {
  const pending = new Set<Promise<void>>();
  let record = emptyRecord();
  let count = 0;
  const fire = (): void => {
    const index = count++;
    const client = clients[index % clients.length];
    if (client === undefined) throw new Error('startReviewLoad: no client');
    const done = create(client, index, record).finally(() => pending.delete(done));
    pending.add(done);
  };
  // Open loop: a slow answer holds nothing up. A timer that comes late is made up for.
  const startedMs = performance.now();
  const timer = setInterval(() => {
    const due = ((performance.now() - startedMs) / 1000) * perSecond;
    while (count < due) fire();
  }, 1000 / perSecond);
  return {
    async take() {
      const taken = record;
      const underWay = [...pending];
      record = emptyRecord();
      await Promise.all(underWay);
      return { ...taken, tookMs: taken.tookMs.toSorted((a, b) => a - b) };
    },
    async stop() {
      clearInterval(timer);
      await Promise.all(pending);
    },
  };
}

interface Recording {
  allowed: number;
  denied: number;
  readonly failures: string[];
  readonly tookMs: number[];
}

function emptyRecord(): Recording {
  return { allowed: 0, denied: 0, failures: [], tookMs: [] };
}

async function create(client: KubeClient, index: number, record: Recording): Promise<void> {
  const denied = index % DENIED_EACH === 0;
  const stored = !denied && index % STORED_EACH === 1;
  const name = `load-${index}`;
  const cidr = denied ? OFF_EVERY_LINK : `203.0.113.${stored ? storedHost(index) : dryHost(index)}/32`;
  const body = {
    apiVersion: `${EGRESS_POLICY.group}/${EGRESS_POLICY.version}`,
    kind: EGRESS_POLICY.kind,
    metadata: { name },
    spec: {
      selectors: [{ matchLabels: { app: name } }],
      destinationCIDRs: ['0.0.0.0/0'],
      egressGateway: { ippools: [{ cidr }] },
    },
  };
  const beganMs = performance.now();
  const outcome = await client.create(stored ? POLICIES : `${POLICIES}?dryRun=All`, body);
  record.tookMs.push(performance.now() - beganMs);
  const fault = faultOf(outcome, denied);
  if (fault !== undefined) {
    if (record.failures.length < FAILURES_KEPT_MAX)
      record.failures.push(`${new Date().toISOString()} ${fault}`);
  } else if (denied) record.denied += 1;
  else record.allowed += 1;
  if (stored) await client.remove(`${POLICIES}/${name}`);
}

/** A verdict other than the right one is a failure too. */
function faultOf(outcome: Awaited<ReturnType<KubeClient['create']>>, denied: boolean): string | undefined {
  if (outcome.kind === 'ok') return denied ? 'a policy off every link was admitted' : undefined;
  const { status, message } = outcome.error;
  if (denied && status === 403 && message.includes('(pool-unroutable)')) return undefined;
  return `${status ?? outcome.error.code}: ${message}`;
}
