/** `validate` and `facts`: reads files and facts, lets core judge and render. */
import { factCollections } from '../../kube/factSources.ts';
import { createInterner } from '../../kube/internLabels.ts';
import type { ClusterFacts } from '../../policy/model.ts';
import type { CliConfig } from '../config.ts';
import { collectManifests } from '../core/collectManifests.ts';
import { type Command, EXIT_FINE } from '../core/command.ts';
import { type FactLists, readFactLists, renderFacts } from '../core/factsDocument.ts';
import { factsOf } from '../core/factsOf.ts';
import { judgeManifests } from '../core/judgeManifests.ts';
import { createReport, exitCodeOf, type FactsOrigin, renderReport } from '../core/report.ts';
import { readDocuments } from '../core/sourceDocument.ts';
import { readSources, readText } from './readSources.ts';
import type { Terminal } from './terminal.ts';
import { Unusable } from './unusable.ts';

export interface Surroundings {
  readonly terminal: Terminal;
  readonly stdin: NodeJS.ReadableStream;
  readonly config: CliConfig;
}

type Validate = Extract<Command, { readonly kind: 'validate' }>;

export async function runValidate(command: Validate, around: Surroundings): Promise<number> {
  const files = await readSources(command.sources, around.stdin);
  const { manifests, documents, ignored } = collectManifests(files);
  const { facts, origin } = await readKnown(command, around);
  const policies = judgeManifests(manifests, facts, command.settings);
  const report = createReport({ origin, files: files.length, documents, ignored, policies }, facts);
  around.terminal.out(renderReport(report, command.format));
  return exitCodeOf(report, command.strict);
}

export async function runFacts(
  command: Extract<Command, { readonly kind: 'facts' }>,
  { terminal, config }: Surroundings,
): Promise<number> {
  const { lists } = await readLive(command, { terminal, config });
  terminal.out(renderFacts(lists));
  return EXIT_FINE;
}

interface KnownFacts {
  readonly facts: ClusterFacts;
  readonly origin: FactsOrigin;
}

async function readKnown(command: Validate, around: Surroundings): Promise<KnownFacts> {
  const { facts: choice, configured } = command;
  const read = (lists: FactLists): ClusterFacts =>
    factsOf(lists, factCollections(createInterner()), configured);
  switch (choice.kind) {
    case 'none':
      return { facts: read(new Map()), origin: { kind: 'none' } };
    case 'file': {
      if (choice.path === '-' && command.sources.includes('-'))
        throw new Unusable(['- is named for policies and for facts; it can be read once']);
      const lists = await readFactsFile(choice.path, around.stdin);
      return { facts: read(lists), origin: { kind: 'file', name: choice.path } };
    }
    case 'live': {
      const { lists, server } = await readLive(command, around);
      return { facts: read(lists), origin: { kind: 'live', server } };
    }
    default:
      return choice satisfies never;
  }
}

async function readFactsFile(name: string, stdin: NodeJS.ReadableStream): Promise<FactLists> {
  const documents = readFactDocuments(name, await readText(name, stdin));
  const lists = readFactLists(documents);
  if (lists.size === 0)
    throw new Unusable([`${name}: no facts in this file; make one with \`sallyport facts > ${name}\``]);
  return lists;
}

/** What `facts` writes is JSON, which Node reads a hundred times faster than YAML: a big cluster has megabytes of it. */
function readFactDocuments(name: string, text: string): readonly unknown[] {
  try {
    return [JSON.parse(text)];
  } catch {
    const parsed = readDocuments(text);
    if (parsed.kind === 'ok') return parsed.value.map(({ value }) => value);
    throw new Unusable(
      parsed.error.map(({ place, message }) => `${name}:${place.line}:${place.column}: ${message}`),
    );
  }
}

async function readLive(
  command: Pick<Validate, 'cluster'>,
  { terminal, config }: Pick<Surroundings, 'terminal' | 'config'>,
) {
  const { connectCluster } = await import('./connectCluster.ts');
  const { readFacts } = await import('./readFacts.ts');
  const cluster = await connectCluster(command.cluster, config);
  try {
    const { lists, withheld } = await readFacts(cluster);
    for (const line of withheld) terminal.tell(line);
    return { lists, server: cluster.server };
  } finally {
    await cluster.client.close();
  }
}
