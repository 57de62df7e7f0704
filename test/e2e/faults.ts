// What happens to clusters, done to jobs that train: each ends as its policy says, with the weights of a job that nothing happened to.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PODS, pathOf, type Stored } from '../../operator/kube/objects.ts';
import { podName } from '../../operator/leptonjob/names.ts';
import type { LogLine } from '../../worker/protocol/progress.ts';
import { parseLogLine } from '../../worker/roles/log.ts';
import { until } from '../cluster/daemon.ts';
import { diskFull } from './disk-full.ts';
import { digestOf, EVERY, type Fixture, type Manifest, SHORT, type Status } from './fixture.ts';
import { namespaceDeleted } from './namespace-deleted.ts';
import { Observer } from './observer.ts';
import { operatorAway } from './operator-away.ts';

const TIMEOUT = { timeout: 600_000 };
/** Of a killed parameter server. Takes half of it or less where the two cores have nothing else to do. */
const RECOVERY_MS = 10_000;

export function faultsIn(fixture: () => Fixture): void {
  describe('one job each', { concurrency: 2 }, () => {
    namespaceDeleted(fixture);
    containersLost(fixture);
    diskFull(fixture);
  });
  // These happen to all jobs that there are.
  nodeLost(fixture);
  operatorAway(fixture);
}

function containersLost(fixture: () => Fixture): void {
  test('a killed container of a worker: counted, replaced, no step is undone', TIMEOUT, async (context) => {
    const { status, steps, log } = await disturbed(fixture(), 'worker-killed', (name) =>
      killContainer(fixture(), podName(name, 'worker', 1)),
    );
    context.diagnostic(told(status, steps));
    assert.equal(status.restarts, 1);
    assertNothingUndone(steps, log);
  });

  test(
    'a killed container of the parameter server: started again in its pod, in the memory of the one before',
    TIMEOUT,
    async (context) => {
      let killedMs = 0;
      const { status, steps, log } = await disturbed(fixture(), 'server-killed', async (name) => {
        const written = ({ checkpoint }: Status): boolean => (checkpoint?.step ?? 0) >= EVERY;
        await fixture().status(name, 'has a checkpoint', written);
        killedMs = Date.now();
        await killContainer(fixture(), podName(name, 'server', 0));
      });
      context.diagnostic(told(status, steps));
      assert.equal(status.restarts, 0);
      assert.deepEqual([...steps.pods.keys()].sort(), ['server-0@0', 'worker-0@0', 'worker-1@0']);
      const [line] = linesOf(log, 'job goes on from memory');
      const { step: from, lostSteps } = line!.fields;
      assert.ok(Number(lostSteps) <= 1, `${lostSteps} steps lost`);
      const joined = momentsOf(log, 'worker joined');
      assert.equal(joined.length, 2, 'each worker finds the new server once');
      const [listens, trains] = [momentsOf(log, 'listening')[0]!, joined[1]!].map((ms) => ms - killedMs);
      context.diagnostic(`recovery: listens ${listens} ms after the kill, trains ${trains} ms after it`);
      assert.ok(trains! < RECOVERY_MS, `training goes on ${trains} ms after the kill`);
      context.diagnostic(`went on from step ${from}; steps ${steps.steps.join(' ')}`);
      assert.ok(steps.undone <= 1, `${steps.undone} steps undone`);
    },
  );

  test('parameters in the workers: the one that coordinates is killed', TIMEOUT, async (context) => {
    const written = ({ checkpoint }: Status): boolean => (checkpoint?.step ?? 0) >= EVERY;
    const { status, steps } = await disturbed(
      fixture(),
      'no-servers',
      async (name) => {
        await fixture().status(name, 'has a checkpoint', written);
        await killContainer(fixture(), podName(name, 'worker', 0));
      },
      ({ spec }) => {
        spec.parameterServer = { replicas: 0 };
      },
    );
    context.diagnostic(told(status, steps));
    assert.deepEqual([status.restarts, status.parameterServer?.replicas], [0, 0]);
    assert.deepEqual([...steps.pods.keys()].sort(), ['worker-0@0', 'worker-1@0']);
    assert.ok(steps.undone <= 1, `${steps.undone} steps undone`);
  });

  test('an evicted worker: replaced, not counted, no step is undone', TIMEOUT, async (context) => {
    const { status, steps, log } = await disturbed(fixture(), 'worker-evicted', (name) =>
      evict(fixture(), podName(name, 'worker', 0)),
    );
    context.diagnostic(told(status, steps));
    assert.equal(status.restarts, 0);
    assertNothingUndone(steps, log);
  });
}

function nodeLost(fixture: () => Fixture): void {
  test(
    'a lost node: its workers are replaced elsewhere, once each, not counted, no step is undone',
    TIMEOUT,
    async (context) => {
      const [, second] = fixture().cluster.nodes;
      const lost = second!;
      const startedMs = Date.now();
      try {
        const { status, steps, log } = await disturbed(
          fixture(),
          'node-lost',
          async (name) => {
            await until('its workers are on the second node', 10_000, async () => {
              const nodes = await Promise.all(
                [0, 1].map((rank) => nodeOf(fixture(), podName(name, 'worker', rank))),
              );
              return nodes.every((node) => node === lost.name) || undefined;
            });
            await lost.cut();
          },
          workersOnSecondNode,
        );
        context.diagnostic(`${told(status, steps)}, ${Math.round((Date.now() - startedMs) / 1000)} s`);
        assert.equal(status.restarts, 0);
        assert.equal(status.attempt, 1, 'lost together, replaced together');
        assert.equal(await lost.isReady(), false, 'the node was away until the end');
        assertNothingUndone(steps, log);
        assert.deepEqual([...steps.pods.keys()].sort(), [
          'server-0@0',
          'worker-0@0',
          'worker-0@1',
          'worker-1@0',
          'worker-1@1',
        ]);
      } finally {
        await lost.heal();
      }
      await until('the node is back', 60_000, async () => (await lost.isReady()) || undefined);
      await until('what ran there has ended', 60_000, async () => {
        return (await lost.runningOf('default')).length === 0 || undefined;
      });
    },
  );
}

interface Disturbed {
  readonly status: Status;
  readonly steps: Observer;
  /** Of the coordinator that ended the job. */
  readonly log: string;
}

async function disturbed(
  fixture: Fixture,
  name: string,
  disturb: (name: string) => Promise<void>,
  change?: (manifest: Manifest) => void,
): Promise<Disturbed> {
  const expected = await fixture.undisturbed();
  const sets = [...SHORT, 'cleanPodPolicy=None']; // so that the log outlives the job's end
  const output = await fixture.submit(name, { sets, ...(change ? { change } : {}) });
  await using observer = new Observer(fixture, name);
  await fixture.training(name);
  await disturb(name);
  const status = await fixture.succeeded(name);
  observer.assertOnePodEach();
  assert.equal(await digestOf(output), expected, `${name}: weights`);
  const held = (await fixture.job(name)).spec.parameterServer.replicas === 0;
  const log = await fixture.plane.kubectl('logs', podName(name, held ? 'worker' : 'server', 0));
  await fixture.plane.kubectl('delete', 'leptonjob', name, '--timeout=60s');
  return { status, steps: observer, log };
}

function assertNothingUndone({ undone }: Observer, log: string): void {
  assert.equal(undone, 0, 'steps undone');
  assert.doesNotMatch(log, /job goes on from/);
}

/** When the process said so. */
function momentsOf(log: string, message: string): number[] {
  return linesOf(log, message).map(({ time }) => Date.parse(time));
}

function linesOf(log: string, message: string): LogLine[] {
  return log
    .split('\n')
    .map(parseLogLine)
    .flatMap((line) => (line?.message === message ? [line] : []));
}

function told({ restarts, goodput }: Status, { undone }: Observer): string {
  return `${restarts} restarts, ${undone} steps undone, goodput ${JSON.stringify(goodput)}`;
}

/** SIGKILL to the process of a pod, as the kernel's out-of-memory killer would. */
async function killContainer({ plane, cluster }: Fixture, name: string): Promise<void> {
  type Running = Stored & { status: { containerStatuses: { containerID: string }[] } };
  const { status } = await plane.api.get<Running>(PODS, { namespace: 'default', name });
  const id = status.containerStatuses[0]!.containerID.replace('containerd://', '');
  for (const node of cluster.nodes)
    await node.ctr('tasks', 'kill', '--signal', 'SIGKILL', id).catch(() => {});
}

async function evict({ plane }: Fixture, name: string): Promise<void> {
  await plane.api.client.call({
    method: 'POST',
    path: pathOf(PODS, { namespace: 'default', name, subresource: 'eviction' }),
    body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace: 'default' } },
  });
}

async function nodeOf({ plane }: Fixture, name: string): Promise<string | undefined> {
  const pod = await plane.api.get<Stored & { spec: { nodeName?: string } }>(PODS, {
    namespace: 'default',
    name,
  });
  return pod.spec.nodeName;
}

/** Both workers on the second node while it is there, the parameter server on the first. */
function workersOnSecondNode({ spec }: Manifest): void {
  const prefer = (node: string) => ({
    nodeAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [
        {
          weight: 100,
          preference: {
            matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [node] }],
          },
        },
      ],
    },
  });
  const template = spec.worker.template.spec;
  template.terminationGracePeriodSeconds = 5;
  spec.parameterServer.template = { spec: { ...template, affinity: prefer('node-1') } };
  template.affinity = prefer('node-2');
}
