/** The measuring of HTTPS in a process of its own. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { collectOutput } from '../../test/lab/collectOutput.ts';
import type { HttpsFigures, Question } from './measureHttps.ts';

const PROGRAM = path.resolve(import.meta.dirname, 'askingProcess.ts');

export async function measureHttpsApart(port: number, questions: readonly Question[]): Promise<HttpsFigures> {
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-bench-'));
  const file = path.join(folder, 'questions.json');
  try {
    writeFileSync(file, JSON.stringify(questions));
    const child = spawn(process.execPath, [PROGRAM, String(port), file], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const { code, out, err } = await collectOutput(child);
    if (code !== 0) throw new Error(`${PROGRAM} ended with ${code}: ${err}`);
    return JSON.parse(out) as HttpsFigures; // what measureHttps gave, but for what JSON leaves out
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
