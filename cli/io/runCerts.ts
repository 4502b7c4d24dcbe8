/** `certs`: what the webhook's certificates are, and the annotation that asks for others. */
import type { RotationWish } from '../../policy/certificateNotes.ts';
import { ROTATE_ANNOTATION } from '../../policy/names.ts';
import { readCertsStatus } from '../core/certsStatus.ts';
import { type CertsAct, type Command, EXIT_FINE, EXIT_NOT_FINE } from '../core/command.ts';
import { renderCerts } from '../core/renderCerts.ts';
import { followRotation, type RotationLook, type RotationProgress } from '../core/rotationProgress.ts';
import { type Cluster, expectOk } from './connectCluster.ts';
import { followCollection } from './followCollection.ts';
import {
  findInstallation,
  type Installation,
  readCertsFacts,
  readLook,
  readSecret,
  secretsOf,
} from './readCerts.ts';
import type { Terminal } from './terminal.ts';
import { Unusable } from './unusable.ts';

type Rotate = Extract<CertsAct, { readonly action: 'rotate' }>;

/** @param wallClock milliseconds since the epoch. */
export async function runCerts(
  { act, namespace }: Extract<Command, { readonly kind: 'certs' }>,
  cluster: Cluster,
  terminal: Terminal,
  wallClock: () => number = Date.now,
): Promise<number> {
  const installation = await findInstallation(cluster, namespace);
  const secret = await readSecret(cluster, installation);
  if (act.action === 'rotate')
    return rotate(act, { cluster, terminal, installation, before: readLook(secret) });
  const status = readCertsStatus(readCertsFacts(installation, secret, wallClock()));
  terminal.out(renderCerts(status, act.format));
  return status.problems.length === 0 ? EXIT_FINE : EXIT_NOT_FINE;
}

interface Rotation {
  readonly cluster: Cluster;
  readonly terminal: Terminal;
  readonly installation: Installation;
  readonly before: RotationLook;
}

const NAMES: Readonly<Record<RotationWish, string>> = { leaf: 'leaf', ca: 'CA' };

async function rotate(act: Rotate, rotation: Rotation): Promise<number> {
  const { cluster, terminal, installation, before } = rotation;
  const { mode, namespace, secret } = installation;
  if (mode !== 'selfManaged')
    throw new Unusable([
      `the certificates are not the webhook's to make (${mode}): whoever keeps Secret ${namespace}/${secret} rotates them`,
    ]);
  const { phase } = before.notes;
  if (act.what === 'ca' && phase !== undefined && phase !== 'settled')
    terminal.tell(`a rotation is under way (${phase}); this one follows when it is through`);
  const patch = { metadata: { annotations: { [ROTATE_ANNOTATION]: act.what } } };
  const path = `${secretsOf(namespace)}/${encodeURIComponent(secret)}`;
  expectOk(`annotating Secret ${namespace}/${secret}`, await cluster.client.mergePatch(path, patch));
  terminal.out(`a new ${NAMES[act.what]} is asked for\n`);
  return act.wait ? waitUntilRotated(act, rotation) : EXIT_FINE;
}

async function waitUntilRotated(act: Rotate, rotation: Rotation): Promise<number> {
  const { cluster, terminal, installation, before } = rotation;
  let last: RotationProgress | undefined;
  const ended = await followCollection<RotationLook>({
    cluster,
    path: secretsOf(installation.namespace),
    query: { fieldSelector: `metadata.name=${installation.secret}` },
    project: (raw) => ({ key: installation.secret, value: readLook(raw) }),
    isDone: ([look]) => {
      if (look === undefined) return false;
      const progress = followRotation(act.what, before, look);
      if (progress.line !== last?.line) terminal.out(`${progress.line}\n`);
      last = progress;
      return progress.done;
    },
    timeoutMs: act.timeoutMs,
  });
  if (ended === 'done') return EXIT_FINE;
  terminal.tell(
    `the new ${NAMES[act.what]} was not there in time; it stays asked for. Last seen: ${last?.line ?? 'no Secret'}`,
  );
  return EXIT_NOT_FINE;
}
