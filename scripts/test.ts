/**
 * Runs everything that CI runs and closes with `N passed, N failed` alone on a line: formatter and linter, both type
 * checks, rendered files, then the test projects named as arguments (all of them without any).
 *
 *   node scripts/test.ts [--quick] [vitest project …]
 *
 * `--quick`: what needs neither root nor a cluster. Skipped tests count as failures: a skip that looks green is none.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

interface Tally {
  readonly passed: number;
  readonly failed: number;
}

const ROOT = path.resolve(import.meta.dirname, '..');
const BIN = path.join(ROOT, 'node_modules/.bin');
/** A log is read by people too: without colours where there is no terminal. */
const PLAIN = process.stdout.isTTY ? {} : { NO_COLOR: '1' };
const ENVIRONMENT = { ...process.env, ...PLAIN };

function run(command: string, args: readonly string[]): boolean {
  const began = performance.now();
  process.stdout.write(`\n── ${path.basename(command)} ${args.join(' ')}\n`);
  const result = spawnSync(command, args, { cwd: ROOT, stdio: 'inherit', env: ENVIRONMENT });
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  process.stdout.write(`── ${result.status === 0 ? 'ok' : 'FAILED'} after ${seconds} s\n`);
  return result.status === 0;
}

function check(command: string, args: readonly string[]): Tally {
  return run(path.join(BIN, command), args) ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

function runVitest(project: string): Tally {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'sallyport-test-'));
  const file = path.join(folder, 'result.json');
  try {
    const succeeded = run(path.join(BIN, 'vitest'), [
      'run',
      '--project',
      project,
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${file}`,
    ]);
    const { numPassedTests, numTotalTests, numFailedTestSuites, testResults } = JSON.parse(
      readFileSync(file, 'utf8'),
    );
    printSlowest(testResults);
    const notPassed = numTotalTests - numPassedTests;
    return {
      passed: numPassedTests,
      failed: notPassed > 0 ? notPassed : succeeded ? 0 : Math.max(1, numFailedTestSuites),
    };
  } catch (error) {
    process.stdout.write(`${project}: no result could be read: ${error}\n`);
    return { passed: 0, failed: 1 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface FileResult {
  readonly name: string;
  readonly startTime: number;
  readonly endTime: number;
}

/** Where the minutes went. */
function printSlowest(files: readonly FileResult[]): void {
  const took = ({ startTime, endTime }: FileResult): number => (endTime - startTime) / 1000;
  const slowest = files.toSorted((a, b) => took(b) - took(a)).slice(0, 12);
  for (const file of slowest)
    process.stdout.write(`${took(file).toFixed(1).padStart(8)} s  ${path.relative(ROOT, file.name)}\n`);
}

const args = process.argv.slice(2);
const quick = args.includes('--quick');
const named = args.filter((argument) => !argument.startsWith('--'));
const projects = named.length > 0 ? named : quick ? ['unit'] : ['unit', 'simulation', 'kernel', 'cluster'];
/** Of the ownership protocol; `npm test` looks for planted bugs as well. */
const SIMULATED = ['test/simulation/ownership/main.ts', '--seeds', '200'];

const tallies: Tally[] = [
  check('biome', ['ci', '--error-on-warnings', ...(process.stdout.isTTY ? [] : ['--colors=off']), '.']),
  check('tsc', ['-p', 'tsconfig.json']),
  check('tsc', ['-p', 'tsconfig.core.json']),
  check('node', ['scripts/renderCrds.ts', '--check']),
  ...projects.map(runVitest),
  ...(quick ? [check('node', SIMULATED)] : []),
];
const total = tallies.reduce((a, b) => ({ passed: a.passed + b.passed, failed: a.failed + b.failed }));
process.stdout.write(`\n${total.passed} passed, ${total.failed} failed\n`);
process.exitCode = total.failed === 0 ? 0 : 1;
