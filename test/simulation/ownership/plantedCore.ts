/** A copy of the core with one planted bug, in a temporary folder, imported from there. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { CoreModule } from './coreModule.ts';
import type { Patch } from './plantedBugs.ts';

const CORE = path.resolve(import.meta.dirname, '../../../failover/core');
/** All that the world runs on; they import files of their folders and of the core's own and, but for types, nothing else. */
const MODULES = [
  'ownership/ownershipCore.ts',
  'ownership/ownershipState.ts',
  'ownership/ownershipWord.ts',
  'ownership/durations.ts',
  'agent/leaseSession.ts',
  'agent/joinOrders.ts',
  'controller/planEgressIp.ts',
] as const;

export async function plantCore({ file, edits }: Patch): Promise<CoreModule> {
  const folder = mkdtempSync(path.join(tmpdir(), 'planted-core-'));
  try {
    const parts = new Set(MODULES.map((name) => path.dirname(name)));
    for (const entry of readdirSync(CORE, { withFileTypes: true }))
      if (entry.isFile() || parts.has(entry.name))
        cpSync(path.join(CORE, entry.name), path.join(folder, entry.name), { recursive: true });
    for (const { find, replace, file: name = file } of edits) {
      const source = readFileSync(path.join(folder, name), 'utf8');
      const occurrences = source.split(find).length - 1;
      if (occurrences !== 1)
        throw new Error(`${name} has ${JSON.stringify(find)} ${occurrences} times, not once`);
      writeFileSync(
        path.join(folder, name),
        source.replace(find, () => replace),
      );
    }
    // What a module exports is what its original exports.
    const modules = await Promise.all(
      MODULES.map((name) => import(pathToFileURL(path.join(folder, name)).href) as Promise<CoreModule>),
    );
    return Object.assign({}, ...modules) as CoreModule; // All of them together are a CoreModule.
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
