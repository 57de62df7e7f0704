// Pod templates that ask for more than their author may have: each refused, by the field that asks.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { objectionsTo, type Template } from '../../../operator/leptonjob/template-policy.ts';

const RESTRICTED = { podSecurity: 'restricted', serviceAccounts: ['default'] } as const;
const container = (more: Record<string, unknown>): Template => ({
  spec: { containers: [{ name: 'lepton', ...more }] },
});
const security = (securityContext: unknown): Template => container({ securityContext });
const volume = (kind: string, value: unknown = {}): Template => ({
  spec: { volumes: [{ name: 'v', [kind]: value }] },
});

/** Template -> what the objection must name. */
const EVIL: readonly (readonly [title: string, template: Template, names: RegExp])[] = [
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
  ['no list of containers', { spec: { containers: 'lepton' } }, /expected a list/],
  [
    'a prototype',
    JSON.parse('{"spec": {"securityContext": {"__proto__": {"runAsUser": 1}, "runAsUser": 0}}}') as Template,
    /runAsUser/,
  ],
];

for (const [title, template, names] of EVIL)
  test(`${title} is refused`, () => {
    const objections = objectionsTo(template, RESTRICTED, 'spec.worker.template');
    assert.ok(objections.length > 0, 'nothing was said');
    assert.match(objections.join('\n'), names);
    for (const objection of objections)
      assert.ok(objection.startsWith('spec.worker.template.') && objection.length < 500);
  });

test('what an ordinary job asks for is allowed', () => {
  const template: Template = {
    metadata: { labels: { team: 'a' }, annotations: { 'sidecar.istio.io/inject': 'false' } },
    spec: {
      serviceAccountName: 'default',
      nodeSelector: { disk: 'ssd' },
      containers: [
        {
          name: 'lepton',
          image: 'mine:1',
          env: [{ name: 'TOKEN', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } }],
          resources: { requests: { cpu: '2' } },
          volumeMounts: [{ name: 'data', mountPath: '/data' }],
          securityContext: { runAsUser: 1000, capabilities: { drop: ['ALL'] } },
        },
      ],
      volumes: [
        { name: 'data', persistentVolumeClaim: { claimName: 'data' } },
        { name: 'x', emptyDir: { medium: 'Memory' } },
      ],
      tolerations: [{ operator: 'Exists' }],
    },
  };
  assert.deepEqual(objectionsTo(template, RESTRICTED, 'spec.worker.template'), []);
});

test('an administrator may allow more', () => {
  const open = { podSecurity: 'off', serviceAccounts: ['default', 'trainer'] } as const;
  assert.deepEqual(
    objectionsTo({ spec: { hostNetwork: true, serviceAccountName: 'trainer' } }, open, 't'),
    [],
  );
  const baseline = { ...RESTRICTED, podSecurity: 'baseline' } as const;
  assert.deepEqual(objectionsTo(volume('nfs'), baseline, 't'), []);
  assert.equal(objectionsTo(volume('hostPath'), baseline, 't').length, 1);
});
