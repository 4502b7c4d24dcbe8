/**
 * The ways out of uplinks other than the node's own: a routing table each, with its next hop, and the rules that lead packets
 * there by their marks (core/dataplane/marks.ts). What the main table has a route of its own for, pods and links among it, goes
 * that way first. Every step reads first and changes only what differs.
 */
import type { KernelOutcome } from '../core/dataPlane.ts';
import { UPLINK_FLAGS, UPLINK_MASK } from '../core/dataplane/marks.ts';
import { OUTWARD_RULE, UPLINK_TABLES } from '../core/dataplane/staticRuleset.ts';
import type { Uplinks } from '../core/uplinks.ts';
import { runBatch } from './iproute.ts';
import { jsonObjects, readJson, type ToolRunner } from './runTool.ts';

type Json = Readonly<Record<string, unknown>>;

/** Where a link that went down has taken the next hop with it, packets end here instead of leaving by another uplink. */
const LAST_METRIC = 4_294_967_295;

interface WantedRule {
  readonly preference: number;
  readonly mark: number;
  readonly words: string;
}

export async function ensureUplinkRoutes(runner: ToolRunner, uplinks: Uplinks): Promise<KernelOutcome> {
  for (const family of ['-4', '-6'] as const) {
    const outcome = await runBatch(runner, `ip ${family}`, await routeChanges(runner, family, uplinks));
    if (outcome.kind !== 'ok') return outcome;
  }
  return { kind: 'ok' };
}

/** Takes away all that `ensureUplinkRoutes` made, as far as it is there. */
export async function removeUplinkRoutes(runner: ToolRunner): Promise<void> {
  for (const tool of ['ip -4', 'ip -6'] as const)
    await runBatch(runner, tool, [
      ...ruleSet(UPLINK_TABLES.length).map(({ words }) => `rule del ${words}`),
      ...UPLINK_TABLES.map((table) => `route flush table ${table}`),
    ]);
}

/** A rule that `ip -j rule show` lists. */
export function isUplinkRule({ priority, fwmark }: Json): boolean {
  return ruleSet(UPLINK_TABLES.length).some((rule) => isRule({ priority, fwmark }, rule));
}

function isRule({ priority, fwmark }: Json, { preference, mark }: WantedRule): boolean {
  return priority === preference && Number(fwmark) === mark;
}

/** Of so many uplinks besides the node's own: first the main table, but for its default route, then each one's own. */
function ruleSet(further: number): readonly WantedRule[] {
  if (further === 0) return [];
  const { mark, mask, preference } = OUTWARD_RULE;
  const words = (pref: number, fwmark: number, fwmask: number): string =>
    `pref ${pref} fwmark ${hex(fwmark)}/${hex(fwmask)}`;
  return [
    { preference, mark, words: `${words(preference, mark, mask)} lookup main suppress_prefixlength 0` },
    ...UPLINK_TABLES.slice(0, further).map((table, index) => {
      const own = { preference: preference + 1, mark: UPLINK_FLAGS[index + 1] ?? 0 };
      return { ...own, words: `${words(own.preference, own.mark, UPLINK_MASK)} lookup ${table}` };
    }),
  ];
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

async function routeChanges(
  runner: ToolRunner,
  family: '-4' | '-6',
  [, ...others]: Uplinks,
): Promise<readonly string[]> {
  const read = async (...words: readonly string[]): Promise<readonly Json[]> =>
    jsonObjects(await readJson(runner, ['ip', '-j', family, ...words]));
  const rules = await read('rule', 'show');
  const found = rules.filter(isUplinkRule);
  if (others.length === 0 && found.length === 0) return [];
  const [wanted, all] = [ruleSet(others.length), ruleSet(UPLINK_TABLES.length)];
  const hops = others.length === 0 ? [] : await read('route', 'show', 'default');
  const tables = await Promise.all(
    UPLINK_TABLES.map(async (table, index) =>
      tableChanges(await read('route', 'show', 'table', String(table)), {
        table,
        device: others[index]?.device,
        hops,
      }),
    ),
  );
  return [
    ...tables.flat(),
    ...wanted.filter((rule) => !found.some((it) => isRule(it, rule))).map(({ words }) => `rule add ${words}`),
    ...all
      .filter(
        (rule) =>
          !wanted.some(({ mark, preference }) => isRule({ priority: preference, fwmark: mark }, rule)),
      )
      .filter((rule) => found.some((it) => isRule(it, rule)))
      .map(({ words }) => `rule del ${words}`),
  ];
}

/** Where the main table has no next hop on the device at the moment, as in a flap, what is in the table stays. */
function tableChanges(
  routes: readonly Json[],
  wanted: { readonly table: number; readonly device: string | undefined; readonly hops: readonly Json[] },
): readonly string[] {
  const { table, device, hops } = wanted;
  if (device === undefined) return routes.length === 0 ? [] : [`route flush table ${table}`];
  const hop = hops.find(({ dev, gateway }) => dev === device && gateway !== undefined);
  const [now, ...more] = routes.filter(({ type }) => (type ?? 'unicast') === 'unicast');
  const right = more.length === 0 && now !== undefined && hop !== undefined && wayOf(now) === wayOf(hop);
  const stray = now !== undefined && now.dev !== device;
  const ended = routes.some(({ type }) => type === 'blackhole');
  return [
    ...(stray || (hop !== undefined && more.length > 0) ? [`route flush table ${table}`] : []),
    ...(ended && !stray && more.length === 0
      ? []
      : [`route replace blackhole default metric ${LAST_METRIC} table ${table}`]),
    ...(hop === undefined || right ? [] : [`route replace ${wayOf(hop)} table ${table}`]),
  ];
}

function wayOf({ gateway, dev, flags }: Json): string {
  const onLink = Array.isArray(flags) && flags.includes('onlink') ? ' onlink' : '';
  return `default via ${String(gateway)} dev ${String(dev)}${onLink}`;
}
