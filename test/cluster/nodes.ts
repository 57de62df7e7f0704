// Nodes of a test cluster: each a network namespace with its own containerd and kubelet, on a common bridge with the control plane.
// Runs inside cluster.sh, so nothing of it outlives the test.
import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type ControlPlane, nodeToken } from './control-plane.ts';
import { Daemon, until } from './daemon.ts';

const run = promisify(execFile);

/** On the bridge: the API server, as nodes and pods know it, and DNS. */
export const API_ADDRESS = '10.96.0.1';
export const DNS_ADDRESS = '10.96.0.10';
const BRIDGE = 'lepton0';
const HOST_ADDRESS = '10.90.0.1';

export interface Node {
  readonly name: string;
  readonly folder: string;
  readonly kubelet: Daemon;
  readonly containerd: Daemon;
  startKubelet(): Daemon;
  /** The node is there and nobody reaches it, nor it anybody. */
  cut(): Promise<void>;
  heal(): Promise<void>;
  isReady(): Promise<boolean>;
  stop(): Promise<void>;
  ctr(...args: readonly string[]): Promise<string>;
  /** Containers of pods of a namespace that run; those that have ended are kept for a while. */
  runningOf(namespace: string): Promise<string[]>;
}

/** The bridge that everything meets on. */
export async function makeBridge(): Promise<void> {
  await ip(`link add ${BRIDGE} type bridge`);
  for (const address of [`${HOST_ADDRESS}/24`, `${API_ADDRESS}/32`, `${DNS_ADDRESS}/32`])
    await ip(`addr add ${address} dev ${BRIDGE}`);
  await ip(`link set ${BRIDGE} up`);
  await writeFile('/proc/sys/net/ipv4/ip_forward', '1');
}

/** CoreDNS for names of services and pods, as a program on the bridge. */
export async function startDns(plane: ControlPlane): Promise<Daemon> {
  const config = await plane.kubeConfigFile('coredns');
  const corefile = join(plane.folder, 'Corefile');
  await writeFile(
    corefile,
    `.:53 {
  bind ${DNS_ADDRESS}
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig ${config}
    ttl 1
  }
}
`,
  );
  const command = [join(plane.programs, 'coredns'), '-conf', corefile];
  return new Daemon({ name: 'coredns', command, logFile: join(plane.folder, 'coredns.log') });
}

export async function startNode(
  plane: ControlPlane,
  number: number,
  images: readonly string[],
): Promise<Node> {
  const name = `node-${number}`;
  const folder = join(plane.folder, name);
  await mkdir(folder, { recursive: true });
  await connect(name, number);
  const socket = join(folder, 'containerd.sock');
  await writeFile(join(folder, 'containerd.toml'), containerdConfig(folder, socket));
  await writeCni(folder, number);
  const start = (program: string, command: readonly string[]): Daemon =>
    new Daemon({ name: program, command, logFile: join(folder, `${program}.log`), network: name });
  const containerd = start('containerd', ['containerd', '--config', join(folder, 'containerd.toml')]);
  const ctr = async (...args: readonly string[]): Promise<string> => {
    const { stdout } = await run('ctr', ['--address', socket, '--namespace', 'k8s.io', ...args], {
      maxBuffer: 2 ** 26,
    });
    return stdout;
  };
  await until('containerd', 30_000, () => ctr('version'), containerd);
  for (const image of images) await ctr('images', 'import', image);
  const kubeconfig = await plane.kubeConfigFile(name, nodeToken(name));
  await writeFile(join(folder, 'kubelet.json'), JSON.stringify(kubeletConfig(folder, socket)));
  const startKubelet = (): Daemon =>
    start('kubelet', [
      join(plane.programs, 'kubelet'),
      `--config=${join(folder, 'kubelet.json')}`,
      `--kubeconfig=${kubeconfig}`,
      `--hostname-override=${name}`,
      `--node-ip=${addressOf(number)}`,
      `--root-dir=${join(folder, 'kubelet')}`,
      `--cert-dir=${join(folder, 'certificates')}`,
    ]);
  const kubelet = startKubelet();
  const stop = async (): Promise<void> => {
    await kubelet.stop();
    await removeContainers(ctr);
    await containerd.stop();
    await unmountBelow(folder);
  };
  const node: Node = {
    name,
    folder,
    containerd,
    kubelet,
    startKubelet,
    cut: () => ip(`link set ${name} down`),
    heal: () => ip(`link set ${name} up`),
    isReady: () => isReady(plane, name),
    runningOf: (namespace) => runningOf(ctr, namespace),
    stop,
    ctr,
  };
  await until(`${name} is ready`, 60_000, node.isReady, node.kubelet);
  return node;
}

function addressOf(number: number): string {
  return `10.90.0.${10 + number}`;
}

const podNetwork = (number: number): string => `10.91.${number}.0/24`;
/** Every node knows the pods' networks of so many others. */
const MAX_NODES = 4;

async function connect(name: string, number: number): Promise<void> {
  await ip(`netns add ${name}`);
  await ip(`link add ${name} type veth peer name eth0 netns ${name}`);
  await ip(`link set ${name} master ${BRIDGE} up`);
  await ip(`-n ${name} link set lo up`);
  await ip(`-n ${name} addr add ${addressOf(number)}/24 dev eth0`);
  await ip(`-n ${name} link set eth0 up`);
  await ip(`-n ${name} route add default via ${HOST_ADDRESS}`);
  for (let other = 1; other <= MAX_NODES; other++)
    if (other !== number) await ip(`-n ${name} route add ${podNetwork(other)} via ${addressOf(other)}`);
  await ip(`route add ${podNetwork(number)} via ${addressOf(number)}`);
  const forward = 'echo 1 >/proc/sys/net/ipv4/ip_forward';
  await run('nsenter', [`--net=/run/netns/${name}`, 'sh', '-c', forward]);
}

async function ip(command: string): Promise<void> {
  await run('ip', command.split(' '));
}

function containerdConfig(folder: string, socket: string): string {
  return `version = 2
root = "${join(folder, 'containerd')}"
state = "${join(folder, 'containerd-state')}"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "docker.io/lepton/pause:test"
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${join(folder, 'cni')}"
`;
}

async function writeCni(folder: string, number: number): Promise<void> {
  await mkdir(join(folder, 'cni'), { recursive: true });
  const config = {
    cniVersion: '0.4.0',
    name: 'pods',
    plugins: [
      {
        type: 'bridge',
        bridge: 'cni0',
        isGateway: true,
        ipMasq: false,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir: join(folder, 'ipam'),
          ranges: [[{ subnet: podNetwork(number) }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
    ],
  };
  await writeFile(join(folder, 'cni', '10-pods.conflist'), JSON.stringify(config));
}

function kubeletConfig(folder: string, socket: string) {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    containerRuntimeEndpoint: `unix://${socket}`,
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: 'AlwaysAllow' }, // reachable inside the test's namespaces alone
    cgroupDriver: 'cgroupfs',
    cgroupsPerQOS: false,
    enforceNodeAllocatable: [],
    failCgroupV1: false,
    failSwapOn: false,
    evictionHard: {},
    localStorageCapacityIsolation: false,
    clusterDNS: [DNS_ADDRESS],
    clusterDomain: 'cluster.local',
    resolvConf: '',
    podLogsDir: join(folder, 'logs'),
    syncFrequency: '1s',
    nodeStatusUpdateFrequency: '2s',
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    makeIPTablesUtilChains: false,
    volumePluginDir: join(folder, 'volume-plugins'),
  };
}

async function isReady(plane: ControlPlane, name: string): Promise<boolean> {
  const node = await plane.api.client.call<{ status: { conditions: { type: string; status: string }[] } }>({
    method: 'GET',
    path: `/api/v1/nodes/${name}`,
  });
  return node.status.conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
}

async function runningOf(ctr: Node['ctr'], namespace: string): Promise<string[]> {
  const tasks = (await ctr('tasks', 'list')).split('\n').map((line) => line.split(/\s+/));
  const running = new Set(tasks.flatMap(([id, , status]) => (status === 'RUNNING' ? [id] : [])));
  const of = `labels."io.kubernetes.pod.namespace"==${namespace}`;
  return (await ctr('containers', 'list', '-q', of)).split('\n').filter((id) => running.has(id));
}

/** Ends what runs, so that its control groups go as well. */
async function removeContainers(ctr: Node['ctr']): Promise<void> {
  const tasks = (await ctr('tasks', 'list', '-q')).split('\n').filter((id) => id !== '');
  for (const id of tasks) await ctr('tasks', 'kill', '--signal', 'SIGKILL', id).catch(() => {});
  for (const id of tasks) await ctr('tasks', 'delete', '--force', id).catch(() => {});
}

/** Deepest first. */
async function unmountBelow(folder: string): Promise<void> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8'))
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '');
  for (const mount of mounts.filter((path) => path.startsWith(folder)).toReversed())
    await run('umount', ['--lazy', mount]);
}
