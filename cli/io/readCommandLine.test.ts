/** The command line as a person types it: what it means, and what is said of a slip. */
import { expect, test } from 'vitest';
import { COMMAND_NAMES, type Command } from '../core/command.ts';
import { renderHelp } from '../core/renderHelp.ts';
import { readCommandLine } from './readCommandLine.ts';

const read = (line: string) => readCommandLine(line === '' ? [] : line.split(' '));
const cluster = {};
const validate = {
  kind: 'validate',
  cluster,
  facts: { kind: 'none' },
  format: 'text',
  strict: false,
  configured: { routable: [], networks: [] },
  settings: { poolAddressesMax: 256, initialPorts: 512 },
};
const patience = { wait: false, timeoutMs: 300_000 };

const COMMANDS: readonly { readonly line: string; readonly command: unknown }[] = [
  { line: 'validate a.yaml', command: { ...validate, sources: ['a.yaml'] } },
  { line: 'validate -f a.yaml --filename b -f -', command: { ...validate, sources: ['a.yaml', 'b', '-'] } },
  { line: 'validate -f a b c', command: { ...validate, sources: ['a', 'b', 'c'] } },
  {
    line: 'validate a -o sarif --strict',
    command: { ...validate, sources: ['a'], format: 'sarif', strict: true },
  },
  {
    line: 'validate a --live --context x --kubeconfig y',
    command: {
      ...validate,
      sources: ['a'],
      facts: { kind: 'live' },
      cluster: { context: 'x', kubeconfig: 'y' },
    },
  },
  {
    line: 'validate a --cluster-facts f.json --routable 10.0.0.0/8,192.0.2.0/24 --routable 2001:db8::/32',
    command: {
      ...validate,
      sources: ['a'],
      facts: { kind: 'file', path: 'f.json' },
      configured: { routable: [{ prefix: 8 }, { prefix: 24 }, { prefix: 32 }] },
    },
  },
  {
    line: 'validate a --pod-cidr 10.0.0.0/8 --service-cidr fd00::/112 --pool-addresses-max 9 --initial-ports 64',
    command: {
      ...validate,
      sources: ['a'],
      configured: { networks: [{ use: 'pods' }, { use: 'services' }] },
      settings: { poolAddressesMax: 9, initialPorts: 64 },
    },
  },
  { line: 'facts --context x', command: { kind: 'facts', cluster: { context: 'x' } } },
  { line: 'status', command: { kind: 'status', cluster, format: 'text' } },
  { line: 'status -o json', command: { kind: 'status', cluster, format: 'json' } },
  { line: 'drain gw-1', command: { kind: 'drain', cluster, node: 'gw-1', ...patience } },
  {
    line: 'drain --wait gw-1 --timeout 90s',
    command: { kind: 'drain', cluster, node: 'gw-1', wait: true, timeoutMs: 90_000 },
  },
  { line: 'undrain gw-1', command: { kind: 'undrain', cluster, node: 'gw-1' } },
  { line: 'rebalance p', command: { kind: 'rebalance', cluster, policy: { name: 'p' }, ...patience } },
  {
    line: 'rebalance cegp/p --wait --timeout 2h',
    command: {
      kind: 'rebalance',
      cluster,
      policy: { kind: 'CiliumEgressGatewayPolicy', name: 'p' },
      wait: true,
      timeoutMs: 7_200_000,
    },
  },
  {
    line: 'rebalance EgressPolicy/p',
    command: { kind: 'rebalance', cluster, policy: { kind: 'EgressPolicy', name: 'p' }, ...patience },
  },
  { line: 'rotate-peer-key', command: { kind: 'rotate-peer-key', cluster } },
  { line: 'rotate-peer-key -n s', command: { kind: 'rotate-peer-key', cluster, namespace: 's' } },
  { line: 'certs status', command: { kind: 'certs', cluster, act: { action: 'status', format: 'text' } } },
  {
    line: 'certs status -o json -n s',
    command: { kind: 'certs', cluster, namespace: 's', act: { action: 'status', format: 'json' } },
  },
  {
    line: 'certs rotate',
    command: { kind: 'certs', cluster, act: { action: 'rotate', what: 'leaf', ...patience } },
  },
  {
    line: 'certs rotate --ca --wait --timeout 2m',
    command: { kind: 'certs', act: { action: 'rotate', what: 'ca', wait: true, timeoutMs: 120_000 } },
  },
  { line: '--help', command: { kind: 'help' } },
  { line: 'help drain', command: { kind: 'help', topic: 'drain' } },
  { line: 'validate -h', command: { kind: 'help', topic: 'validate' } },
  { line: '--version', command: { kind: 'version' } },
];

test.each(COMMANDS)('$line', ({ line, command }) => {
  expect(read(line)).toMatchObject({ kind: 'ok', value: command });
});

test('every kind of command has a line above, and every command a page with its usage and an example', () => {
  const kinds = new Set(COMMANDS.map(({ command }) => (command as Command).kind));
  expect([...kinds].toSorted()).toEqual([...COMMAND_NAMES, 'help', 'version'].toSorted());
  for (const name of COMMAND_NAMES) {
    expect(renderHelp(name)).toContain(`usage: sallyport ${name}`);
    expect(renderHelp(name)).toMatch(/\nexamples:\n {2}\S/);
    expect(renderHelp(name)).toContain('exit codes:');
    expect(renderHelp(undefined)).toContain(`\n  ${name} `);
  }
});

test.each([
  { line: '', message: 'no command is given' },
  { line: 'validat a', message: 'did you mean validate?' },
  { line: 'frobnicate', message: 'the commands are validate, facts' },
  { line: '-v status', message: 'stands before the command' },
  { line: 'validate', message: 'nothing to validate' },
  { line: 'validate a --strickt', message: 'did you mean --strict?' },
  { line: 'validate a -o xml', message: '--output is xml; it may be text or json or sarif' },
  { line: 'status -o sarif', message: '--output is sarif; it may be text or json' },
  { line: 'validate a --live --cluster-facts f', message: 'exclude each other' },
  { line: 'validate a --context x', message: 'add --live' },
  { line: 'validate -f - -f -', message: '- is named twice' },
  { line: 'validate a --routable 10.0.0.1/8', message: '--routable: 10.0.0.1/8 has host bits' },
  { line: 'validate a --pool-addresses-max 0', message: 'a whole number from 1 to 1024' },
  { line: 'validate a --initial-ports many', message: 'a whole number from 64 to 64512' },
  { line: 'validate -f', message: "'-f, --filename <value>' argument missing" },
  { line: 'drain', message: 'NODE is missing' },
  { line: 'drain a b', message: '"b" is one word too many' },
  { line: 'drain a --timeout 5m', message: 'add --wait' },
  { line: 'drain a --wait --timeout 5', message: '--timeout is 5; write for example 90s' },
  { line: 'drain a --wait --timeout 0s', message: '--timeout is 0s' },
  { line: 'drain a --wait --timeout 25h', message: 'at most 24h' },
  { line: 'status a', message: '"a" is one word too many' },
  { line: 'rebalance pod/a', message: 'pod/a is no policy' },
  { line: 'rebalance cegp/a/b', message: 'cegp/a/b is no policy' },
  { line: 'rotate-peer-key --namespace=', message: '--namespace is empty' },
  { line: 'certs', message: 'what to do (status or rotate) is missing' },
  { line: 'certs renew', message: 'certs renew: it may be status or rotate' },
  { line: 'certs status rotate', message: '"rotate" is one word too many' },
  { line: 'certs status --ca', message: '--ca is not for certs status' },
  { line: 'certs status --wait', message: '--wait is not for certs status' },
  { line: 'certs rotate -o json', message: '--output is not for certs rotate' },
  { line: 'certs rotate --timeout 5m', message: 'add --wait' },
  { line: 'help me', message: '"me" is no command' },
])('"$line" is refused: $message', ({ line, message }) => {
  const refusal = read(line);
  expect(refusal.kind).toBe('refused');
  expect(refusal.kind === 'refused' && refusal.error.message).toContain(message);
});
