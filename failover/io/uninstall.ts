/**
 * What has to be done before the release goes, in an order in which nothing is left hanging: the webhook out of the API
 * servers' way, the controller stopped, every node cleared, policies let go of, and what the programs made deleted.
 */
import type { EventRecorder } from '../../kube/eventRecorder.ts';
import type { KubeClient, KubeOutcome } from '../../kube/kubeClient.ts';
import { leasePath } from '../../kube/lease.ts';
import {
  CILIUM_EGRESS_GATEWAY_POLICY,
  collectionPath,
  EGRESS_IP,
  EGRESS_POLICY,
  GATEWAY_NODE,
  PEER_KEY_SECRET,
  VOTERS_CONFIG_MAP,
} from '../../policy/names.ts';
import type { Logger } from '../../runtime/logger.ts';
import {
  countItems,
  heldPolicies,
  isRolledOut,
  nodesNotClear,
  ownLeases,
  renderCleanupPatch,
} from '../core/uninstall/readWorkloads.ts';
import type { ReleaseNames } from '../uninstallConfig.ts';

export interface UninstallOptions {
  readonly client: KubeClient;
  readonly names: ReleaseNames;
  /** How long nodes are waited for, in milliseconds. */
  readonly timeoutMs: number;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly logger: Logger;
  readonly monotonicMs: () => number;
  readonly pause: (ms: number) => Promise<unknown>;
}

/** A controller ends within its grace period of 10 s; one on a node that is gone cannot write. */
const CONTROLLER_MS = 30_000;
/** Between two looks at what is waited for. */
const LOOK_MS = 250;
/** An API server that is away for longer fails the uninstall, which may be asked for again. */
const WRITE_ATTEMPTS = 40;
const ADMISSION = '/apis/admissionregistration.k8s.io/v1';
const RBAC = '/apis/rbac.authorization.k8s.io/v1';

/** Throws where something was refused; what was done until then does no harm, and is not done twice by another run. */
export async function uninstall(options: UninstallOptions): Promise<void> {
  const { names, logger } = options;
  const { namespace } = names;
  const apps = `/apis/apps/v1/namespaces/${namespace}`;
  const core = `/api/v1/namespaces/${namespace}`;
  for (const plural of ['validatingwebhookconfigurations', 'mutatingwebhookconfigurations'])
    await remove(options, `${ADMISSION}/${plural}/${names.webhook}`);
  logger.info('API servers ask the webhook no more');
  for (const deployment of [names.controller, names.webhook])
    await write(options, `stopping ${deployment}`, (client) =>
      client.mergePatch(`${apps}/deployments/${deployment}`, { spec: { replicas: 0 } }),
    );
  // Its pods stay for a while, and would make their Secret again.
  await remove(options, `${RBAC}/namespaces/${namespace}/rolebindings/${names.webhook}`);
  await waitUntil({ ...options, timeoutMs: CONTROLLER_MS }, async ({ client }) =>
    holds(
      await client.get(`${core}/pods`, { labelSelector: names.controllerPods }),
      (it) => countItems(it) === 0,
    ),
  );
  await clearNodes(options, { apps, core });
  for (const kind of [EGRESS_POLICY, CILIUM_EGRESS_GATEWAY_POLICY])
    await letGo(options, collectionPath(kind));
  for (const kind of [EGRESS_IP, GATEWAY_NODE]) await remove(options, collectionPath(kind));
  const leases = await read(options, leasePath(namespace));
  for (const name of ownLeases(leases)) await remove(options, leasePath(namespace, name));
  await remove(options, `${core}/configmaps/${VOTERS_CONFIG_MAP}`);
  for (const secret of [PEER_KEY_SECRET, names.certSecret])
    await remove(options, `${core}/secrets/${secret}`);
  logger.info('what is left is the release, the CRDs and the policies');
}

/** A node that does not answer is told of where people look for it, and waited for no longer. */
async function clearNodes(
  options: UninstallOptions,
  { apps, core }: { readonly apps: string; readonly core: string },
): Promise<void> {
  const { names, logger, events } = options;
  const path = `${apps}/daemonsets/${names.agent}`;
  await write(options, 'replacing the agents', (client) => client.jsonPatch(path, renderCleanupPatch()));
  const all = await waitUntil(options, async ({ client }) => holds(await client.get(path), isRolledOut));
  if (all) return logger.info('every node is clear');
  const pods = await read(options, `${core}/pods`, { labelSelector: names.agentPods });
  for (const name of nodesNotClear(pods)) {
    const message =
      'Sallyport was uninstalled while this node did not answer: run its cleanup.js here, or restart the node';
    logger.warn('a node may not be clear', { node: name });
    // The kubelet names a node by its name where a uid belongs, and kubectl describe looks for that.
    const regarding = { apiVersion: 'v1', kind: 'Node', name, uid: name };
    events.record({ regarding, type: 'Warning', reason: 'SallyportNotCleared', message });
  }
}

/** Takes our finalizer off every policy: nobody is left who would. */
async function letGo(options: UninstallOptions, path: string): Promise<void> {
  for (;;) {
    const held = heldPolicies(await read(options, path));
    if (held.length === 0) return;
    for (const { name, resourceVersion, finalizers } of held)
      await write(options, `letting go of ${name}`, (client) =>
        client.mergePatch(`${path}/${name}`, { metadata: { resourceVersion, finalizers } }),
      );
  }
}

function holds(outcome: KubeOutcome<unknown>, condition: (value: unknown) => boolean): boolean {
  return outcome.kind === 'ok' && condition(outcome.value);
}

/** False where the time was over. */
async function waitUntil(
  options: UninstallOptions,
  done: (options: UninstallOptions) => Promise<boolean>,
): Promise<boolean> {
  const { monotonicMs, timeoutMs, pause } = options;
  const endMs = monotonicMs() + timeoutMs;
  while (monotonicMs() < endMs) {
    if (await done(options)) return true;
    await pause(LOOK_MS);
  }
  return false;
}

/** A collection that is not served, as its CRD is not installed, has no items. */
async function read(
  options: UninstallOptions,
  path: string,
  query: Readonly<Record<string, string>> = {},
): Promise<unknown> {
  return write(options, `reading ${path}`, (client) => client.get(path, query));
}

async function remove(options: UninstallOptions, path: string): Promise<void> {
  await write(options, `deleting ${path}`, (client) => client.remove(path));
}

/** Again where that may help. What is not there is as good as done, and who changed it meanwhile is read again. */
async function write(
  { client, pause }: UninstallOptions,
  doing: string,
  call: (client: KubeClient) => Promise<KubeOutcome<unknown>>,
): Promise<unknown> {
  for (let attempt = 1; ; attempt += 1) {
    const outcome = await call(client);
    if (outcome.kind === 'ok') return outcome.value;
    const { code, transient, message } = outcome.error;
    if (code === 'not-found' || code === 'conflict') return undefined;
    const again = outcome.kind === 'unknown' || transient;
    if (!again || attempt === WRITE_ATTEMPTS) throw new Error(`${doing}: ${message}`);
    await pause(LOOK_MS);
  }
}
