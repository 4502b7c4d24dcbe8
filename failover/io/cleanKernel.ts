/**
 * Takes all that Sallyport put into a node's kernel out of it, whatever process of it did, and whether or not one still runs:
 * for uninstalling. Sysctls stay, as somebody else may rely on them by now.
 */
import { BOOT_TABLE } from '../core/dataplane/bootRuleset.ts';
import { GUARD, GUARD_TABLE } from '../core/dataplane/guardRuleset.ts';
import { TABLE } from '../core/dataplane/kernelState.ts';
import { ANSWER_TABLE, TUNNEL_DEVICE, TUNNEL_TABLE } from '../core/dataplane/staticRuleset.ts';
import { forgetTranslated } from './forgetFlows.ts';
import { removeTunnel } from './iproute.ts';
import { createNftables } from './nftables.ts';
import { jsonObjects, readJson, type ToolRunner } from './runTool.ts';
import { readTraces, settleAddresses } from './uplinkAddresses.ts';
import { isUplinkRule, removeUplinkRoutes } from './uplinkRoutes.ts';

/** What is left afterwards, in words; empty: nothing. */
export async function cleanKernel(runner: ToolRunner): Promise<readonly string[]> {
  // Addresses first: the guard, which keeps a node silent about them, goes with the tables.
  const { devices } = await readTraces(runner, []);
  await settleAddresses(runner, devices, () => ({ prepared: new Map(), shown: new Map() }));
  // Added first so that the deletion succeeds where a table is already gone.
  const outcome = await createNftables(runner).run(
    [`inet ${TABLE}`, `netdev ${TABLE}`, BOOT_TABLE, GUARD]
      .map((it) => `table ${it}\ndelete table ${it}\n`)
      .join(''),
  );
  await removeTunnel(runner);
  await removeUplinkRoutes(runner);
  if (outcome.kind !== 'ok') return [`nftables: ${outcome.message}`];
  return [...(await findLeftovers(runner)), ...(await forgetConnections(runner))];
}

/** Last, for with the rules there would be new ones. */
async function forgetConnections(runner: ToolRunner): Promise<readonly string[]> {
  try {
    await forgetTranslated(runner);
    return [];
  } catch (error) {
    return [`connections that leave with an egress IP: ${String(error)}`];
  }
}

async function findLeftovers(runner: ToolRunner): Promise<readonly string[]> {
  const [ruleset, links, ...rules] = await Promise.all([
    readJson(runner, ['nft', '-j', 'list', 'tables']),
    readJson(runner, ['ip', '-j', 'link', 'show']),
    readJson(runner, ['ip', '-j', '-4', 'rule', 'show']),
    readJson(runner, ['ip', '-j', '-6', 'rule', 'show']),
  ]);
  if (ruleset === undefined || links === undefined) return ['the node cannot be looked at: nft or ip failed'];
  const { nftables } = ruleset as { readonly nftables?: unknown }; // nft's own JSON.
  const tables = jsonObjects(nftables).flatMap(({ table }) => jsonObjects([table]));
  return [
    ...tables
      .filter(
        ({ name, family }) =>
          [TABLE, GUARD_TABLE].some((it) => it === name) || `${family} ${name}` === BOOT_TABLE,
      )
      .map(({ family, name }) => `the table ${family} ${name}`),
    ...jsonObjects(links).flatMap(({ ifname }) =>
      ifname === TUNNEL_DEVICE ? [`the device ${TUNNEL_DEVICE}`] : [],
    ),
    ...rules
      .flatMap(jsonObjects)
      .filter(
        (rule) =>
          isUplinkRule(rule) ||
          [TUNNEL_TABLE, ANSWER_TABLE].some(
            (it) => it.preference === rule.priority && it.mark === Number(rule.fwmark),
          ),
      )
      .map(({ priority }) => `the routing rule ${priority}`),
  ];
}
