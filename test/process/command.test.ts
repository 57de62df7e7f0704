// `lepton run` as a process that a user starts, interrupts, kills and resumes. What the command prints is tested elsewhere.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { stringify } from 'yaml';
import { lepton } from '../unit/cli/lepton.ts';
import { outcomeOf, temporaryFolder } from './processes.ts';

const MAIN = join(import.meta.dirname, '../../cli/main.ts');
const TIMEOUT = { timeout: 120_000 };
const END_MS = 10_000;

/** A folder with a job that runs for long enough to be interrupted. */
async function prepare(folder: string, epochs: number): Promise<void> {
  await mkdir(folder, { recursive: true });
  const manifest = {
    apiVersion: 'lepton.ai/v1alpha1',
    kind: 'LeptonJob',
    metadata: { name: 'interrupted' },
    spec: {
      model: { program: { module: join(import.meta.dirname, 'nets/small-net.ts') } },
      training: {
        loss: 'sparseCategoricalCrossentropy',
        optimizer: { sgd: { learningRate: 0.05 } },
        metrics: ['accuracy'],
        batchSize: 32,
        epochs,
        seed: 5,
      },
      worker: { replicas: 2 },
    },
  };
  await writeFile(join(folder, 'job.yaml'), stringify(manifest));
}

interface Running extends Disposable {
  readonly process: ChildProcess;
  readonly ended: Promise<number | null>;
  /** Process ids of workers and servers. */
  children(): Promise<number[]>;
  said(): string;
}

/** In a process group of its own, as a shell starts it. */
function start(folder: string, args: readonly string[] = []): Running {
  const command = ['run', 'job.yaml', '--output', 'out', ...args];
  const child = spawn(process.execPath, [MAIN, ...command], { cwd: folder, detached: true });
  let text = '';
  child.stdout.on('data', (bytes) => (text += String(bytes)));
  child.stderr.on('data', (bytes) => (text += String(bytes)));
  return {
    process: child,
    ended: once(child, 'exit').then(([code]) => code as number | null),
    children: () => childrenOf(child.pid!),
    said: () => text,
    [Symbol.dispose]: () => void child.kill('SIGKILL'), // where a test failed
  };
}

async function childrenOf(pid: number): Promise<number[]> {
  const listed = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return listed.split(' ').filter(Boolean).map(Number);
}

/** Path of the RoleConfig that a process was started with. */
async function configOf(pid: number): Promise<string> {
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0').at(-2)!;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function waitFor(what: string, holds: () => boolean | Promise<boolean>, ms = 30_000): Promise<void> {
  for (const end = performance.now() + ms; performance.now() < end; await pause(50))
    if (await holds()) return;
  assert.fail(`expected within ${ms / 1000} s: ${what}`);
}

async function isTraining({ said, children }: Running): Promise<boolean> {
  return said().includes('Epoch 2') && (await children()).length === 3;
}

test(
  'Ctrl-C: a checkpoint, exit code 130, no process left; --resume goes on to the same bits',
  TIMEOUT,
  async () => {
    await using folder = await temporaryFolder();
    await prepare(folder.path, 120);
    using running = start(folder.path);
    await waitFor('training', () => isTraining(running));
    const children = await running.children();
    process.kill(-running.process.pid!, 'SIGINT'); // the whole group, as a terminal does
    assert.equal(await running.ended, 130, running.said());
    assert.deepEqual(children.filter(isAlive), []);
    const checkpoints = await readdir(join(folder.path, 'out/checkpoints'));
    assert.ok(checkpoints.length > 0);
    const resumed = await lepton(['run', 'job.yaml', '--output', 'out', '--resume', '-o', 'json'], {
      cwd: folder.path,
    });
    assert.equal(resumed.code, 0, resumed.stderr);
    const summary = JSON.parse(resumed.stdout) as { status: string; steps: number };
    assert.equal(summary.status, 'Succeeded');
    assert.equal(summary.steps, 120 * 30);
    const whole = await lepton(['run', 'job.yaml', '--output', 'whole', '-o', 'json'], { cwd: folder.path });
    assert.equal(whole.code, 0, whole.stderr);
    const [one, other] = await Promise.all(
      ['out', 'whole'].map((name) => outcomeOf(join(folder.path, name))),
    );
    assert.equal(one?.digest, other?.digest);
  },
);

test('SIGTERM: a checkpoint, exit code 143, no process left', TIMEOUT, async () => {
  await using folder = await temporaryFolder();
  await prepare(folder.path, 1000);
  using running = start(folder.path);
  await waitFor('training', () => isTraining(running));
  const children = await running.children();
  running.process.kill('SIGTERM');
  assert.equal(await running.ended, 143, running.said());
  assert.deepEqual(children.filter(isAlive), []);
});

test('kill -9 of the command: its processes end by themselves', TIMEOUT, async () => {
  await using folder = await temporaryFolder();
  await prepare(folder.path, 1000);
  using running = start(folder.path);
  await waitFor('training', () => isTraining(running));
  const children = await running.children();
  const configs = await Promise.all(children.map(configOf));
  running.process.kill('SIGKILL');
  await running.ended;
  await waitFor('no process left', () => !children.some(isAlive), END_MS);
  for (const config of configs) assert.ok(!existsSync(config), `${config} is left`);
});
