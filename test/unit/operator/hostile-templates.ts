// Pod templates that ask for more than their author may have, or that nothing can be made of. Shared by the tests of the policy and of
// the operator on a real API server.
import type { Template } from '../../../operator/leptonjob/template-policy.ts';

const container = (more: Record<string, unknown>): Template => ({
  spec: { containers: [{ name: 'lepton', ...more }] },
});
const security = (securityContext: unknown): Template => container({ securityContext });
export const volume = (kind: string, value: unknown = {}): Template => ({
  spec: { volumes: [{ name: 'v', [kind]: value }] },
});

/** Template -> what the objection must name. */
export const HOSTILE: readonly (readonly [title: string, template: Template, names: RegExp])[] = [
  ['a privileged container', security({ privileged: true }), /privileged/],
  ['escalation', security({ allowPrivilegeEscalation: true }), /allowPrivilegeEscalation/],
  ['root by number', security({ runAsUser: 0 }), /runAsUser/],
  ['root by permission', security({ runAsNonRoot: false }), /runAsNonRoot/],
  ['added capabilities', security({ capabilities: { add: ['SYS_ADMIN'] } }), /capabilities\.add/],
  ['even a small capability', security({ capabilities: { add: ['NET_BIND_SERVICE'] } }), /capabilities\.add/],
  ['unmasked /proc', security({ procMount: 'Unmasked' }), /procMount/],
  ['no seccomp', security({ seccompProfile: { type: 'Unconfined' } }), /seccompProfile/],
  ['no AppArmor', security({ appArmorProfile: { type: 'Unconfined' } }), /appArmorProfile/],
  ['SELinux of its own', security({ seLinuxOptions: { type: 'spc_t' } }), /seLinuxOptions/],
  ['a Windows host process', security({ windowsOptions: { hostProcess: true } }), /windowsOptions/],
  ['root for the pod', { spec: { securityContext: { runAsUser: 0 } } }, /spec\.securityContext\.runAsUser/],
  [
    'no seccomp for the pod',
    { spec: { securityContext: { seccompProfile: { type: 'Unconfined' } } } },
    /seccompProfile/,
  ],
  [
    'sysctls',
    { spec: { securityContext: { sysctls: [{ name: 'kernel.shm_rmid_forced', value: '1' }] } } },
    /sysctls/,
  ],
  ['the host network', { spec: { hostNetwork: true } }, /hostNetwork/],
  ['the host processes', { spec: { hostPID: true } }, /hostPID/],
  ['the host IPC', { spec: { hostIPC: true } }, /hostIPC/],
  ['the host users', { spec: { hostUsers: true } }, /hostUsers/],
  ['a host port', container({ ports: [{ containerPort: 80, hostPort: 80 }] }), /hostPort/],
  ['a folder of the host', volume('hostPath', { path: '/' }), /hostPath/],
  ['the container runtime', volume('hostPath', { path: '/run/containerd/containerd.sock' }), /hostPath/],
  [
    'a disk of the cloud, by name',
    volume('awsElasticBlockStore', { volumeID: 'vol-1' }),
    /awsElasticBlockStore/,
  ],
  ['NFS', volume('nfs', { server: '10.0.0.1', path: '/' }), /nfs/],
  ['iSCSI', volume('iscsi'), /iscsi/],
  ['a git clone by the kubelet', volume('gitRepo', { repository: 'x' }), /gitRepo/],
  ['a flex driver', volume('flexVolume', { driver: 'x' }), /flexVolume/],
  [
    'a token by projection',
    volume('projected', { sources: [{ serviceAccountToken: { path: 't' } }] }),
    /credentials/,
  ],
  ['a token by mount', { spec: { automountServiceAccountToken: true } }, /automountServiceAccountToken/],
  [
    'the account of an administrator',
    { spec: { serviceAccountName: 'cluster-admin' } },
    /serviceAccountName/,
  ],
  ['the same by its old name', { spec: { serviceAccount: 'cluster-admin' } }, /serviceAccount/],
  ['an account with a path in it', { spec: { serviceAccountName: '../default' } }, /serviceAccountName/],
  ['a node of its choice', { spec: { nodeName: 'control-plane' } }, /nodeName/],
  ['a restart policy', { spec: { restartPolicy: 'Always' } }, /restartPolicy/],
  ['another host name', { spec: { hostname: 'kubernetes' } }, /hostname/],
  ['another subdomain', { spec: { subdomain: 'other' } }, /subdomain/],
  ['an ephemeral container', { spec: { ephemeralContainers: [{ name: 'x' }] } }, /ephemeralContainers/],
  [
    'a privileged init container',
    { spec: { initContainers: [{ name: 'i', securityContext: { privileged: true } }] } },
    /containers\[i\]\.securityContext\.privileged/,
  ],
  [
    'a privileged sidecar',
    { spec: { containers: [{ name: 's', securityContext: { privileged: true } }] } },
    /containers\[s\]/,
  ],
  ['another command for the role', container({ command: ['sh'] }), /command/],
  ['other arguments for the role', container({ args: ['--job', '/other'] }), /args/],
  ['a hook in the role', container({ lifecycle: { preStop: { exec: { command: ['sh'] } } } }), /lifecycle/],
  ['the label of another job', { metadata: { labels: { 'lepton.ai/job-uid': 'x' } } }, /lepton\.ai\/job-uid/],
  [
    'the label of another controller',
    { metadata: { labels: { 'app.kubernetes.io/managed-by': 'x' } } },
    /managed-by/,
  ],
  [
    'a huge environment',
    container({ env: Array.from({ length: 2000 }, (_, i) => ({ name: `N${i}`, value: 'x'.repeat(64) })) }),
    /env: expected at most/,
  ],
  [
    'a crowd of containers',
    { spec: { containers: Array.from({ length: 100 }, (_, i) => ({ name: `c${i}` })) } },
    /at most 8/,
  ],
  ['no list of containers', { spec: { containers: 'lepton' } }, /containers: expected a list/],
  ['a list of nothing', { spec: { containers: [null] } }, /containers: expected a list of objects/],
  ['tolerations that are a map', { spec: { tolerations: {} } }, /tolerations: expected a list/],
  ['mounts that are a text', container({ volumeMounts: 'x' }), /volumeMounts: expected a list/],
  [
    'a security context that is a text',
    { spec: { securityContext: 'x' } },
    /securityContext: expected an object/,
  ],
  ['capabilities that are kept', security({ capabilities: { drop: [] } }), /capabilities\.drop/],
  [
    'a sidecar that keeps capabilities',
    { spec: { containers: [{ name: 's', securityContext: { capabilities: { drop: ['KILL'] } } }] } },
    /containers\[s\]\.securityContext\.capabilities\.drop/,
  ],
  [
    'no AppArmor, by annotation',
    { metadata: { annotations: { 'container.apparmor.security.beta.kubernetes.io/lepton': 'unconfined' } } },
    /apparmor/,
  ],
  [
    'a probe of another host by the kubelet',
    container({ livenessProbe: { httpGet: { host: '169.254.169.254', port: 80 } } }),
    /livenessProbe\.httpGet\.host/,
  ],
  [
    'a hook that asks another host',
    {
      spec: {
        containers: [{ name: 's', lifecycle: { preStop: { tcpSocket: { host: '10.0.0.1', port: 1 } } } }],
      },
    },
    /lifecycle\.preStop\.tcpSocket\.host/,
  ],
  [
    'a certificate of the cluster',
    volume('projected', {
      sources: [{ podCertificate: { signerName: 'kubernetes.io/kube-apiserver-client' } }],
    }),
    /credentials/,
  ],
  ['another host name, the new way', { spec: { hostnameOverride: 'kubernetes' } }, /hostnameOverride/],
  [
    'a name of 10,000 letters',
    container({ name: 'x'.repeat(10_000), securityContext: { privileged: true } }),
    /privileged/,
  ],
  [
    'a prototype',
    JSON.parse('{"spec": {"securityContext": {"__proto__": {"runAsUser": 1}, "runAsUser": 0}}}') as Template,
    /runAsUser/,
  ],
];
