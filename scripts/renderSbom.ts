/** `node scripts/renderSbom.ts LOCK STATUS_FOLDER`: prints what the image is made of (cycloneDx.ts); run by the Node that is in it. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { debianComponent, nodeComponent, type PackageLock, renderBill } from './cycloneDx.ts';

const [lock = 'package-lock.json', folder = '/var/lib/dpkg/status.d'] = process.argv.slice(2);
const debian = readdirSync(folder).map((file) =>
  debianComponent(readFileSync(path.join(folder, file), 'utf8')),
);
const packages = JSON.parse(readFileSync(lock, 'utf8')) as PackageLock; // npm's own format
const bill = renderBill(packages, [...debian, nodeComponent(process.version)]);
process.stdout.write(`${JSON.stringify(bill, undefined, 1)}\n`);
