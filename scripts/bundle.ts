/**
 * Bundles the programs that the image runs: `node scripts/bundle.ts`. Makes, in dist/, one ES module a program with its
 * source map and the legal comments of what went into it (`webhook.js`, `webhook.js.map`, `webhook.js.LEGAL.txt`), and a
 * package.json that says they are modules. A bundle loads in a fifth of the time and memory of its loose files. The command
 * `sallyport` is one of them, and can be run as it is.
 */
import { existsSync } from 'node:fs';
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { build } from 'esbuild';

const ROOT = path.resolve(import.meta.dirname, '..');
const DESTINATION = path.join(ROOT, 'dist');

const PROGRAMS: Readonly<Record<string, string>> = {
  webhook: 'webhook/main.ts',
  controller: 'failover/controller.ts',
  agent: 'failover/agent.ts',
  // The agent's second thread.
  ownership: 'failover/ownership.ts',
  // Before an uninstall: what there is in the cluster, and on each node.
  uninstall: 'failover/uninstall.ts',
  cleanup: 'failover/cleanup.ts',
  sallyport: 'cli/main.ts',
};
/** The program that people run, not Kubernetes. */
const COMMAND = 'sallyport';

/** CommonJS packages (express, node-forge) ask for Node's own modules by `require`, which an ES module lacks. */
const REQUIRE = `import { createRequire as bundledCreateRequire } from 'node:module';
const require = bundledCreateRequire(import.meta.url);`;

async function bundle(programs: Readonly<Record<string, string>>): Promise<void> {
  const result = await build({
    absWorkingDir: ROOT,
    entryPoints: { ...programs },
    outdir: DESTINATION,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    banner: { js: REQUIRE },
    sourcemap: true,
    // The maps carry line numbers only; sources are in the repository, and would double what every node downloads.
    sourcesContent: false,
    legalComments: 'external',
    minifySyntax: true,
    keepNames: true,
    metafile: true,
    logLevel: 'warning',
  });
  for (const [file, { bytes }] of Object.entries(result.metafile.outputs))
    if (file.endsWith('.js')) process.stdout.write(`${file}: ${(bytes / 1024).toFixed(0)} KiB\n`);
}

const present = Object.entries(PROGRAMS).filter(([, source]) => existsSync(path.join(ROOT, source)));
await rm(DESTINATION, { recursive: true, force: true });
await mkdir(DESTINATION, { recursive: true });
await writeFile(path.join(DESTINATION, 'package.json'), '{ "type": "module" }\n');
await bundle(Object.fromEntries(present));
await chmod(path.join(DESTINATION, `${COMMAND}.js`), 0o755);
for (const name of Object.keys(PROGRAMS))
  if (!present.some(([known]) => known === name))
    process.stdout.write(`${name}: no ${PROGRAMS[name]} to bundle\n`);
