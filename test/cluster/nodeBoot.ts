import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PAUSE_IMAGE, type Toolchain } from './toolchain.ts';
import { addressesOf, type ClusterNode, IPV6, POD_CIDR, podCidrsOf } from './topology.ts';

export interface NodeFilesOptions {
  readonly node: ClusterNode;
  readonly toolchain: Toolchain;
  /** The cluster's state folder: pki/, images/, kubeconfigs, and this node's disk under its name. */
  readonly folder: string;
  /** What containers log goes to a disk of this size; undefined: to the machine's. */
  readonly logDiskMegabytes?: number | undefined;
}

/** Needs kernel features that a node does not have, and costs each start a second. */
const DISABLED_PLUGINS = [
  'io.containerd.internal.v1.opt',
  'io.containerd.tracing.processor.v1.otlp',
  'io.containerd.internal.v1.tracing',
  ...['btrfs', 'zfs', 'devmapper', 'blockfile', 'erofs'].map(
    (name) => `io.containerd.snapshotter.v1.${name}`,
  ),
];

/** `restrict_oom_score_adj`: without CAP_SYS_RESOURCE runc may not lower a container's score and would die of it. */
function renderContainerd(): string {
  return `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ${JSON.stringify(DISABLED_PLUGINS)}
[grpc]
address = "/run/containerd/containerd.sock"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "${PAUSE_IMAGE}"
[plugins.'io.containerd.cri.v1.runtime']
enable_selinux = false
restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "/etc/cni/net.d"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = "/usr/sbin/runc"
SystemdCgroup = false
`;
}

function renderCni(node: ClusterNode): string {
  const ranges = podCidrsOf(node).map((subnet) => [{ subnet }]);
  const routes = [{ dst: '0.0.0.0/0' }, ...(node.ipv6 === undefined ? [] : [{ dst: '::/0' }])];
  const ipam = { type: 'host-local', ranges, routes };
  const bridge = { type: 'bridge', bridge: 'cni0', isGateway: true, ipMasq: false, hairpinMode: true, ipam };
  return JSON.stringify({ cniVersion: '1.0.0', name: 'test', plugins: [bridge] });
}

/** JSON is YAML. Eviction and image collection are off: the disk is the machine's, and may look full. */
function renderKubelet({ node, folder }: NodeFilesOptions): string {
  return JSON.stringify({
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    failCgroupV1: false,
    cgroupDriver: 'cgroupfs',
    failSwapOn: false,
    containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: join(folder, 'pki/ca.crt') },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: join(folder, `pki/${node.name}.crt`),
    tlsPrivateKeyFile: join(folder, `pki/${node.name}.key`),
    resolvConf: '',
    evictionHard: { 'imagefs.available': '0%', 'nodefs.available': '0%', 'nodefs.inodesFree': '0%' },
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    nodeStatusUpdateFrequency: '2s',
    nodeLeaseDurationSeconds: 8,
    syncFrequency: '10s',
    volumeStatsAggPeriod: '1m',
    shutdownGracePeriod: '0s',
  });
}

function renderProxy({ node, folder }: NodeFilesOptions): string {
  return JSON.stringify({
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'nftables',
    clientConnection: { kubeconfig: join(folder, 'proxy.kubeconfig') },
    hostnameOverride: node.name,
    clusterCIDR: node.ipv6 === undefined ? POD_CIDR : `${POD_CIDR},${IPV6.podCidr}`,
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
  });
}

/** A shell function that keeps a program running, as a service manager does. */
export const SUPERVISE = `supervise() {
  log=$1; shift
  while :; do
    "$@" >>"$log" 2>&1
    echo "ended with $?, starting again" >>"$log"
    while [ -e "$log.stopped" ]; do sleep 0.1; done
    sleep 0.5
  done
}
`;

/** Sysctls the kubelet sets are the whole machine's: it gets files of its own instead. */
const MASKED_SYSCTLS = [
  'vm/overcommit_memory=1',
  'vm/panic_on_oom=0',
  'kernel/panic=10',
  'kernel/panic_on_oops=1',
  'kernel/keys/root_maxkeys=1000000',
  'kernel/keys/root_maxbytes=25000000',
];

/** PID 1 of the node's namespaces. The kubelet starts once `<folder>/api-ready` says that its Node object exists. */
function renderBoot({ node, folder, toolchain, logDiskMegabytes }: NodeFilesOptions): string {
  const disk = join(folder, node.name);
  const logDisk =
    logDiskMegabytes === undefined
      ? ''
      : `mkdir -p $D/log && mount -t tmpfs -o size=${logDiskMegabytes}m tmpfs $D/log\n`;
  const kubelet = `--config ${disk}/kubelet.json --kubeconfig ${folder}/${node.name}.kubeconfig`;
  return `#!/bin/sh
D=${disk}; B=${toolchain.folder}; export PATH=$B:$PATH
hostname ${node.name}
mount --make-rprivate / && mount --make-rshared /
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
for c in cpu cpuacct cpuset memory devices freezer blkio pids; do
  mkdir /sys/fs/cgroup/$c && mount -t cgroup -o $c cgroup /sys/fs/cgroup/$c
done
mkdir /sys/fs/cgroup/systemd && mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
mount -t bpf bpf /sys/fs/bpf 2>/dev/null
mount -t tmpfs tmpfs /run && mkdir -p /run/lock
over() { mkdir -p "$D/$1" "$2" && mount --bind "$D/$1" "$2"; }
over kubelet /var/lib/kubelet
over containerd /var/lib/containerd
over cni-state /var/lib/cni
${logDisk}over log /var/log
over cni /etc/cni
over sallyport /var/lib/sallyport
mask() { echo "$2" >"$D/masks/$1" && mount --bind "$D/masks/$1" "$3"; }
mkdir -p $D/masks
for s in ${MASKED_SYSCTLS.join(' ')}; do
  mask "$(echo "\${s%=*}" | tr / _)" "\${s#*=}" "/proc/sys/\${s%=*}"
done
[ -s $D/masks/machine-id ] || tr -d - </proc/sys/kernel/random/uuid >$D/masks/machine-id
mount --bind $D/masks/machine-id /etc/machine-id
[ ! -e /sys/class/dmi/id/product_uuid ] || mount --bind $D/masks/machine-id /sys/class/dmi/id/product_uuid
mask boot-id "$(cat /proc/sys/kernel/random/uuid)" /proc/sys/kernel/random/boot_id
mask hosts "127.0.0.1 localhost
${node.address} ${node.name}" /etc/hosts
${SUPERVISE}
supervise $D/containerd.log $B/containerd -c $D/containerd.toml &
supervise $D/kube-proxy.log $B/kube-proxy --config $D/proxy.json &
until $B/ctr version >/dev/null 2>&1; do sleep 0.1; done
for image in ${folder}/images/*.tar; do
  $B/ctr -n k8s.io images import --local --snapshotter overlayfs "$image" >>$D/import.log 2>&1
done
until [ -e ${folder}/api-ready ]; do sleep 0.1; done
supervise $D/kubelet.log $B/kubelet ${kubelet} --hostname-override ${node.name} --node-ip ${addressesOf(node).join(',')} --v=1 &
while :; do wait; sleep 1; done
`;
}

/** Writes what is on the node's disk before its first start. */
export async function writeNodeFiles(options: NodeFilesOptions): Promise<void> {
  const disk = join(options.folder, options.node.name);
  await mkdir(join(disk, 'cni/net.d'), { recursive: true });
  const files = {
    'containerd.toml': renderContainerd(),
    'cni/net.d/10-test.conflist': renderCni(options.node),
    'kubelet.json': renderKubelet(options),
    'proxy.json': renderProxy(options),
    'boot.sh': renderBoot(options),
  };
  await Promise.all(Object.entries(files).map(([name, text]) => writeFile(join(disk, name), text)));
  await chmod(join(disk, 'boot.sh'), 0o755);
}
