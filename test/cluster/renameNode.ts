/**
 * A node that has no power gets another name: at its next start its kubelet registers under the new one. Machine, addresses
 * and MAC stay. The cluster's own functions know the machine by its first name.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cluster } from './cluster.ts';
import { issueNodeCertificate, writeKubeconfig } from './pki.ts';
import { CONTROL_PLANE_ADDRESS, renderNodes } from './topology.ts';

export async function renameNode(cluster: Cluster, name: string, newName: string): Promise<void> {
  const node = { ...cluster.node(name), name: newName };
  const { folder } = cluster;
  const pkiFolder = join(folder, 'pki');
  await issueNodeCertificate(pkiFolder, node);
  const server = `https://${CONTROL_PLANE_ADDRESS}:6443`;
  await writeKubeconfig(join(folder, `${newName}.kubeconfig`), { server, pkiFolder, certificate: newName });
  const boot = join(folder, name, 'boot.sh');
  const text = await readFile(boot, 'utf8');
  const renamed = text
    .replace(`${folder}/${name}.kubeconfig`, `${folder}/${newName}.kubeconfig`)
    .replace(`--hostname-override ${name} `, `--hostname-override ${newName} `)
    .replace(`hostname ${name}\n`, `hostname ${newName}\n`);
  await writeFile(boot, renamed);
  await cluster.kubectl(['create', '-f', '-'], { stdin: renderNodes([node]) });
  await cluster.powerOn(name);
}
