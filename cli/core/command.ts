/** What a person can ask for, as one closed union. Made by parseCommand.ts only. */
import type { RotationWish } from '../../policy/certificateNotes.ts';
import type { PolicyKind } from '../../policy/names.ts';
import type { RuleSettings } from '../../policy/rules.ts';
import type { ConfiguredNetworks } from './factsOf.ts';

export const COMMAND_NAMES = [
  'validate',
  'facts',
  'status',
  'drain',
  'undrain',
  'rebalance',
  'rotate-peer-key',
  'certs',
] as const;
export type CommandName = (typeof COMMAND_NAMES)[number];

/** Which cluster; what is absent is kubectl's default. */
export interface ClusterChoice {
  readonly kubeconfig?: string;
  readonly context?: string;
}

/** Where the facts come from that policies are judged against. */
export type FactsChoice =
  | { readonly kind: 'none' }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'live' };

export type ReportFormat = 'text' | 'json' | 'sarif';
export type StatusFormat = 'text' | 'json';

/** Whether to stay until it is done, and how long at the most. */
export interface Wait {
  readonly wait: boolean;
  readonly timeoutMs: number;
}

export type Command =
  | { readonly kind: 'help'; readonly topic?: CommandName }
  | { readonly kind: 'version' }
  | {
      readonly kind: 'validate';
      /** Files, folders, or `-` for standard input. */
      readonly sources: readonly string[];
      readonly facts: FactsChoice;
      /** What the webhook is told by the chart's values. */
      readonly configured: ConfiguredNetworks;
      readonly settings: RuleSettings;
      readonly format: ReportFormat;
      /** A warning counts as a violation in the exit code. */
      readonly strict: boolean;
      readonly cluster: ClusterChoice;
    }
  | { readonly kind: 'facts'; readonly cluster: ClusterChoice }
  | { readonly kind: 'status'; readonly format: StatusFormat; readonly cluster: ClusterChoice }
  | ({ readonly kind: 'drain'; readonly node: string; readonly cluster: ClusterChoice } & Wait)
  | { readonly kind: 'undrain'; readonly node: string; readonly cluster: ClusterChoice }
  | ({ readonly kind: 'rebalance'; readonly policy: PolicyName; readonly cluster: ClusterChoice } & Wait)
  | { readonly kind: 'rotate-peer-key'; readonly namespace?: string; readonly cluster: ClusterChoice }
  | {
      readonly kind: 'certs';
      readonly act: CertsAct;
      /** Where Sallyport runs; absent: it is looked for. */
      readonly namespace?: string;
      readonly cluster: ClusterChoice;
    };

export const CERTS_ACTIONS = ['status', 'rotate'] as const;

/** What is done with the webhook's certificates. */
export type CertsAct =
  | { readonly action: 'status'; readonly format: StatusFormat }
  | ({ readonly action: 'rotate'; readonly what: RotationWish } & Wait);

/** A policy as a person names it; without a kind it may be of either. */
export interface PolicyName {
  readonly kind?: PolicyKind;
  readonly name: string;
}

/** What is wrong with the words, and of which command's page more can be learned. */
export interface UsageProblem {
  readonly message: string;
  readonly command?: CommandName;
}

/** Exit codes, the same for every command. */
export const EXIT_FINE = 0;
/** Violations; or what was waited for did not come. */
export const EXIT_NOT_FINE = 1;
/** Wrong usage, input that cannot be read, a cluster that does not answer or refuses: nothing was judged or done. */
export const EXIT_UNUSABLE = 2;
