import { expect, test } from 'vitest';
import { debianComponent, nodeComponent, npmComponents, renderBill } from '../../scripts/cycloneDx.ts';

const INTEGRITY = `sha512-${Buffer.alloc(64, 1).toString('base64')}`;
const LOCK = {
  packages: {
    '': { name: 'sallyport', version: '1.2.3', license: 'Apache-2.0' },
    'node_modules/@a/b': { version: '1.0.0', license: 'MIT', integrity: INTEGRITY },
    'node_modules/c/node_modules/@a/b': { version: '2.0.0', license: '(MIT OR ISC)' },
    'node_modules/d/node_modules/@a/b': { version: '1.0.0', license: 'MIT', integrity: INTEGRITY },
    'node_modules/builder': { version: '9.0.0', dev: true },
  },
};
const STATUS =
  'Package: nftables\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:1.0.6-2+deb12u2\nDepends: x\n';

test("npm's packages are named by purl, with licence and hash, and without what only builds", () => {
  expect(npmComponents(LOCK).map(({ purl }) => purl)).toEqual([
    'pkg:npm/%40a/b@1.0.0',
    'pkg:npm/%40a/b@2.0.0',
    'pkg:npm/%40a/b@1.0.0',
  ]);
  expect(npmComponents(LOCK)).toMatchObject([
    { licenses: [{ license: { id: 'MIT' } }], hashes: [{ alg: 'SHA-512', content: '01'.repeat(64) }] },
    { licenses: [{ expression: '(MIT OR ISC)' }] },
    {},
  ]);
});

test("Debian's packages are named by purl with their epoch", () => {
  expect(debianComponent(STATUS)).toMatchObject({
    name: 'nftables',
    version: '1:1.0.6-2+deb12u2',
    purl: 'pkg:deb/debian/nftables@1%3A1.0.6-2%2Bdeb12u2?arch=amd64&distro=debian-12',
  });
});

test('each is listed once, in an order of its own, and the same things make the same text', () => {
  const others = [debianComponent(STATUS), nodeComponent('v24.0.0')];
  const bill = renderBill(LOCK, others);
  expect(bill).toMatchObject({
    metadata: { component: { name: 'sallyport', version: '1.2.3' } },
    components: [{ name: 'nftables' }, { name: 'node' }, { name: '@a/b' }, { name: '@a/b' }],
    dependencies: [{ ref: 'pkg:npm/sallyport@1.2.3', dependsOn: { length: 4 } }],
  });
  expect(renderBill(LOCK, others.toReversed())).toEqual(bill);
  expect(renderBill(LOCK, others.slice(1))).not.toMatchObject({
    serialNumber: (bill as { readonly serialNumber: string }).serialNumber,
  });
});
