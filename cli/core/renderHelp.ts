/** The page of a command, or the one that lists them all. */
import type { CommandName } from './command.ts';
import { HELP_CERTS } from './helpCerts.ts';
import {
  HELP_DRAIN,
  HELP_REBALANCE,
  HELP_ROTATE_PEER_KEY,
  HELP_STATUS,
  HELP_UNDRAIN,
} from './helpCluster.ts';
import { HELP_FACTS, HELP_VALIDATE } from './helpValidate.ts';

const HELP_ALL = `sallyport: look at egress gateways, check policies, move addresses

usage: sallyport COMMAND [options]     also: kubectl sallyport COMMAND [options]

check policies, without applying them:
  validate          say what the admission webhook would say
  facts             write down what policies of a cluster are judged against, for validate

look at a cluster:
  status            which egress IP, where, healthy, who is next, and which gateway leaves

ask something of it:
  drain             let a gateway hand over its egress IPs
  undrain           let it hold some again
  rebalance         spread a policy's addresses evenly over the gateways
  rotate-peer-key   change the key that agents prove themselves to each other with
  certs             the webhook's certificates: what they are and who trusts them; a new one

  sallyport COMMAND --help      a page on each, with examples
  sallyport --version           which release this is

Every command ends with 0 where all is well, with 1 where something is not as it should be, and with 2 where nothing was
judged or done: wrong usage, input that cannot be read, a cluster that does not answer.
`;

const PAGES: Readonly<Record<CommandName, string>> = {
  validate: HELP_VALIDATE,
  facts: HELP_FACTS,
  status: HELP_STATUS,
  drain: HELP_DRAIN,
  undrain: HELP_UNDRAIN,
  rebalance: HELP_REBALANCE,
  'rotate-peer-key': HELP_ROTATE_PEER_KEY,
  certs: HELP_CERTS,
};

export function renderHelp(topic: CommandName | undefined): string {
  return topic === undefined ? HELP_ALL : PAGES[topic];
}
