/**
 * The wall clock of one gateway's agent is set forward and back while it holds the address. The machine's own clock is
 * everybody's and is not touched: every agent is started with Debian's libfaketime between it and the C library, which
 * reads how far to be off from a file for each node. The monotonic clock stays as it is, as it does when a clock is set.
 * What this cannot show is a kernel whose clock is set; the rules that agents load have no time of day in them.
 */
import { copyFileSync, globSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { GATEWAY_LEASE_PREFIX } from '../../policy/names.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { ClusterError } from '../cluster/command.ts';
import { NAMESPACE, until } from '../scenarios/installedCluster.ts';
import type { Fault } from './faultRun.ts';

const AGENTS = 'ds/sallyport-agent';
const STEP_SECONDS = 60;
/** Renewals come four a Lease of 3 s, and the library looks at its file once a second. */
const STEP_SEEN_MIN_MS = 50_000;
const ROLLOUT_TIMEOUT_MS = 120_000;
const LIBRARY = 'libfaketimeMT.so.1';

export function clockStepped(): Fault {
  return {
    async prepare({ cluster }) {
      const folder = path.join(cluster.folder, 'clocks');
      mkdirSync(folder, { recursive: true });
      copyFileSync(findLibrary(), path.join(folder, LIBRARY));
      for (const { name } of cluster.nodes) setClock(cluster, name, 0);
      await cluster.kubectl([
        '-n',
        NAMESPACE,
        'patch',
        AGENTS,
        '--type=json',
        '--patch',
        renderPatch(folder),
      ]);
      await cluster.waitForRollout(NAMESPACE, AGENTS, { timeoutMs: ROLLOUT_TIMEOUT_MS });
    },
    async inject({ cluster, holder }) {
      for (const seconds of [STEP_SECONDS, -STEP_SECONDS, 0]) {
        setClock(cluster, holder, seconds);
        await stepSeen(cluster, holder, seconds);
      }
    },
    async restore({ cluster, holder }) {
      setClock(cluster, holder, 0);
      await cluster.kubectl(['-n', NAMESPACE, 'rollout', 'undo', AGENTS]);
      await cluster.waitForRollout(NAMESPACE, AGENTS, { timeoutMs: ROLLOUT_TIMEOUT_MS });
    },
  };
}

function findLibrary(): string {
  const [found] = globSync(`/usr/lib/*/faketime/${LIBRARY}`);
  if (found === undefined)
    throw new ClusterError('setting a clock', 'the Debian package faketime is missing');
  return found;
}

function setClock({ folder }: Cluster, node: string, seconds: number): void {
  writeFileSync(path.join(folder, 'clocks', node), `${seconds < 0 ? '' : '+'}${seconds}s\n`);
}

/** The agent writes its wall clock into its Lease: the others' Leases say what time it is. */
async function stepSeen(cluster: Cluster, node: string, seconds: number): Promise<void> {
  await until(cluster, `the clock of ${node} to be ${seconds} s off`, async () => {
    const { stdout } = await cluster.kubectl(['-n', NAMESPACE, 'get', 'leases', '-o', RENEWALS]);
    const renewed = new Map(
      stdout.split('\n').map((line) => {
        const [name = '', time = ''] = line.split(' ');
        return [name, Date.parse(time)] as const;
      }),
    );
    const own = renewed.get(`${GATEWAY_LEASE_PREFIX}${node}`) ?? Number.NaN;
    const others = [...renewed].filter(
      ([name]) => name.startsWith(GATEWAY_LEASE_PREFIX) && name !== `${GATEWAY_LEASE_PREFIX}${node}`,
    );
    return others.every(([, other]) => {
      const offMs = own - other;
      if (seconds === 0) return Math.abs(offMs) < STEP_SEEN_MIN_MS;
      return Math.sign(offMs) === Math.sign(seconds) && Math.abs(offMs) >= STEP_SEEN_MIN_MS;
    });
  });
}

const RENEWALS = 'jsonpath={range .items[*]}{.metadata.name} {.spec.renewTime}{"\\n"}{end}';

/** At the ends of the lists: a variable may only name those before it. */
function renderPatch(folder: string): string {
  const env = {
    LD_PRELOAD: `/clocks/${LIBRARY}`,
    FAKETIME_TIMESTAMP_FILE: '/clocks/$(NODE_NAME)',
    FAKETIME_CACHE_DURATION: '1',
    // Its name up to 0.9.9, and since.
    DONT_FAKE_MONOTONIC: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  };
  const pod = '/spec/template/spec';
  const mount = { name: 'clocks', mountPath: '/clocks', readOnly: true };
  const volume = { name: 'clocks', hostPath: { path: folder, type: 'Directory' } };
  return JSON.stringify([
    ...Object.entries(env).map(([name, value]) => added(`${pod}/containers/0/env`, { name, value })),
    added(`${pod}/containers/0/volumeMounts`, mount),
    added(`${pod}/volumes`, volume),
  ]);
}

function added(list: string, value: object): object {
  return { op: 'add', path: `${list}/-`, value };
}
