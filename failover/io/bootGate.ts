/**
 * Keeps on the node's disk what it has to hold after its next boot (core/dataplane/bootRuleset.ts), and loads it where the kernel
 * has nothing of ours yet. Not a truth of its own: the first plan takes its place. Without a place to write to, or with a file
 * that does not load, the agent goes on without.
 */
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { NodeDataPlane, UnknownPods } from '../core/dataPlane.ts';
import { LIFT_COMMANDS, renderBootRuleset } from '../core/dataplane/bootRuleset.ts';
import { remember } from '../core/remember.ts';
import type { Nftables } from './nftables.ts';
import { runTool, type ToolRunner } from './runTool.ts';

export const BOOT_FILE = 'boot.nft';

export interface BootGate {
  /** At the start of an agent, before it knows of any plan. */
  hold(): Promise<void>;
  /** The plan is in the kernel. */
  planned(plan: NodeDataPlane): Promise<void>;
}

export function createBootGate(options: {
  /** Empty: nowhere. */
  readonly folder: string;
  readonly runner: ToolRunner;
  readonly nftables: Nftables;
  readonly warn: (message: string) => void;
}): BootGate {
  const { folder, runner, nftables, warn } = options;
  const render = remember(
    (
      direct: NodeDataPlane['direct'],
      networks: UnknownPods['networks'] = [],
      closed: UnknownPods['closed'] = [],
    ) => renderBootRuleset({ direct, unknownPods: { networks, closed, awaited: [] } }),
  );
  let [lifted, saved, told]: [boolean, string | undefined, boolean] = [false, undefined, false];
  const complain = (what: string, error: unknown): void => {
    if (!told) warn(`${what}: ${String(error)}`);
    told = true;
  };
  return {
    async hold() {
      if (folder === '') return;
      const tables = await nftables.read([]);
      if (tables === undefined || tables.chains.size > 0) return;
      const loaded = await runTool(runner, ['nft', '-f', path.join(folder, BOOT_FILE)]);
      const absent = loaded.kind === 'done' && /No such file|Could not open/i.test(loaded.stderr);
      if (loaded.kind !== 'done' || (loaded.code !== 0 && !absent))
        complain(
          'what pods of this node must not do before the first plan is not held',
          JSON.stringify(loaded),
        );
    },
    async planned(plan) {
      if (!lifted) lifted = (await nftables.run(LIFT_COMMANDS)).kind === 'ok';
      if (folder === '') return;
      const text = render(plan.direct, plan.unknownPods?.networks, plan.unknownPods?.closed);
      if (text === saved) return;
      try {
        await save(folder, text);
        saved = text;
      } catch (error) {
        complain(`what to hold after the next boot cannot be written to ${folder}`, error);
      }
    },
  };
}

/** As a whole or not at all: a node may lose its power at any moment. */
async function save(folder: string, text: string): Promise<void> {
  const file = path.join(folder, BOOT_FILE);
  if (text === '') return rm(file, { force: true });
  await mkdir(folder, { recursive: true });
  await writeFile(`${file}.new`, text, { flush: true });
  await rename(`${file}.new`, file);
}
