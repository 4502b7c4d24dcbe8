import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SUPERVISE } from './nodeBoot.ts';
import type { Toolchain } from './toolchain.ts';
import { CONTROL_PLANE, CONTROL_PLANE_ADDRESS, IPV6, SERVICE_CIDR } from './topology.ts';

const ETCD = 'http://127.0.0.1:2379';

function renderFlags(flags: Readonly<Record<string, string>>): string {
  return Object.entries(flags)
    .map(([name, value]) => `--${name}=${value}`)
    .join(' ');
}

/** What the API server was asked, one JSON object a line, where the cluster was made with an audit policy. */
export function auditLog(folder: string): string {
  return join(folder, CONTROL_PLANE, 'audit.log');
}

function auditPolicyFile(folder: string): string {
  return join(folder, CONTROL_PLANE, 'audit-policy.json');
}

function renderApiServer({ folder, auditPolicy, dualStack }: ControlPlaneOptions): string {
  const pki = join(folder, 'pki');
  const audit = { 'audit-policy-file': auditPolicyFile(folder), 'audit-log-path': auditLog(folder) };
  return renderFlags({
    ...(auditPolicy === undefined ? {} : audit),
    'etcd-servers': ETCD,
    'advertise-address': CONTROL_PLANE_ADDRESS,
    'secure-port': '6443',
    'tls-cert-file': `${pki}/apiserver.crt`,
    'tls-private-key-file': `${pki}/apiserver.key`,
    'client-ca-file': `${pki}/ca.crt`,
    'kubelet-client-certificate': `${pki}/kubelet-client.crt`,
    'kubelet-client-key': `${pki}/kubelet-client.key`,
    'kubelet-certificate-authority': `${pki}/ca.crt`,
    'kubelet-preferred-address-types': 'InternalIP',
    'service-account-key-file': `${pki}/service-account.pub`,
    'service-account-signing-key-file': `${pki}/service-account.key`,
    'service-account-issuer': 'https://kubernetes.default.svc',
    'authorization-mode': 'Node,RBAC',
    'enable-admission-plugins': 'NodeRestriction',
    'service-cluster-ip-range': dualStack ? `${SERVICE_CIDR},${IPV6.serviceCidr}` : SERVICE_CIDR,
    'allow-privileged': 'true',
    // Webhooks are called at their pods: no kube-proxy runs beside the API server.
    'enable-aggregator-routing': 'true',
    'default-not-ready-toleration-seconds': '5',
    'default-unreachable-toleration-seconds': '5',
  });
}

function renderControllerManager(folder: string): string {
  const pki = join(folder, 'pki');
  return renderFlags({
    kubeconfig: `${folder}/controller-manager.kubeconfig`,
    'service-account-private-key-file': `${pki}/service-account.key`,
    'root-ca-file': `${pki}/ca.crt`,
    'cluster-signing-cert-file': `${pki}/ca.crt`,
    'cluster-signing-key-file': `${pki}/ca.key`,
    'use-service-account-credentials': 'true',
    'leader-elect': 'false',
    // Each of its controllers asks for a service account and a token at start; the default pace of 20 a second takes 5 s.
    'kube-api-qps': '200',
    'kube-api-burst': '400',
    // Kubernetes' own failure detection, kept short so that tests of pod eviction end.
    'node-monitor-period': '1s',
    'node-monitor-grace-period': '12s',
  });
}

/** PID 1 of the control plane's pid namespace: its end is the end of etcd and all of it. */
function renderBoot(options: ControlPlaneOptions): string {
  const { folder, toolchain } = options;
  const disk = join(folder, CONTROL_PLANE);
  const etcd = renderFlags({
    'data-dir': `${disk}/etcd`,
    'listen-client-urls': ETCD,
    'advertise-client-urls': ETCD,
    'listen-peer-urls': 'http://127.0.0.1:2380',
    'log-level': 'error',
  });
  const scheduler = renderFlags({
    kubeconfig: `${folder}/scheduler.kubeconfig`,
    'authentication-kubeconfig': `${folder}/scheduler.kubeconfig`,
    'leader-elect': 'false',
  });
  return `#!/bin/sh
B=${toolchain.folder}; D=${disk}
mount -t proc proc /proc
mkdir -p $D/etcd && mount -t tmpfs -o size=1g tmpfs $D/etcd
${SUPERVISE}
supervise $D/etcd.log $B/etcd ${etcd} --unsafe-no-fsync &
supervise $D/kube-apiserver.log $B/kube-apiserver ${renderApiServer(options)} &
until [ -e ${folder}/api-ready ]; do sleep 0.1; done
supervise $D/kube-controller-manager.log $B/kube-controller-manager ${renderControllerManager(folder)} &
supervise $D/kube-scheduler.log $B/kube-scheduler ${scheduler} &
while :; do wait; sleep 1; done
`;
}

export interface ControlPlaneOptions {
  readonly folder: string;
  readonly toolchain: Toolchain;
  readonly dualStack: boolean;
  /** Of audit.k8s.io/v1; without one nothing is logged. */
  readonly auditPolicy?: object | undefined;
}

export async function writeControlPlaneFiles(options: ControlPlaneOptions): Promise<void> {
  const { folder, auditPolicy } = options;
  await mkdir(join(folder, CONTROL_PLANE), { recursive: true });
  if (auditPolicy !== undefined) await writeFile(auditPolicyFile(folder), JSON.stringify(auditPolicy));
  await writeFile(join(folder, CONTROL_PLANE, 'boot.sh'), renderBoot(options));
}
