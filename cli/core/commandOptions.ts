/** Which options each command takes: the table that Node's argument parser works by. */
import type { CommandName } from './command.ts';

export interface OptionSpec {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  readonly multiple?: boolean;
}

export type OptionTable = Readonly<Record<string, OptionSpec>>;

const HELP: OptionTable = { help: { type: 'boolean', short: 'h' } };
const CLUSTER: OptionTable = { kubeconfig: { type: 'string' }, context: { type: 'string' } };
const OUTPUT: OptionTable = { output: { type: 'string', short: 'o' } };
const WAIT: OptionTable = { wait: { type: 'boolean' }, timeout: { type: 'string' } };

export const COMMAND_OPTIONS: Readonly<Record<CommandName, OptionTable>> = {
  validate: {
    ...HELP,
    ...CLUSTER,
    ...OUTPUT,
    filename: { type: 'string', short: 'f', multiple: true },
    'cluster-facts': { type: 'string' },
    live: { type: 'boolean' },
    routable: { type: 'string', multiple: true },
    'pod-cidr': { type: 'string', multiple: true },
    'service-cidr': { type: 'string', multiple: true },
    'pool-addresses-max': { type: 'string' },
    'initial-ports': { type: 'string' },
    strict: { type: 'boolean' },
  },
  facts: { ...HELP, ...CLUSTER },
  status: { ...HELP, ...CLUSTER, ...OUTPUT },
  drain: { ...HELP, ...CLUSTER, ...WAIT },
  undrain: { ...HELP, ...CLUSTER },
  rebalance: { ...HELP, ...CLUSTER, ...WAIT },
  certs: {
    ...HELP,
    ...CLUSTER,
    ...OUTPUT,
    ...WAIT,
    namespace: { type: 'string', short: 'n' },
    ca: { type: 'boolean' },
  },
  'rotate-peer-key': { ...HELP, ...CLUSTER, namespace: { type: 'string', short: 'n' } },
};
