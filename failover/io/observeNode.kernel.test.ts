/** Which addresses of its uplink a node asks from, as the kernel lists them. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { formatAddress, parseAddress } from '../../policy/address.ts';
import { createDataPlaneLab, type DataPlaneLab, NODES, NODES6 } from '../../test/lab/dataPlaneLab.ts';
import { observeNode } from './observeNode.ts';

let lab: DataPlaneLab;
beforeAll(() => {
  lab = createDataPlaneLab('observe');
});
afterAll(() => lab.down());

const add = (address: string, ...words: readonly string[]): string =>
  lab.run('gw1', 'ip', 'addr', 'add', address, 'dev', 'eth0', ...words);

async function ownAddresses(self: string): Promise<readonly string[]> {
  const parsed = parseAddress(self);
  if (parsed.kind !== 'ok') throw new Error(self);
  const seen = await observeNode({ self: parsed.value, execPrefix: lab.prefix('gw1') });
  if (seen.kind !== 'ok') throw new Error(seen.error);
  return seen.value.ownAddresses
    .map(({ address, prefix, dynamic }) => `${formatAddress(address)}/${prefix}${dynamic ? ' dynamic' : ''}`)
    .toSorted();
}

test('they are its own, link-local ones too, and not about to change', async () => {
  const lifetime = ['valid_lft', '5000', 'preferred_lft'];
  add('fe80::11/64', 'nodad');
  add('2001:db8:1::11/64', 'nodad', ...lifetime, '4000');
  add('2001:db8:2::11/64', 'nodad', ...lifetime, '0');
  // An egress IP that is answered for here, and an address that the kernel is to change now and then (RFC 8981).
  add('203.0.113.150/32', 'noprefixroute');
  lab.run('gw1', 'sysctl', '-qw', 'net.ipv6.conf.eth0.use_tempaddr=2');
  add('2001:db8:3::11/64', 'nodad', 'mngtmpaddr', ...lifetime, '4000');
  // Two addresses of the kernel's making are not known to be alone yet.
  const made = async () => (await ownAddresses(NODES.gw1)).filter((text) => /ff:fe/.test(text));
  await expect.poll(made, { timeout: 10_000 }).toHaveLength(1);
  await expect
    .poll(() => lab.run('gw1', 'ip', '-6', 'addr', 'show', 'dev', 'eth0', 'temporary', '-tentative'))
    .toContain('2001:db8:3:');
  const [linkLocal] = await made();
  expect(await ownAddresses(NODES.gw1)).toEqual(
    [
      '2001:db8:1::11/64 dynamic',
      '2001:db8:3::11/64 dynamic',
      `${NODES6.gw1}/64`,
      `${NODES.gw1}/24`,
      'fe80::11/64',
      linkLocal,
    ].toSorted(),
  );
});

test('what the node is known by is its own, whatever is said of it', async () => {
  expect(await ownAddresses('2001:db8:2::11')).toContain('2001:db8:2::11/64 dynamic');
});
