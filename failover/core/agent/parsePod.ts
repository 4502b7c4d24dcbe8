/** Reads a Pod object into what selection needs; host-network and finished pods have no egress of their own. */
import { parseAddress } from '../../../policy/address.ts';
import { FieldReader } from '../../../policy/fieldReader.ts';
import type { LocalPod } from './agentView.ts';

/** The API allows one address per family. */
const POD_IPS_MAX = 16;

export function parsePod(raw: unknown): LocalPod | undefined {
  const pod = new FieldReader(raw, '', []);
  const metadata = pod.child('metadata');
  const [namespace, name] = [metadata.optionalText('namespace'), metadata.optionalText('name')];
  if (namespace === undefined || name === undefined || pod.child('spec').flag('hostNetwork'))
    return undefined;
  const status = pod.child('status');
  const phase = status.optionalText('phase');
  if (phase === 'Succeeded' || phase === 'Failed') return undefined;
  const addresses = status.list('podIPs', { min: 0, max: POD_IPS_MAX }).flatMap((it) => {
    const parsed = parseAddress(it.optionalText('ip') ?? '');
    return parsed.kind === 'ok' ? [parsed.value] : [];
  });
  return { namespace, name, labels: Object.fromEntries(metadata.textMap('labels')), addresses };
}
