// The manifest is changed back and forth, or is none that a pass could read. Nothing is lost, nothing goes round in circles.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { podsOf } from './arena.ts';
import { type Place, uidsOf } from './place.ts';
import { differences, rest } from './rest.ts';

const timeout = 240_000;

export function changedManifestsIn(begin: () => Promise<Place>): void {
  test('fields changed to whatever the schema takes, and back: as if nothing had been (O6)', {
    timeout,
  }, async () => {
    await using place = await begin();
    const { fleet, proxy } = place;
    await fleet.submit('job');
    const pods = await podsOf(fleet, 3, 0);
    const before = await rest(fleet, [proxy], 2000);
    for (const [changed, back] of MISOPERATIONS) {
      await fleet
        .change('job', changed)
        .catch((error: Error) => assert.match(error.message, /expected|Invalid/));
      await new Promise((resolve) => setTimeout(resolve, 300));
      await fleet.change('job', back);
    }
    const { final } = await rest(fleet, [proxy], 3000);
    assert.deepEqual(differences(final.status, before.final.status), []);
    assert.deepEqual(uidsOf(await fleet.pods('job')), uidsOf(pods));
    const { metadata, status } = await fleet.job('job');
    assert.equal(status?.observedGeneration, metadata.generation);
  });

  test('a manifest that changes all the time: observedGeneration is never ahead, no condition is lost', {
    timeout,
  }, async () => {
    await using place = await begin();
    const { fleet } = place;
    await fleet.submit('job');
    await podsOf(fleet, 3, 0);
    const conditions = (await fleet.job('job')).status?.conditions?.length;
    for (let count = 1; count <= 40; count++) {
      await fleet.change('job', { maxRestarts: count });
      const { metadata, status } = await fleet.job('job');
      assert.ok((status?.observedGeneration ?? 0) <= metadata.generation!);
      assert.equal(status?.conditions?.length, conditions);
    }
    await fleet.expect(
      'job',
      'caught up',
      ({ metadata, status }) => status?.observedGeneration === metadata.generation,
      30_000,
    );
  });

  test('a pass that throws, or never gets its answer, is its own job’s affair alone', {
    timeout,
  }, async () => {
    await using place = await begin();
    const { fleet, proxy } = place;
    proxy.rule = ({ path, isWatch }) => {
      if (isWatch && /\/leptonjobs\?/.test(path)) return { kind: 'lines', edit: withoutSpec };
      return path.includes('slow-tls') ? { kind: 'silence' } : { kind: 'pass' };
    };
    proxy.breakConnections();
    for (const name of ['broken', 'slow', 'job']) await fleet.submit(name);
    await podsOf(fleet, 3, 0);
    assert.ok(
      fleet.log.some((line) => /pass failed.*broken/.test(line)),
      fleet.log.join('\n'),
    );
    assert.equal((await fleet.pods('broken')).length, 0);
  });
}

/** What a server of another version might send. */
const withoutSpec = (line: string): string =>
  line.includes('"name":"broken"') ? line.replace('"spec":', '"specification":') : line;

type Change = Record<string, unknown>;

/** The running policy: smallest, largest, empty, absent, wrong. What is trained cannot be changed at all. */
const MISOPERATIONS: readonly (readonly [Change, Change])[] = [
  [{ maxRestarts: 0 }, { maxRestarts: 3 }],
  [{ maxRestarts: 1_000_000 }, { maxRestarts: 3 }],
  [{ maxRestarts: -1 }, {}],
  [{ activeDeadlineSeconds: 31_536_000 }, { activeDeadlineSeconds: null }],
  [{ activeDeadlineSeconds: 0 }, {}],
  [{ ttlSecondsAfterFinished: 0 }, { ttlSecondsAfterFinished: null }],
  [{ cleanPodPolicy: 'None' }, { cleanPodPolicy: 'Running' }],
  [{ cleanPodPolicy: 'Some' }, {}],
  [{ failurePolicy: { rules: [{ action: 'FailJob' }] } }, { failurePolicy: { rules: [] } }],
  [{ scheduling: { priorityClassName: 'nobody' } }, { scheduling: { priorityClassName: null } }],
  [{ scheduling: { queue: 'nowhere' } }, { scheduling: { queue: null } }],
  [{ worker: { template: { spec: { hostPID: true } } } }, { worker: { template: null } }],
  [{ worker: { template: { spec: { containers: 7 } } } }, { worker: { template: null } }],
  [{ worker: { minReplicas: 3 } }, {}],
  [{ worker: { maxReplicas: 1024 } }, { worker: { maxReplicas: null } }],
  [{ worker: { replicas: 0 } }, {}],
  [{ parameterServer: { replicas: 2 } }, {}],
  [{ checkpoint: { keep: 1 } }, { checkpoint: { keep: 3 } }],
  [{ managedBy: 'kueue.x-k8s.io/multikueue' }, {}],
  [{ training: { batchSize: 1 } }, {}],
  [{ suspend: null }, { suspend: false }],
];
