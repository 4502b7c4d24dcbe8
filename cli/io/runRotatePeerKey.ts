/** `rotate-peer-key`: the annotation on the Secret that asks the controller for a new key. The key itself is never looked at. */
import { FieldReader } from '../../policy/fieldReader.ts';
import { PEER_KEY_SECRET, ROTATE_ANNOTATION, VOTERS_CONFIG_MAP } from '../../policy/names.ts';
import { type Command, EXIT_FINE } from '../core/command.ts';
import { type Cluster, expectOk, listAll } from './connectCluster.ts';
import type { Terminal } from './terminal.ts';
import { Unusable } from './unusable.ts';

/** Any value will do. */
const WISH = 'now';

export async function runRotatePeerKey(
  command: Extract<Command, { readonly kind: 'rotate-peer-key' }>,
  cluster: Cluster,
  terminal: Terminal,
): Promise<number> {
  const namespace = command.namespace ?? (await findNamespace(cluster));
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets/${PEER_KEY_SECRET}`;
  const outcome = await cluster.client.mergePatch(path, {
    metadata: { annotations: { [ROTATE_ANNOTATION]: WISH } },
  });
  if (outcome.kind === 'refused' && outcome.error.code === 'not-found')
    throw new Unusable([
      `there is no Secret ${PEER_KEY_SECRET} in namespace ${namespace}; say with --namespace where Sallyport runs`,
    ]);
  expectOk(`annotating Secret ${namespace}/${PEER_KEY_SECRET}`, outcome);
  terminal.out(
    `a new peer key is asked for; the agents change over step by step, which takes about two minutes. To see it:\n  kubectl -n ${namespace} describe secret ${PEER_KEY_SECRET}\n`,
  );
  return EXIT_FINE;
}

/** Sallyport runs where its list of voters is, which is no secret. */
async function findNamespace(cluster: Cluster): Promise<string> {
  const listed = await listAll(cluster, '/api/v1/configmaps', {
    query: { fieldSelector: `metadata.name=${VOTERS_CONFIG_MAP}` },
  });
  const namespaces = (listed.kind === 'ok' ? listed.items : []).flatMap(
    (raw) => new FieldReader(raw, '', []).child('metadata').optionalText('namespace') ?? [],
  );
  const [namespace, other] = namespaces;
  if (namespace === undefined)
    throw new Unusable(['Sallyport was not found in any namespace; say with --namespace where it runs']);
  if (other !== undefined)
    throw new Unusable([`Sallyport runs in ${namespaces.join(' and ')}; choose one with --namespace`]);
  return namespace;
}
