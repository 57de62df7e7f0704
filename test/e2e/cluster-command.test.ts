// `lepton cluster up` and `down` as a user has them: a job is trained in between, and nothing is left, also after Ctrl-C and kill -9.
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { parse, stringify } from 'yaml';
import { until } from '../cluster/daemon.ts';
import { MANIFEST, type Manifest, ROOT } from './fixture.ts';

const run = promisify(execFile);
const LEPTON = join(ROOT, 'bin/lepton');
const STATE = join(ROOT, 'build/cluster');
/** In the environment of every process that the command starts. */
const MARK = `LEPTON_TEST_MARK=${randomUUID()}`;
const environment = { ...process.env, LEPTON_TEST_MARK: MARK.split('=')[1] };
const interfaces = readdirSync('/sys/class/net').sort();

let folder: string;
before(async () => {
  assert.ok(!existsSync(STATE), 'a cluster of this checkout is up: lepton cluster down');
  folder = await mkdtemp(join(tmpdir(), 'lepton-command-'));
});
after(async () => {
  await run(LEPTON, ['cluster', 'down']);
  await rm(folder, { recursive: true, force: true });
});

test('up, a job, down', { timeout: 400_000 }, async (context) => {
  const startMs = Date.now();
  const { stdout } = await run(LEPTON, ['cluster', 'up', '--nodes', '1'], { env: environment });
  context.diagnostic(`${stdout}\nafter ${Math.round((Date.now() - startMs) / 1000)} s`);
  const [, kubeconfig, programs] = /export KUBECONFIG=(\S+) PATH=(\S+):\$PATH/.exec(stdout)!;
  const env = { ...process.env, KUBECONFIG: kubeconfig, PATH: `${programs}:${process.env['PATH']}` };
  const { stdout: nodes } = await run('kubectl', ['get', 'nodes'], { env });
  assert.match(nodes, /node-1\s+Ready/);
  const again = run(LEPTON, ['cluster', 'up'], { env: environment });
  await assert.rejects(again, { code: 2, stderr: /a cluster is up already/ });

  const sets = ['data.train.limit=640', 'data.evaluate.limit=64', 'training.epochs=1'];
  const submit = ['submit', await smallJob(), '--wait', ...sets.flatMap((set) => ['--set', set])];
  const { stdout: told } = await run(LEPTON, submit, { env, timeout: 180_000 });
  assert.match(told, /Succeeded/);
  const { stdout: jobs } = await run('kubectl', ['get', 'leptonjobs'], { env });
  assert.match(jobs, /small\s+Succeeded/);

  const namespaces = namespacesOf(markedProcesses());
  assert.ok(namespaces.size > 3, 'the cluster has namespaces of its own');
  const { stdout: down } = await run(LEPTON, ['cluster', 'down']);
  assert.match(down, /the cluster is down/);
  await assertNothingLeft(namespaces);
  assert.match((await run(LEPTON, ['cluster', 'down'])).stdout, /no cluster is up/);
});

test('Ctrl-C while it starts: exit code 130, nothing is left', { timeout: 120_000 }, async () => {
  const { command, said } = startUp();
  await until('it starts', 60_000, () => /starting the control plane/.test(said()) || undefined);
  const namespaces = await namespacesOfStart();
  command.kill('SIGINT');
  await until('it ends', 90_000, () => command.exitCode !== null || undefined);
  assert.equal(command.exitCode, 130, said());
  await assertNothingLeft(namespaces);
});

test('kill -9 of all that keeps it: down ends the rest', { timeout: 120_000 }, async () => {
  const { command, said } = startUp();
  await until('it starts', 60_000, () => /starting the control plane/.test(said()) || undefined);
  const namespaces = await namespacesOfStart();
  const { pid } = JSON.parse(readFileSync(join(STATE, 'keeper.json'), 'utf8')) as { pid: number };
  command.kill('SIGKILL');
  process.kill(pid, 'SIGKILL');
  await run(LEPTON, ['cluster', 'down']);
  await assertNothingLeft(namespaces);
});

test('somebody else than root is told so', async () => {
  const node = join(ROOT, 'node_modules/.bin/node');
  const up = run('setpriv', [
    '--reuid',
    '65534',
    '--clear-groups',
    node,
    join(ROOT, 'cli/main.ts'),
    'cluster',
    'up',
  ]);
  await assert.rejects(up, { code: 2, stderr: /expected root, who may make namespaces, got user 65534/ });
});

function startUp(): { command: ChildProcess; said: () => string } {
  let text = '';
  const node = join(ROOT, 'node_modules/.bin/node');
  const command = spawn(node, [join(ROOT, 'cli/main.ts'), 'cluster', 'up', '--nodes', '1'], {
    env: environment,
  });
  for (const stream of [command.stdout, command.stderr])
    stream.on('data', (chunk) => (text += String(chunk)));
  return { command, said: () => text };
}

/** The example without a volume for its results. */
async function smallJob(): Promise<string> {
  const manifest = parse(await readFile(MANIFEST, 'utf8')) as Manifest;
  manifest.metadata.name = 'small';
  const template = manifest.spec.worker.template.spec;
  template.volumes.pop();
  template.containers[0]!.volumeMounts.pop();
  const file = join(folder, 'small.yaml');
  await writeFile(file, stringify(manifest));
  return file;
}

function processes(): string[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name));
}

function markedProcesses(): string[] {
  return processes().filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(MARK);
    } catch {
      return false; // ended meanwhile
    }
  });
}

const KINDS = ['net', 'mnt', 'pid'];

/** Namespaces that processes are in, other than those of this one. */
function namespacesOf(pids: readonly string[]): Set<string> {
  const own = new Set(KINDS.map((kind) => readlinkSync(`/proc/self/ns/${kind}`)));
  const found = pids.flatMap((pid) =>
    KINDS.flatMap((kind) => {
      try {
        return [readlinkSync(`/proc/${pid}/ns/${kind}`)];
      } catch {
        return [];
      }
    }),
  );
  return new Set(found.filter((namespace) => !own.has(namespace)));
}

function namespacesOfStart(): Promise<Set<string>> {
  return until('namespaces are made', 30_000, () => {
    const namespaces = namespacesOf(markedProcesses());
    return namespaces.size >= 3 ? namespaces : undefined;
  });
}

/** What was killed may take a moment to be gone where processors are busy. */
async function assertNothingLeft(namespaces: ReadonlySet<string>): Promise<void> {
  await until('no process is left', 5000, () => markedProcesses().length === 0 || undefined);
  const inhabited = [...namespacesOf(processes())].filter((namespace) => namespaces.has(namespace));
  assert.deepEqual(inhabited, [], 'namespaces');
  assert.deepEqual(readdirSync('/sys/class/net').sort(), interfaces, 'interfaces');
  assert.doesNotMatch(readFileSync('/proc/self/mounts', 'utf8'), /lepton-cluster-/, 'mounts');
  assert.ok(!existsSync(STATE), 'the record of it');
}
