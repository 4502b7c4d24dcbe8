/**
 * `npm run chaos`: the classes of failure of the chaos suite, as often or as long as is asked, one line a run. For what
 * shows itself once in many runs only; `npm test` runs each class once.
 */
import type { Cluster } from '../cluster/cluster.ts';
import { type InstalledCluster, PATIENT_SESSION_MS } from '../scenarios/installedCluster.ts';
import { CHAOS_ROWS, type ChaosRow, judgeRun, UDP_RATE } from './chaosRows.ts';
import { describeResult, runFault } from './faultRun.ts';
import { CHAOS_ADDRESS, CHAOS_POD, openChaosCluster } from './openChaosCluster.ts';
import { type ChaosRequest, parseChaosRequest } from './parseChaosRequest.ts';

const CLASSES = CHAOS_ROWS.map(({ key }) => key);
const USAGE = `usage: npm run chaos -- [--class NAME [--minutes M | --runs N]] [--repeat N] [--session MILLISECONDS]
  without --class every class once; --repeat: all of it so often, from a new cluster each time
  classes: ${CLASSES.join(', ')}`;
const MINUTE_MS = 60_000;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

interface Tally {
  readonly runs: number;
  readonly failed: number;
  readonly withoutCause: number;
}

const NO_RUNS: Tally = { runs: 0, failed: 0, withoutCause: 0 };

function added(a: Tally, b: Tally): Tally {
  return {
    runs: a.runs + b.runs,
    failed: a.failed + b.failed,
    withoutCause: a.withoutCause + b.withoutCause,
  };
}

/** The rows to run, one after the other; whoever takes them decides when it is enough. */
function* rowsOf({ only }: ChaosRequest): Generator<ChaosRow> {
  if (only === undefined) return yield* CHAOS_ROWS;
  const began = performance.now();
  const { key, extent } = only;
  for (let run = 0; run === 0 || !isEnough(run); run += 1) yield* CHAOS_ROWS.filter((row) => row.key === key);

  function isEnough(run: number): boolean {
    return extent.kind === 'runs'
      ? run >= extent.runs
      : performance.now() - began >= extent.minutes * MINUTE_MS;
  }
}

/** A run that throws leaves the cluster in no state to go on with. */
async function runRows(installed: InstalledCluster, request: ChaosRequest): Promise<Tally> {
  let tally = NO_RUNS;
  for (const row of rowsOf(request)) {
    try {
      tally = added(tally, await runRow(installed, row));
    } catch (error) {
      say(`${row.key}: BROKEN: ${error instanceof Error ? error.message : String(error)}`);
      return added(tally, { runs: 1, failed: 1, withoutCause: 0 });
    }
  }
  return tally;
}

async function runRow(installed: InstalledCluster, row: ChaosRow): Promise<Tally> {
  const { cluster } = installed;
  const before = await readSessions(cluster);
  const target = { address: CHAOS_ADDRESS, pod: CHAOS_POD, udpRate: UDP_RATE };
  const result = await runFault(installed, row.fault, target);
  const problems = judgeRun(row, result, CHAOS_ADDRESS);
  const verdicts = countVerdicts(row, result.before, { before, after: await readSessions(cluster) });
  const judged = problems.length === 0 ? 'ok' : `FAILED: ${problems.join('; ')}`;
  const withoutCause = verdicts === undefined ? '' : `; ${verdicts} verdicts without cause`;
  say(`${describeResult(row.key, result)}${withoutCause}; ${judged}`);
  return { runs: 1, failed: problems.length === 0 ? 0 : 1, withoutCause: verdicts ?? 0 };
}

/** Gateway → its session. */
async function readSessions(cluster: Cluster): Promise<ReadonlyMap<string, number>> {
  const fields = 'jsonpath={range .items[*]}{.metadata.name} {.status.session}{"\\n"}{end}';
  const { stdout } = await cluster.kubectl(['get', 'gwn', '-o', fields]);
  const lines = stdout.split('\n').map((line) => line.split(' '));
  const gateways = new Set(cluster.nodes.filter(({ role }) => role === 'gateway').map(({ name }) => name));
  return new Map(
    lines.flatMap(([name = '', session]) => (gateways.has(name) ? [[name, Number(session)] as const] : [])),
  );
}

/** New sessions of gateways that the fault did not touch; undefined where it touches too many to tell. */
function countVerdicts(
  { hits }: ChaosRow,
  holder: string,
  sessions: { readonly before: ReadonlyMap<string, number>; readonly after: ReadonlyMap<string, number> },
): number | undefined {
  if (hits === 'several') return undefined;
  const untouched = [...sessions.after].filter(([gateway]) => hits === 'nobody' || gateway !== holder);
  return untouched.reduce(
    (sum, [gateway, session]) => sum + session - (sessions.before.get(gateway) ?? session),
    0,
  );
}

async function run(request: ChaosRequest): Promise<Tally> {
  let tally = NO_RUNS;
  for (let round = 1; round <= request.repeat; round += 1) {
    say(`── ${round} of ${request.repeat}, sessions of ${request.sessionMs} ms`);
    const installed = await openChaosCluster({
      id: `chaos-${process.pid}`,
      onProgress: say,
      sessionMilliseconds: request.sessionMs,
    });
    try {
      tally = added(tally, await runRows(installed, request));
    } finally {
      await installed.destroy();
    }
  }
  return tally;
}

const request = parseChaosRequest(process.argv.slice(2), {
  classes: CLASSES,
  sessionMs: PATIENT_SESSION_MS,
});
if (typeof request === 'string') {
  process.stderr.write(`${request}\n${USAGE}\n`);
  process.exitCode = 2;
} else {
  const { runs, failed, withoutCause } = await run(request);
  say(`${runs} runs, ${failed} failed, ${withoutCause} verdicts without cause`);
  process.exitCode = failed === 0 ? 0 : 1;
}
