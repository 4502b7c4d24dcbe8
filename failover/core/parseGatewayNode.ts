/** Reads a GatewayNode object. Entries that do not parse are left out: a statement nobody can read was not made. */
import { parseAddress } from '../../policy/address.ts';
import { parseCidr } from '../../policy/cidr.ts';
import { FieldReader } from '../../policy/fieldReader.ts';
import type { Address } from '../../policy/model.ts';
import type { SessionRef } from './egressIp.ts';
import type { AddressState, AddressStatement, GatewayNode, PortDemand } from './gatewayNode.ts';
import { PEER_KEY_ID_MAX } from './peerKeys.ts';

/** Egress IPs in a cluster, and interfaces or subnets of a node, stay far below. */
const LIST_MAX = 16_384;
const STATES: readonly AddressState[] = ['Answering', 'Released', 'Standby'];

export function parseGatewayNode(raw: unknown): GatewayNode | undefined {
  const object = new FieldReader(raw, '', []);
  const metadata = object.child('metadata');
  const name = metadata.optionalText('name');
  if (name === undefined) return undefined;
  const status = object.child('status');
  const conditions = new Map(list(status, 'conditions').map((it) => [it.optionalText('type'), it]));
  const [ready, healthy] = [conditions.get('DataPlaneReady'), conditions.get('Healthy')];
  const unhealthy = healthy?.optionalText('status') === 'False';
  const versions = status.child('versions');
  return {
    name,
    uid: metadata.optionalText('uid') ?? '',
    resourceVersion: metadata.optionalText('resourceVersion') ?? '',
    session: status.optionalInteger('session') ?? 0,
    lastSession: status.optionalInteger('lastSession') ?? 0,
    ...parseUnderlay(status),
    interfaces: list(status, 'interfaces').map((it) => ({
      name: it.optionalText('name') ?? '',
      addresses: list(it, 'addresses').flatMap((text) => parseInterfaceAddress(text.text() ?? '')),
    })),
    onLink: list(status, 'onLink').flatMap((it) => {
      const cidr = parseCidr(it.optionalText('cidr') ?? '');
      return cidr.kind === 'ok'
        ? [{ cidr: cidr.value, interfaceName: it.optionalText('interfaceName') ?? '' }]
        : [];
    }),
    nextHops: list(status, 'nextHops').flatMap((it) =>
      addressIn(it).map((address) => ({ address, interfaceName: it.optionalText('interfaceName') ?? '' })),
    ),
    capacity: status.optionalInteger('capacity') ?? 0,
    dataPlaneReady: ready?.optionalText('status') === 'True',
    dataPlaneMessage: ready?.optionalText('message') ?? '',
    healthy: !unhealthy,
    healthMessage: unhealthy ? (healthy.optionalText('message') ?? '') : '',
    addresses: list(status, 'addresses').flatMap(parseStatement),
    dead: list(status, 'dead').flatMap(parseSession),
    voterConfig: {
      version: status.optionalInteger('voterConfigVersion') ?? 0,
      sets: list(status, 'voterSets').map((set) => set.texts()),
    },
    ...parsePeerKeys(status),
    demand: list(status, 'demand').flatMap(parseDemand),
    selected: list(status, 'selected').flatMap((it) => {
      const policyUid = it.optionalText('policyUid');
      const generation = it.optionalInteger('generation');
      const kernel = generation === undefined ? {} : { generation };
      return policyUid === undefined ? [] : [{ policyUid, pods: it.optionalInteger('pods') ?? 0, ...kernel }];
    }),
    versions: {
      agent: versions.optionalText('agent') ?? '',
      kernel: versions.optionalText('kernel') ?? '',
      nftables: versions.optionalText('nftables') ?? '',
    },
  };
}

function list(reader: FieldReader, field: string): readonly FieldReader[] {
  return reader.list(field, { min: 0, max: LIST_MAX });
}

function addressIn(reader: FieldReader): readonly Address[] {
  const parsed = parseAddress(reader.optionalText('address') ?? '');
  return parsed.kind === 'ok' ? [parsed.value] : [];
}

function parseUnderlay(status: FieldReader): Pick<GatewayNode, 'underlay'> {
  const underlay = status.child('underlay');
  const [address] = addressIn(underlay);
  const [interfaceName, tunnelMac] = [
    underlay.optionalText('interfaceName'),
    underlay.optionalText('tunnelMac'),
  ];
  if (address === undefined || interfaceName === undefined || tunnelMac === undefined) return {};
  return { underlay: { address, interfaceName, tunnelMac } };
}

/** What is no key's number was not said: a new key gets the next one after all that were. */
function parsePeerKeys(status: FieldReader): Pick<GatewayNode, 'peerKeys'> {
  const isId = (id: number | undefined): id is number => id !== undefined && id >= 1 && id <= PEER_KEY_ID_MAX;
  const accepted = list(status, 'peerKeys')
    .flatMap((it) => it.integer() ?? [])
    .filter(isId);
  const signing = status.optionalInteger('peerSigningKey');
  return isId(signing) ? { peerKeys: { accepted, signing } } : {};
}

/** `203.0.113.11/24`: an address with the length of its subnet's prefix, so host bits are expected. */
function parseInterfaceAddress(
  text: string,
): readonly { readonly address: Address; readonly prefix: number }[] {
  const [addressText = '', prefixText = ''] = text.split('/');
  const address = parseAddress(addressText);
  if (address.kind === 'refused' || !/^\d{1,3}$/.test(prefixText)) return [];
  return [{ address: address.value, prefix: Number(prefixText) }];
}

function parseStatement(entry: FieldReader): readonly AddressStatement[] {
  const [address] = addressIn(entry);
  const text = entry.optionalText('state');
  const state = STATES.find((it) => it === text);
  const [epoch, session] = [entry.optionalInteger('epoch'), entry.optionalInteger('session')];
  const blocksVersion = entry.optionalInteger('blocksVersion');
  if (address === undefined || state === undefined) return [];
  if (epoch === undefined || session === undefined || blocksVersion === undefined) return [];
  const index = entry.optionalInteger('index') ?? 0;
  return [{ address, state, epoch, index, session, blocksVersion, ...parseLost(entry.child('lost')) }];
}

function parseLost(lost: FieldReader): Pick<AddressStatement, 'lost'> {
  const epoch = lost.optionalInteger('epoch');
  return epoch === undefined
    ? {}
    : { lost: { epoch, sessions: list(lost, 'sessions').flatMap(parseSession) } };
}

function parseSession(entry: FieldReader): readonly SessionRef[] {
  const [gateway, session] = [entry.optionalText('gateway'), entry.optionalInteger('session')];
  return gateway === undefined || session === undefined ? [] : [{ gateway, session }];
}

function parseDemand(entry: FieldReader): readonly PortDemand[] {
  const returned = entry.optionalInteger('returned');
  return addressIn(entry).map((address) => ({
    address,
    ports: entry.optionalInteger('ports') ?? 0,
    ...(returned === undefined ? {} : { returned }),
  }));
}
