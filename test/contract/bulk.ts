/** Thousands of requests, a bounded number at once. */
import type { KubeClient, KubeOutcome } from '../../kube/kubeClient.ts';
import { collectionPath, type ServedKind } from '../../policy/names.ts';
import { must } from './webhookProgram.ts';

/** Of each client: as many as it has connections. */
const AT_ONCE = 4;
const PAGE = 500;
/** Of an object that was refused, in characters. */
const SHOWN_MAX = 500;

export interface Figures {
  readonly count: number;
  readonly seconds: number;
}

/** Some at once. What is gone already is no failure. */
export async function each<T>(
  clients: readonly KubeClient[],
  items: readonly T[],
  act: (item: T, client: KubeClient) => Promise<KubeOutcome<unknown>>,
): Promise<Figures> {
  const beganMs = performance.now();
  let next = 0;
  const worker = async (client: KubeClient): Promise<void> => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) {
      const outcome = await act(item, client);
      if (outcome.kind !== 'ok' && outcome.error.code !== 'not-found')
        throw new Error(`${outcome.error.message}: ${JSON.stringify(item).slice(0, SHOWN_MAX)}`);
    }
  };
  await Promise.all(clients.flatMap((client) => Array.from({ length: AT_ONCE }, () => worker(client))));
  return { count: items.length, seconds: (performance.now() - beganMs) / 1000 };
}

/** Page by page. */
export async function namesOf(client: KubeClient, served: ServedKind): Promise<readonly string[]> {
  const found: string[] = [];
  let token: string | undefined;
  do {
    const query = { limit: PAGE, continue: token };
    const page = must(await client.get(collectionPath(served), query)) as {
      readonly items: readonly { readonly metadata: { readonly name: string } }[];
      readonly metadata: { readonly continue?: string };
    };
    found.push(...page.items.map(({ metadata }) => metadata.name));
    token = page.metadata.continue || undefined;
  } while (token !== undefined);
  return found;
}
