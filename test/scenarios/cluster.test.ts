import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Cluster } from '../cluster/cluster.ts';
import { cgroupsOf, clusterFolder } from '../cluster/clusterState.ts';
import { createCluster } from '../cluster/createCluster.ts';
import { destroyAbandoned, destroyCluster } from '../cluster/destroyCluster.ts';
import { writeBusyboxImage } from '../cluster/ociImage.ts';

const ID = `smoke-${process.pid}`;
const IMAGE = 'sallyport.test/busybox:1';
const scratch = mkdtempSync(path.join(tmpdir(), 'sallyport-smoke-'));
let running: Cluster | undefined;

function cluster(): Cluster {
  if (running === undefined) throw new Error('the cluster did not start');
  return running;
}

beforeAll(async () => {
  const image = path.join(scratch, 'busybox.tar');
  await writeBusyboxImage(IMAGE, image);
  running = await createCluster({
    id: ID,
    images: [image],
    shape: [
      { name: 'gw-1', role: 'gateway', zone: 'zone-a' },
      { name: 'worker-1', role: 'worker', zone: 'zone-b' },
    ],
  });
});

afterAll(async () => {
  await destroyCluster(ID);
  rmSync(scratch, { recursive: true, force: true });
});

function renderPod(name: string, node: string): string {
  const container = { name: 'probe', image: IMAGE, imagePullPolicy: 'Never' };
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: { nodeName: node, terminationGracePeriodSeconds: 0, containers: [container] },
  });
}

/** The source address that the outside host sees when the pod connects to it. */
async function seenFromOutside(pod: string): Promise<string> {
  const server = `const s=require('net').createServer(c=>{console.log(c.remoteAddress);c.end();s.close()});
s.listen(7000,'198.51.100.10')`;
  const listening = cluster().outsideExec([process.execPath, '-e', server], { timeoutMs: 30_000 });
  const connecting = cluster().waitFor('the pod to reach the outside host', async () => {
    const argv = ['nc', '-w', '2', '198.51.100.10', '7000'];
    const { code } = await cluster().podExec('default', pod, argv, { allowFailure: true });
    return code === 0 ? true : undefined;
  });
  const [heard] = await Promise.all([listening, connecting]);
  return heard.stdout.trim();
}

/** What of the cluster is still on the machine. */
function leftovers(id: string): readonly string[] {
  const namespaces = execFileSync('ip', ['netns'], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.startsWith(`sp-${id}-`));
  const processes = readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`/clusters/${id}/`);
      } catch {
        return false;
      }
    });
  const cgroups = ['control-plane', 'gw-1', 'worker-1']
    .flatMap((member) => cgroupsOf(`sp-${id}-${member}`))
    .filter((cgroup) => existsSync(cgroup));
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(`/clusters/${id}/`) || line.includes(`sp-${id}-`));
  return [...namespaces, ...processes, ...cgroups, ...mounts, ...[clusterFolder(id)].filter(existsSync)];
}

test('nodes carry their zone and gateways their label', async () => {
  const labels =
    '{.metadata.labels.topology\\.kubernetes\\.io/zone} {.metadata.labels.sallyport\\.dev/gateway}';
  const read = async (node: string): Promise<string> =>
    (await cluster().kubectl(['get', 'node', node, '-o', `jsonpath=${labels}`])).stdout;
  expect(await read('gw-1')).toBe('zone-a true');
  expect(await read('worker-1')).toBe('zone-b ');
});

test("without a policy a pod leaves with its node's address", async () => {
  await cluster().kubectl(['create', '-f', '-'], { stdin: renderPod('probe', 'worker-1') });
  await cluster().waitForPodReady('default', 'probe');
  expect(await seenFromOutside('probe')).toBe('203.0.113.21');
});

test('a one-way partition stops one direction until it is healed', async () => {
  const ping = async (): Promise<number> =>
    (
      await cluster().nodeExec('gw-1', ['busybox', 'ping', '-c1', '-W1', '203.0.113.21'], {
        allowFailure: true,
      })
    ).code;
  expect(await ping()).toBe(0);
  await cluster().partition('gw-1', 'worker-1', 'b-to-a');
  expect(await ping()).toBe(1);
  await cluster().heal();
  expect(await ping()).toBe(0);
});

test('a frozen kubelet stands still until it is thawed', async () => {
  const pattern = /^\S*\/kubelet /;
  cluster().freeze('worker-1', pattern);
  const late = cluster().podExec('default', 'probe', ['true'], { timeoutMs: 2_000 });
  await expect(late).rejects.toThrow('did not end before its deadline');
  cluster().thaw('worker-1', pattern);
  expect((await cluster().podExec('default', 'probe', ['echo', 'again'])).stdout).toBe('again\n');
});

test('a node loses everything in a power cut and comes back as a new boot', async () => {
  await cluster().nodeExec('worker-1', ['nft', 'add', 'table', 'ip', 'forgotten']);
  await cluster().powerCut('worker-1');
  // The network namespace lies there, without a wire and without anybody in it, until the power is back.
  const namespace = cluster().networkNamespace('worker-1');
  const lies = (line: string): boolean => line === namespace || line.includes(`/netns/${namespace}`);
  expect(leftovers(ID).filter((line) => line.includes('worker-1') && !lies(line))).toEqual([]);
  expect(execFileSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' })).toBe('');
  await cluster().powerOn('worker-1');
  await cluster().waitForNodeReady('worker-1');
  const tables = await cluster().nodeExec('worker-1', ['nft', 'list', 'tables']);
  expect(tables.stdout).not.toContain('forgotten');
  await cluster().kubectl(['wait', '--for=condition=Ready', 'node/worker-1', '--timeout=20s']);
  expect((await cluster().nodeExec('worker-1', ['busybox', 'ping', '-c1', '-W1', '203.0.113.1'])).code).toBe(
    0,
  );
  await cluster().kubectl(['delete', 'pod', 'probe', '--ignore-not-found']);
  await cluster().kubectl(['create', '-f', '-'], { stdin: renderPod('probe-2', 'worker-1') });
  await cluster().waitForPodReady('default', 'probe-2');
  expect(await seenFromOutside('probe-2')).toBe('203.0.113.21');
});

test('the API server stops, and starts with what it knew', async () => {
  cluster().stopApiServer();
  const answer = await cluster().kubectl(['get', '--raw', '/readyz'], { allowFailure: true });
  expect(answer.code).not.toBe(0);
  await cluster().startApiServer();
  expect((await cluster().kubectl(['get', 'pod', 'probe-2', '-o', 'name'])).stdout.trim()).toBe(
    'pod/probe-2',
  );
});

test('destroying it leaves nothing on the machine', async () => {
  expect(leftovers(ID).length).toBeGreaterThan(0);
  await cluster().destroy();
  expect(leftovers(ID)).toEqual([]);
});

test('a run that was killed is cleaned up by the next, and by its records alone', async () => {
  const id = `dead-${process.pid}`;
  const module = path.resolve(import.meta.dirname, '../cluster/createCluster.ts');
  const script = `const { createCluster } = await import('${module}');
await createCluster({ id: '${id}', shape: [{ name: 'gw-1', role: 'gateway', zone: 'zone-a' }] });
process.kill(process.pid, 'SIGKILL');`;
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  expect(run.signal, run.stderr).toBe('SIGKILL');
  expect(leftovers(id).length).toBeGreaterThan(0);
  expect(await destroyAbandoned()).toContain(id);
  expect(leftovers(id)).toEqual([]);
});
