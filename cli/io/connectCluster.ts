/**
 * A client to the cluster that the person chose. Imported only by commands that ask one: client-node, which reads
 * kubeconfigs, takes longer to load than most files take to be judged.
 */
import { existsSync } from 'node:fs';
import { type ClusterAccess, inClusterAccess } from '../../kube/inClusterAccess.ts';
import type { KubeClient, KubeOutcome } from '../../kube/kubeClient.ts';
import { createRestClient } from '../../kube/restClient.ts';
import { userAccess } from '../../kube/userAccess.ts';
import { FieldReader } from '../../policy/fieldReader.ts';
import type { CliConfig } from '../config.ts';
import type { ClusterChoice } from '../core/command.ts';
import { describeKubeError } from './describeKubeError.ts';
import { Unusable } from './unusable.ts';

export interface Cluster {
  readonly client: KubeClient;
  readonly server: string;
}

/** A page of a list. */
const PAGE_ITEMS = 500;
/** 500,000 objects: a server that never ends a list is not followed for ever. */
const PAGES_MAX = 1000;

export async function connectCluster(choice: ClusterChoice, config: CliConfig): Promise<Cluster> {
  const access = await chooseAccess(choice, config);
  return { client: createRestClient(access, { userAgent: 'sallyport-cli' }), server: access.server };
}

async function chooseAccess(choice: ClusterChoice, config: CliConfig): Promise<ClusterAccess> {
  const paths = choice.kubeconfig === undefined ? config.kubeconfigPaths : [choice.kubeconfig];
  const { context } = choice;
  try {
    if (
      config.inCluster !== undefined &&
      choice.kubeconfig === undefined &&
      !paths.some((it) => existsSync(it))
    )
      return inClusterAccess(config.inCluster);
    return await userAccess({ paths, ...(context === undefined ? {} : { context }) });
  } catch (error) {
    const why = error instanceof Error ? error.message.trim() : String(error);
    throw new Unusable([`no access to a cluster: ${why}; choose a file with --kubeconfig or KUBECONFIG`]);
  }
}

/** The value of an outcome; throws Unusable with what it means. `unknown`: the answer to a write was lost. */
export function expectOk(doing: string, outcome: KubeOutcome<unknown>): unknown {
  switch (outcome.kind) {
    case 'ok':
      return outcome.value;
    case 'refused':
      throw new Unusable([describeKubeError(doing, outcome.error)]);
    case 'unknown':
      throw new Unusable([
        `${doing}: the answer was lost (${outcome.error.message}), so it may have been done; the same command again does no harm`,
      ]);
    default:
      return outcome satisfies never;
  }
}

export type Listed =
  | { readonly kind: 'ok'; readonly items: readonly unknown[] }
  | { readonly kind: 'not-served' }
  | { readonly kind: 'withheld'; readonly message: string };

/** All objects of a collection. Throws Unusable where the answer is neither a list nor one of what `Listed` knows. */
export async function listAll(
  { client }: Cluster,
  path: string,
  options: { readonly query?: Readonly<Record<string, string>>; readonly whenForbidden?: 'withhold' } = {},
): Promise<Listed> {
  const items: unknown[] = [];
  let token: string | undefined;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const outcome = await client.get(path, { ...options.query, limit: PAGE_ITEMS, continue: token });
    if (outcome.kind === 'refused' && outcome.error.code === 'not-found') return { kind: 'not-served' };
    if (
      outcome.kind === 'refused' &&
      outcome.error.code === 'forbidden' &&
      options.whenForbidden === 'withhold'
    )
      return { kind: 'withheld', message: outcome.error.message };
    const list = expectOk(`reading ${path}`, outcome);
    if (typeof list === 'object' && list !== null && 'items' in list && Array.isArray(list.items))
      items.push(...list.items);
    token = new FieldReader(list, '', []).child('metadata').optionalText('continue') || undefined;
    if (token === undefined) return { kind: 'ok', items };
  }
  throw new Unusable([`reading ${path}: the list does not end`]);
}

/** The objects of a collection that Sallyport cannot be without. */
export async function listServed(cluster: Cluster, path: string): Promise<readonly unknown[]> {
  const listed = await listAll(cluster, path);
  if (listed.kind === 'ok') return listed.items;
  throw new Unusable([`${cluster.server} does not serve ${path}: Sallyport is not installed there`]);
}
