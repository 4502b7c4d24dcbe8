/** What is on a gateway's disk: keepalived and conntrackd set up as well as this job allows, the NAT, and the boot. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ClusterNode, POD_CIDR, SERVICE_CIDR, UNDERLAY_CIDR } from '../../test/cluster/topology.ts';

/** The source address that the outside sees. */
export const EGRESS_ADDRESS = '203.0.113.10';
/** The pods' next hop; moves together with the egress address. */
export const INNER_ADDRESS = '203.0.113.9';
/** keepalived's log and conntrackd's: the rig reads the states from them. */
export const KEEPALIVED_LOG = 'keepalived.log';
export const CONNTRACKD_LOG = 'conntrackd.log';

/**
 * VRRP's skew is (256 − priority)/256 of an interval, 0.4 ms a step here. High priorities keep it small, and five steps
 * apart one backup has announced itself before the next one's timer ends.
 */
const PRIORITY_FIRST = 250;
const PRIORITY_STEP = 5;
const SYNC_GROUP = '225.0.0.50';
const SYNC_PORT = 3780;
/** As in Debian's examples of conntrackd: twice nf_conntrack_max at least, and buffers for its bursts. */
const CACHE_ENTRIES_MAX = 524_288;
const SOCKET_BUFFER_BYTES = 1_249_280;
const NETLINK_BUFFER_BYTES = 8_388_608;

function renderInstance(name: string, options: { readonly id: number; readonly priority: number }): string {
  const address = name === 'outer' ? EGRESS_ADDRESS : INNER_ADDRESS;
  return `vrrp_instance ${name} {
  state BACKUP
  nopreempt
  interface eth0
  virtual_router_id ${options.id}
  priority ${options.priority}
  advert_int 0.1
  virtual_ipaddress {
    ${address}/32 dev eth0
  }
}
`;
}

/**
 * All start as BACKUP with nopreempt: a gateway that comes back takes nothing over, since each take-over costs a gap.
 * Multicast, since one packet then reaches every backup; the announcement is repeated at once and a second later.
 */
export function renderKeepalived(node: ClusterNode, rank: number): string {
  const priority = PRIORITY_FIRST - rank * PRIORITY_STEP;
  return `global_defs {
  router_id ${node.name}
  vrrp_version 3
  vrrp_garp_master_repeat 5
  vrrp_garp_master_delay 1
  vrrp_garp_master_refresh 10
}
vrrp_sync_group egress {
  group {
    outer
    inner
  }
}
${renderInstance('outer', { id: 51, priority })}${renderInstance('inner', { id: 52, priority })}`;
}

/**
 * NOTRACK without the external cache: each state goes straight into the kernels of all backups, so a take-over has
 * nothing to commit. FT-FW with Debian's commit scripts measured the same, but its acknowledgements are made for two
 * nodes, and here are three. The internal cache stays: without it conntrackd holds back the last states of a burst, and
 * connections opened within a second before a power cut died (up to 5 of 40). The addresses ignored are the
 * gateways' own.
 */
export function renderConntrackd(node: ClusterNode, disk: string): string {
  return `Sync {
  Mode NOTRACK {
    DisableInternalCache off
    DisableExternalCache on
    StartupResync on
  }
  Multicast {
    IPv4_address ${SYNC_GROUP}
    Group ${SYNC_PORT}
    IPv4_interface ${node.address}
    Interface eth0
    SndSocketBuffer ${SOCKET_BUFFER_BYTES}
    RcvSocketBuffer ${SOCKET_BUFFER_BYTES}
    Checksum on
  }
}
General {
  HashSize 32768
  HashLimit ${CACHE_ENTRIES_MAX}
  LogFile ${disk}/${CONNTRACKD_LOG}
  LockFile /run/conntrackd.lock
  UNIX {
    Path /run/conntrackd.ctl
  }
  NetlinkBufferSize ${NETLINK_BUFFER_BYTES}
  NetlinkBufferSizeMaxGrowth ${NETLINK_BUFFER_BYTES}
  Filter From Kernelspace {
    Protocol Accept {
      TCP
      UDP
      ICMP
    }
    Address Ignore {
      IPv4_address 127.0.0.1
      IPv4_address ${UNDERLAY_CIDR}
      IPv4_address 224.0.0.0/4
    }
  }
}
`;
}

/** Only answers reach the egress address: a packet of a flow that this gateway does not know must not be reset by it. */
export function renderNat(): string {
  return `table ip egress {
  chain input {
    type filter hook input priority filter; policy accept;
    ip daddr ${EGRESS_ADDRESS} drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat - 1; policy accept;
    ip saddr ${POD_CIDR} ip daddr != { ${POD_CIDR}, ${SERVICE_CIDR}, ${UNDERLAY_CIDR} } snat to ${EGRESS_ADDRESS}
  }
}
`;
}

/** PID 1 of the gateway's namespaces. `--vrrp` leaves out the health checker, which has nothing to check. */
function renderBoot(node: ClusterNode, disk: string): string {
  return `#!/bin/sh
set -eu
D=${disk}
hostname ${node.name}
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run && mkdir -p /run/lock
nft -f $D/nat.nft
: >$D/${CONNTRACKD_LOG}
: >$D/${KEEPALIVED_LOG}
conntrackd -C $D/conntrackd.conf >>$D/boot.log 2>&1 &
keepalived --dont-fork --log-console --log-detail --vrrp -f $D/keepalived.conf >>$D/${KEEPALIVED_LOG} 2>&1 &
wait
`;
}

/** Written before the first start; a gateway finds them again after a power cut. `rank` 0 has the highest priority. */
export async function writeGatewayFiles(
  folder: string,
  gateway: { readonly node: ClusterNode; readonly rank: number },
): Promise<void> {
  const { node, rank } = gateway;
  const disk = join(folder, node.name);
  await mkdir(disk, { recursive: true });
  const files = {
    'keepalived.conf': renderKeepalived(node, rank),
    'conntrackd.conf': renderConntrackd(node, disk),
    'nat.nft': renderNat(),
    'boot.sh': renderBoot(node, disk),
  };
  await Promise.all(Object.entries(files).map(([name, text]) => writeFile(join(disk, name), text)));
}
