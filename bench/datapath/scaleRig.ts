/** A namespace with one device for the agent of a large cluster (scaleProbe.ts) to program. */
import { execFileSync, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ScaleSample } from './scaleProbe.ts';

const PROBE = fileURLToPath(new URL('scaleProbe.ts', import.meta.url));
const TIMEOUT_MS = 300_000;

export async function measureScale(podChanges: number, ipMoves: number): Promise<ScaleSample | string> {
  const name = `bench-dp-${process.pid}-scale`;
  const prefix = ['ip', 'netns', 'exec', name];
  execFileSync('ip', ['netns', 'add', name]);
  try {
    const lines = [
      'link set lo up',
      'link add eth0 type veth peer name wire',
      'link set eth0 up',
      'link set wire up',
      'addr add 10.50.0.2/20 dev eth0',
      'route add default via 10.50.0.1',
    ];
    execFileSync('ip', ['-n', name, '-batch', '-'], { input: `${lines.join('\n')}\n` });
    execFileSync('ip', ['netns', 'exec', name, 'sysctl', '-qw', 'net.ipv4.ip_forward=1']);
    return await runProbe([...prefix, process.execPath, PROBE, 'eth0', `${podChanges}`, `${ipMoves}`]);
  } finally {
    execFileSync('ip', ['netns', 'del', name]);
  }
}

/** A text says what went wrong. */
function runProbe([file = '', ...args]: readonly string[]): Promise<ScaleSample | string> {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: TIMEOUT_MS });
  let text = '';
  let complaint = '';
  child.stdout.on('data', (data) => {
    text += String(data);
  });
  child.stderr.on('data', (data) => {
    complaint += String(data);
  });
  return new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code) => {
      // Its own one line of JSON.
      if (code === 0) resolve(JSON.parse(text) as ScaleSample);
      else resolve(/Error: .*/.exec(complaint)?.[0] ?? `it ended with ${code}`);
    });
  });
}
