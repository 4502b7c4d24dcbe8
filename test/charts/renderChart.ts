/** Runs helm on the chart as it stands, without a cluster. */
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { type CommandResult, runCommand } from '../cluster/command.ts';
import { ensureToolchain } from '../cluster/toolchain.ts';

export const CHART = path.resolve(import.meta.dirname, '../../charts/sallyport');
export const RELEASE = 'egress';
/** Without a cluster helm has to be told the version it renders for. */
const WITHOUT_CLUSTER = ['--namespace', 'net', '--kube-version', '1.37.2'];

/** Everything that is off by default. */
export const ALL_ON: readonly string[] = [
  'monitoring.podMonitor.enabled=true',
  'monitoring.podMonitor.labels.team=net',
  'monitoring.rules.enabled=true',
  'monitoring.rules.labels.team=net',
  'monitoring.dashboard.enabled=true',
  'agent.fastPath=true',
  'agent.maxUnavailable=10%',
  'agent.podAnnotations.a=b',
  'controller.podAnnotations.a=b',
  'webhook.podAnnotations.a=b',
  'webhook.nodeSelector.zone=a',
  'webhook.tolerations[0].operator=Exists',
  'webhook.clientCertificates.configMap=front',
  'webhook.clientCertificates.names={kube-apiserver}',
  'image.pullSecrets[0].name=pull',
  'networkPolicy.enabled=true',
  'networkPolicy.apiServer.cidrs={203.0.113.0/24}',
  'networkPolicy.metricsFrom.matchLabels.team=net',
  'network.podCidrs={10.244.0.0/16}',
  'network.routableCidrs={192.0.2.0/24,2001:db8::/64}',
];

export interface RenderedObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  /** Of the many fields that kinds have, those that tests look at. */
  readonly spec?: {
    readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> };
    readonly template?: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: { readonly containers: readonly RenderedContainer[] };
    };
    readonly podMetricsEndpoints?: readonly { readonly port: string }[];
    readonly groups?: readonly { readonly rules: readonly object[] }[];
  };
  readonly data?: Readonly<Record<string, string>>;
}

interface RenderedContainer {
  readonly args: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly ports: readonly { readonly name: string }[];
}

/** @param options.helm its path; default: helm 3 of the toolchain */
export async function helmTemplate(
  settings: readonly string[],
  { allowFailure = false, helm }: { readonly allowFailure?: boolean; readonly helm?: string } = {},
): Promise<CommandResult> {
  const program = helm ?? path.join((await ensureToolchain()).folder, 'helm');
  const sets = settings.flatMap((setting) => ['--set', setting]);
  const argv = [program, 'template', RELEASE, CHART, ...WITHOUT_CLUSTER, ...sets];
  return runCommand('rendering the chart', argv, { allowFailure });
}

export function parseManifests(text: string): readonly RenderedObject[] {
  const documents = parseAllDocuments(text, { uniqueKeys: true });
  for (const { errors } of documents) for (const error of errors) throw error;
  return documents.map((document) => document.toJS()).filter((object) => object !== null);
}
