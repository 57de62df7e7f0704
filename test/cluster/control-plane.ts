// A real control plane for tests: etcd and kube-apiserver, with controller manager and scheduler where they are asked for. The
// programs come from build.sh. Everything lies in one temporary folder and ends with `await using`.
import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { KubeConfig } from '@kubernetes/client-node';
import { KubeApi } from '../../operator/kube/api.ts';
import { KubeClient } from '../../operator/kube/client.ts';
import { freePorts } from '../../worker/launch/ports.ts';
import { Daemon, until } from './daemon.ts';
import { GANG_SCHEDULING, minorOf } from './minors.ts';

export interface ControlPlaneOptions {
  /** Kubernetes' own, which is off by default. */
  readonly gangScheduling?: boolean;
  /** Of the controller manager; default: all. */
  readonly controllers?: string;
  /** Beside the API server. */
  readonly with?: readonly (
    | 'kube-controller-manager'
    | 'kube-scheduler'
    | 'kubectl'
    | 'kubelet'
    | 'coredns'
    | 'helm'
    | 'kwok'
    | 'promtool'
    | 'prometheus'
    | 'monitoring-crds'
    | 'volcano-crds'
    | 'scheduler-plugins-crds'
  )[];
  /** Controller manager and scheduler ask as often as they like: for measuring. */
  readonly unthrottled?: boolean;
  /** More flags of the API server. */
  readonly flags?: readonly string[];
  readonly authorization?: 'RBAC' | 'AlwaysAllow';
  /** Address and port under which nodes and pods know the API server; default: loopback alone, any free port. */
  readonly address?: string;
  /** Nodes that may join, with `nodeToken`. */
  readonly nodes?: readonly string[];
}

/** Bearer token -> user, uid, groups. `admin` may do everything. */
const ADMIN_TOKEN = 'token-of-the-admin';
export const nodeToken = (name: string): string => `token-of-${name}`;

export interface ControlPlane extends AsyncDisposable {
  readonly server: string;
  readonly folder: string;
  /** Of build.sh. */
  readonly programs: string;
  readonly api: KubeApi;
  kubeConfig(token?: string, server?: string): KubeConfig;
  /** Writes one and gives its path. */
  kubeConfigFile(name: string, token?: string, server?: string): Promise<string>;
  kubectl(...args: readonly string[]): Promise<string>;
  auditLog(): Promise<readonly AuditEvent[]>;
  readonly apiServer: Daemon;
  /** One of `with`, for measuring and for faults. */
  daemon(name: string): Daemon;
}

export interface AuditEvent {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly userAgent?: string;
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly resource: string;
    readonly namespace?: string;
    readonly name?: string;
    readonly subresource?: string;
  };
  readonly responseStatus?: { readonly code: number };
  readonly requestReceivedTimestamp: string;
}

const run = promisify(execFile);
const START_MS = 60_000;

export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const programs = await buildPrograms(options);
  const folder = await mkdtemp(join(tmpdir(), 'lepton-control-plane-'));
  const daemons: Daemon[] = [];
  try {
    return await start(options, programs, folder, daemons);
  } catch (error) {
    await stop(daemons, folder);
    throw error;
  }
}

async function buildPrograms(options: Pick<ControlPlaneOptions, 'with'>): Promise<string> {
  const names = ['etcd', 'kube-apiserver', ...(options.with ?? [])];
  const script = join(import.meta.dirname, 'build.sh');
  const { stdout } = await run(script, [minorOf(), ...names], { maxBuffer: 2 ** 26 });
  return stdout.trim();
}

async function start(
  options: ControlPlaneOptions,
  programs: string,
  folder: string,
  daemons: Daemon[],
): Promise<ControlPlane> {
  const [etcdPort, peerPort, freePort, managerPort, schedulerPort] = (await freePorts(5)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const daemon = (name: string, flags: readonly string[]): Daemon => {
    const made = new Daemon({
      name,
      command: [join(programs, name), ...flags],
      logFile: join(folder, `${name}.log`),
    });
    daemons.push(made);
    return made;
  };
  const apiPort = options.address === undefined ? freePort : 443;
  const server =
    options.address === undefined ? `https://127.0.0.1:${apiPort}` : `https://${options.address}`;
  await writeKeys(folder, options.nodes ?? []);
  daemon('etcd', etcdFlags(folder, etcdPort, peerPort));
  const apiServer = daemon('kube-apiserver', apiServerFlags(options, folder, apiPort, etcdPort));
  const kubeConfig = (token = ADMIN_TOKEN, at = server): KubeConfig => kubeConfigOf(folder, at, token);
  const writeConfig = async (name: string, token = ADMIN_TOKEN, at = server): Promise<string> => {
    const path = join(folder, `${name}.kubeconfig`);
    await writeFile(path, kubeConfig(token, at).exportConfig(), { mode: 0o600 });
    return path;
  };
  const certificate = join(folder, 'certificates', 'apiserver.crt');
  // Written after the certificate, which may be half there: a client that reads that trusts nobody for ever.
  const key = join(folder, 'certificates', 'apiserver.key');
  await until('certificate of the API server', START_MS, () => readFile(key), apiServer);
  const api = new KubeApi(new KubeClient({ config: kubeConfig(), userAgent: 'lepton-test/1' }));
  const ready = () => api.client.call({ method: 'GET', path: '/api/v1/namespaces/default' });
  await until('API server', START_MS, ready, apiServer);
  const adminConfig = await writeConfig('admin');
  if (options.with?.includes('kube-controller-manager'))
    daemon('kube-controller-manager', [
      ...managerFlags(options, folder, adminConfig, certificate, managerPort),
      ...(options.unthrottled ? ['--kube-api-qps=5000', '--kube-api-burst=5000'] : []),
    ]);
  if (options.with?.includes('kube-scheduler'))
    daemon('kube-scheduler', [
      `--config=${await writeSchedulerConfig(folder, adminConfig, options.unthrottled ?? false)}`,
      `--secure-port=${schedulerPort}`,
      ...gateFlags(options),
      `--authentication-kubeconfig=${adminConfig}`,
      `--authorization-kubeconfig=${adminConfig}`,
    ]);
  return {
    server,
    folder,
    programs,
    api,
    apiServer,
    daemon: (name) => daemons.find((made) => made.name === name)!,
    kubeConfig,
    kubeConfigFile: writeConfig,
    kubectl: async (...args) => {
      const { stdout } = await run(join(programs, 'kubectl'), ['--kubeconfig', adminConfig, ...args]);
      return stdout;
    },
    auditLog: async () =>
      (await readFile(join(folder, 'audit.log'), 'utf8'))
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as AuditEvent),
    [Symbol.asyncDispose]: async () => {
      api.client.close();
      await stop(daemons, folder);
    },
  };
}

async function stop(daemons: readonly Daemon[], folder: string): Promise<void> {
  for (const daemon of daemons.toReversed()) await daemon.stop();
  if (process.env['LEPTON_KEEP_LOGS'] === undefined) await rm(folder, { recursive: true, force: true });
  else console.error(`logs kept in ${folder}`);
}

function etcdFlags(folder: string, port: number, peerPort: number): string[] {
  const [client, peer] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${peerPort}`];
  return [
    `--data-dir=${join(folder, 'etcd')}`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    '--unsafe-no-fsync',
    '--log-level=warn',
  ];
}

function gateFlags({ gangScheduling = false }: ControlPlaneOptions): string[] {
  return gangScheduling ? [`--feature-gates=${GANG_SCHEDULING[minorOf()].gates}`] : [];
}

function apiServerFlags(
  options: ControlPlaneOptions,
  folder: string,
  port: number,
  etcdPort: number,
): string[] {
  const { authorization = 'RBAC', flags = [], address, gangScheduling = false } = options;
  return [
    `--etcd-servers=http://127.0.0.1:${etcdPort}`,
    `--bind-address=${address === undefined ? '127.0.0.1' : '0.0.0.0'}`,
    `--secure-port=${port}`,
    `--cert-dir=${join(folder, 'certificates')}`,
    `--token-auth-file=${join(folder, 'tokens.csv')}`,
    `--authorization-mode=${authorization === 'RBAC' ? 'Node,RBAC' : 'AlwaysAllow'}`,
    '--service-cluster-ip-range=10.96.0.0/16',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${join(folder, 'service-account.pub')}`,
    `--service-account-signing-key-file=${join(folder, 'service-account.key')}`,
    `--audit-policy-file=${join(folder, 'audit.yaml')}`,
    `--audit-log-path=${join(folder, 'audit.log')}`,
    '--enable-priority-and-fairness=true',
    '--allow-privileged=true',
    '--kubelet-preferred-address-types=InternalIP', // nobody knows the names of nodes
    // The address of this server as an endpoint of `kubernetes.default`: none may be a loopback address.
    ...(address === undefined ? ['--endpoint-reconciler-type=none'] : [`--advertise-address=${address}`]),
    ...gateFlags(options),
    ...(gangScheduling ? [`--runtime-config=${GANG_SCHEDULING[minorOf()].served}`] : []),
    ...flags,
  ];
}

function managerFlags(
  options: ControlPlaneOptions,
  folder: string,
  kubeconfig: string,
  certificate: string,
  port: number,
): string[] {
  return [
    `--kubeconfig=${kubeconfig}`,
    `--authentication-kubeconfig=${kubeconfig}`,
    `--authorization-kubeconfig=${kubeconfig}`,
    `--service-account-private-key-file=${join(folder, 'service-account.key')}`,
    `--root-ca-file=${certificate}`,
    `--secure-port=${port}`,
    '--leader-elect=false',
    '--use-service-account-credentials=true',
    '--node-monitor-grace-period=20s',
    `--controllers=${options.controllers ?? '*'}`,
    ...gateFlags(options),
  ];
}

async function writeSchedulerConfig(folder: string, kubeconfig: string, fast: boolean): Promise<string> {
  const path = join(folder, 'scheduler.json');
  const config = {
    apiVersion: 'kubescheduler.config.k8s.io/v1',
    kind: 'KubeSchedulerConfiguration',
    leaderElection: { leaderElect: false },
    clientConnection: { kubeconfig, ...(fast ? { qps: 5000, burst: 5000 } : {}) },
  };
  await writeFile(path, JSON.stringify(config));
  return path;
}

/** Users, the key of service accounts, the audit policy. */
async function writeKeys(folder: string, nodes: readonly string[]): Promise<void> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const secret = { mode: 0o600 };
  const users = [
    `${ADMIN_TOKEN},admin,admin,"system:masters"`,
    ...nodes.map((name) => `${nodeToken(name)},system:node:${name},${name},"system:nodes"`),
  ];
  await writeFile(join(folder, 'tokens.csv'), `${users.join('\n')}\n`, secret);
  await writeFile(
    join(folder, 'service-account.key'),
    privateKey.export({ type: 'pkcs1', format: 'pem' }),
    secret,
  );
  await writeFile(join(folder, 'service-account.pub'), publicKey.export({ type: 'spki', format: 'pem' }));
  const policy = {
    apiVersion: 'audit.k8s.io/v1',
    kind: 'Policy',
    omitStages: ['RequestReceived'],
    rules: [{ level: 'Metadata' }],
  };
  await writeFile(join(folder, 'audit.yaml'), JSON.stringify(policy));
}

function kubeConfigOf(folder: string, server: string, token: string): KubeConfig {
  const config = new KubeConfig();
  config.loadFromOptions({
    clusters: [{ name: 'test', server, caFile: join(folder, 'certificates', 'apiserver.crt') }],
    users: [{ name: 'test', token }],
    contexts: [{ name: 'test', cluster: 'test', user: 'test' }],
    currentContext: 'test',
  });
  return config;
}
