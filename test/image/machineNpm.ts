/** The npm that this machine has; the npm package `node`, whose Node runs everything here, brings none. */
import { existsSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { ClusterError } from '../cluster/command.ts';

export interface MachineNpm {
  /** The package itself, with bin/npm-cli.js. */
  readonly folder: string;
  /** Its npmrc files that exist: the machine's, then the user's. */
  readonly settings: { readonly global?: string; readonly user?: string };
}

export function locateNpm(): MachineNpm {
  const places = (process.env.PATH ?? '').split(path.delimiter).map((place) => path.join(place, 'npm'));
  const command = places.find((place) => existsSync(place));
  if (command === undefined) throw new ClusterError('looking for npm', 'there is no npm in PATH');
  const folder = path.resolve(realpathSync(command), '../..');
  if (!existsSync(path.join(folder, 'bin/npm-cli.js')))
    throw new ClusterError('looking for npm', `${command} leads to ${folder}, which is not npm's package`);
  // npm itself derives this from the Node that runs it, which would be the project's and have no settings beside it.
  const prefix = path.resolve(folder, '../../..');
  const global = [process.env.NPM_CONFIG_GLOBALCONFIG, path.join(prefix, 'etc/npmrc'), '/etc/npmrc'].find(
    exists,
  );
  const user = [process.env.NPM_CONFIG_USERCONFIG, path.join(homedir(), '.npmrc')].find(exists);
  return { folder, settings: { ...(global && { global }), ...(user && { user }) } };
}

function exists(place: string | undefined): place is string {
  return place !== undefined && place !== '' && existsSync(place);
}
