/**
 * Writes the `status` of this node's own GatewayNode. Coalesces: while one write is under way only the newest report
 * is kept, so a burst of changes costs two writes. Nobody else writes the object, so a merge patch needs no version;
 * lists are replaced whole by RFC 7386.
 */
import type { KubeClient } from '../../kube/kubeClient.ts';
import { collectionPath, GATEWAY_NODE } from '../../policy/names.ts';
import type { Logger } from '../../runtime/logger.ts';
import type { NodeReport } from '../core/agent/reportNode.ts';

export interface GatewayNodeWriter {
  /** `onFailed` is called when the newest report could not be written: ask again. */
  write(report: NodeReport): void;
  /** Resolves when nothing is under way or kept back. */
  drained(): Promise<void>;
}

interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
}

interface Transition {
  readonly status: Condition['status'];
  /** RFC 3339. */
  readonly since: string;
}

/** Adds since when the condition has its status. */
type Stamp = (condition: Condition) => Condition & { readonly lastTransitionTime: string };

export function createGatewayNodeWriter(options: {
  readonly client: KubeClient;
  readonly node: string;
  readonly logger: Logger;
  readonly wallClock: () => number;
  readonly onFailed: () => void;
}): GatewayNodeWriter {
  let waiting: NodeReport | undefined;
  let running: Promise<void> | undefined;
  const transitions = new Map<string, Transition>();
  const stamp: Stamp = (condition) => {
    const { type, status } = condition;
    const known = transitions.get(type);
    const now = new Date(options.wallClock()).toISOString();
    const { since } = known?.status === status ? known : { since: now };
    transitions.set(type, { status, since });
    return { ...condition, lastTransitionTime: since };
  };

  const run = async (): Promise<void> => {
    while (waiting !== undefined) {
      const report = waiting;
      waiting = undefined;
      const written = await writeStatus(options, renderStatus(report, stamp));
      if (!written && waiting === undefined) options.onFailed();
    }
  };
  return {
    write(report) {
      waiting = report;
      running ??= run().finally(() => {
        running = undefined;
      });
    },
    async drained() {
      await running;
    },
  };
}

function renderStatus(report: NodeReport, stamp: Stamp): unknown {
  const { dataPlaneReady, dataPlaneMessage, forwardingMessage, health, ...rest } = report;
  const ready = stamp({
    type: 'DataPlaneReady',
    status: dataPlaneReady ? 'True' : 'False',
    reason: dataPlaneReady ? 'Programmed' : 'NotProgrammed',
    message: dataPlaneMessage,
  });
  if (health === undefined) return { ...rest, conditions: [ready] };
  const { healthy, reasons, message } = health;
  const [reason = 'ChecksPass'] = reasons;
  const allowed = forwardingMessage === '';
  return {
    ...rest,
    conditions: [
      ready,
      stamp({ type: 'Healthy', status: healthy ? 'True' : 'False', reason, message }),
      stamp({
        type: 'ForwardingAllowed',
        status: allowed ? 'True' : 'False',
        reason: allowed ? 'NothingInTheWay' : 'HostFirewall',
        message: forwardingMessage,
      }),
    ],
  };
}

async function writeStatus(
  options: { readonly client: KubeClient; readonly node: string; readonly logger: Logger },
  status: unknown,
): Promise<boolean> {
  const { client, node, logger } = options;
  const path = `${collectionPath(GATEWAY_NODE)}/${node}`;
  const patched = await client.mergePatch(`${path}/status`, { status });
  if (patched.kind === 'ok') return true;
  if (patched.error.code !== 'not-found') {
    logger.warn('the report of this node could not be written', { error: patched.error.message });
    return false;
  }
  const created = await client.create(collectionPath(GATEWAY_NODE), {
    apiVersion: `${GATEWAY_NODE.group}/${GATEWAY_NODE.version}`,
    kind: GATEWAY_NODE.kind,
    metadata: { name: node },
  });
  if (created.kind !== 'ok' && created.error.code !== 'already-exists') {
    logger.warn('the GatewayNode of this node could not be created', { error: created.error.message });
    return false;
  }
  return (await client.mergePatch(`${path}/status`, { status })).kind === 'ok';
}
