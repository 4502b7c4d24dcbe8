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
import { readAddresses, settleAddresses } from './uplinkAddresses.ts';

/** What is left afterwards, in words; empty: nothing. */
export async function cleanKernel(runner: ToolRunner): Promise<readonly string[]> {
  // Addresses first: the guard, which keeps a node silent about them, goes with the tables.
  for (const uplink of await findUplinks(runner))
    await settleAddresses(runner, uplink, () => ({ prepared: new Set(), shown: new Set() }));
  // Added first so that the deletion succeeds where a table is already gone.
  const outcome = await createNftables(runner).run(
    [`inet ${TABLE}`, `netdev ${TABLE}`, BOOT_TABLE, GUARD]
      .map((it) => `table ${it}\ndelete table ${it}\n`)
      .join(''),
  );
  await removeTunnel(runner);
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

/** Devices that show an egress IP, or answer for one. */
async function findUplinks(runner: ToolRunner): Promise<readonly string[]> {
  const read = async (...words: readonly string[]) =>
    jsonObjects(await readJson(runner, ['ip', '-j', ...words]));
  const ours = new Set(await readAddresses(runner, TUNNEL_DEVICE));
  const [links, proxies, proxies6] = await Promise.all([
    read('addr', 'show'),
    read('neigh', 'show', 'proxy'),
    read('-6', 'neigh', 'show', 'proxy'),
  ]);
  const showing = links.filter((link) =>
    jsonObjects(link.addr_info).some(({ local }) => ours.has(String(local))),
  );
  const answering = [...proxies, ...proxies6].filter(({ dst }) => ours.has(String(dst)));
  const names = [...showing.map(({ ifname }) => ifname), ...answering.map(({ dev }) => dev)].map(String);
  return [...new Set(names)].filter((name) => name !== TUNNEL_DEVICE);
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
      .filter(({ priority, fwmark }) =>
        [TUNNEL_TABLE, ANSWER_TABLE].some((it) => it.preference === priority && it.mark === Number(fwmark)),
      )
      .map(({ priority }) => `the routing rule ${priority}`),
  ];
}
