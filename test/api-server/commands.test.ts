// The commands about jobs on a cluster, as a user types them, on a real API server.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { until } from '../cluster/daemon.ts';
import { Fleet, RUNNING } from './fleet.ts';

const MAIN = join(import.meta.dirname, '../../cli/main.ts');
const MANIFEST = `apiVersion: lepton.ai/v1alpha1
kind: LeptonJob
metadata: {name: typed}
spec:
  model: {layers: [{dense: {units: 1}}]}
  data: {train: {format: npy, uri: /data/train}}
  training: {loss: meanSquaredError, optimizer: {sgd: {}}, batchSize: 8, epochs: 2}
  worker: {replicas: 2}
`;

let fleet: Fleet;
let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lepton-commands-'));
  await writeFile(join(folder, 'job.yaml'), MANIFEST);
  fleet = await Fleet.alone({ with: ['kube-controller-manager'] });
});
after(async () => {
  await fleet?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function lepton(...args: readonly string[]): Promise<Ended> {
  const kubeconfig = join(fleet.plane.folder, 'admin.kubeconfig');
  const all = [MAIN, ...args, '--kubeconfig', kubeconfig, '-n', fleet.namespace];
  return new Promise((resolve) => {
    execFile(process.execPath, all, { timeout: 60_000 }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
}

test('submit, jobs, status, suspend, resume, scale, delete', async () => {
  const file = join(folder, 'job.yaml');
  assert.match((await lepton('submit', file, '--dry-run')).stdout, /typed would be accepted/);
  assert.match((await lepton('jobs')).stdout, /no jobs/);
  assert.match((await lepton('submit', file, '--set', 'training.epochs=5')).stdout, /typed submitted/);
  assert.equal((await fleet.job('typed')).spec.training.epochs, 5);
  await fleet.run('typed', { phase: 'Running', step: 25, loss: 0.25 });
  await fleet.expect('typed', 'progress', ({ status }) => status?.progress?.step === 25);
  assert.match((await lepton('jobs')).stdout, /typed\s+Running\s+2\/2\s+25\/100\s+0\.25/);
  const { stdout } = await lepton('status', 'typed');
  assert.match(stdout, /Phase:\s+Running/);
  assert.match(stdout, /Progress:\s+step 25 of 100 \(25\.0 %\)/);
  assert.match(stdout, /typed-worker-1\s+Running/);
  assert.match(stdout, /SuccessfulCreatePod\s+created pods typed-server-0, typed-worker-0, typed-worker-1/);
  assert.equal((await lepton('scale', 'typed', '--workers', '3')).code, 0);
  const newcomer = (await fleet.expectPods('typed', 4)).at(-1)!;
  await fleet.setStatus(newcomer, RUNNING);
  fleet.coordinators.get('typed')!.say({ workerCount: 3 });
  await fleet.expect('typed', 'three workers', ({ status }) => status?.worker?.replicas === 3);
  assert.equal((await lepton('suspend', 'typed')).code, 0);
  await fleet.phase('typed', 'Suspended');
  assert.equal((await lepton('resume', 'typed')).code, 0);
  await fleet.expectPods('typed', 4);
  assert.equal((await lepton('delete', 'typed')).code, 0);
  await until(
    'the job is gone',
    10_000,
    async () => /no jobs/.test((await lepton('jobs')).stdout) || undefined,
  );
});

test('--wait tells the phases and ends with the job', async () => {
  const waiting = lepton('submit', join(folder, 'job.yaml'), '--wait');
  await until('the job', 10_000, () => fleet.job('typed'));
  await fleet.run('typed', { phase: 'Running', step: 5 });
  await fleet.phase('typed', 'Running');
  fleet.coordinators.get('typed')!.say({ phase: 'Succeeded', step: 100 });
  const { code, stdout } = await waiting;
  assert.equal(code, 0, stdout);
  assert.match(stdout, /typed: Succeeded/);
});

test('what is wrong is said with a name: no job, no cluster, refused', async () => {
  const missing = await lepton('status', 'nothing');
  assert.deepEqual(
    [missing.code, /expected a LeptonJob nothing in namespace/.test(missing.stderr)],
    [1, true],
  );
  const twice = await lepton('submit', join(folder, 'job.yaml'));
  assert.match(twice.stderr, /already exists/);
  await writeFile(
    join(folder, 'gone.kubeconfig'),
    fleet.plane.kubeConfig('x', 'https://127.0.0.1:9').exportConfig(),
  );
  const dead = await new Promise<Ended>((resolve) => {
    execFile(
      process.execPath,
      [MAIN, 'jobs', '--kubeconfig', join(folder, 'gone.kubeconfig')],
      (error, stdout, stderr) => resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
  assert.deepEqual([dead.code, /ECONNREFUSED/.test(dead.stderr)], [1, true], dead.stderr);
});
