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

export function createGatewayNodeWriter(options: {
  readonly client: KubeClient;
  readonly node: string;
  readonly logger: Logger;
  readonly wallClock: () => number;
  readonly onFailed: () => void;
}): GatewayNodeWriter {
  let waiting: NodeReport | undefined;
  let running: Promise<void> | undefined;
  let since = new Date(options.wallClock()).toISOString();
  let ready: boolean | undefined;

  const run = async (): Promise<void> => {
    while (waiting !== undefined) {
      const report = waiting;
      waiting = undefined;
      if (report.dataPlaneReady !== ready) since = new Date(options.wallClock()).toISOString();
      ready = report.dataPlaneReady;
      const written = await writeStatus(options, renderStatus(report, since));
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

function renderStatus(report: NodeReport, since: string): unknown {
  const { dataPlaneReady, dataPlaneMessage, ...rest } = report;
  const condition = {
    type: 'DataPlaneReady',
    status: dataPlaneReady ? 'True' : 'False',
    reason: dataPlaneReady ? 'Programmed' : 'NotProgrammed',
    message: dataPlaneMessage,
    lastTransitionTime: since,
  };
  return { ...rest, conditions: [condition] };
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
