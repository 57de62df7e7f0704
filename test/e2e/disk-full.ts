// A disk with room for two checkpoints: training goes on, the job says what is wrong, nothing that was written is lost.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Checkpoints } from '../../worker/checkpoint/checkpoints.ts';
import { openStore } from '../../worker/checkpoint/store.ts';
import { until } from '../cluster/daemon.ts';
import { makeOutput, makeVolume } from '../cluster/volume.ts';
import { digestOf, EVERY, type Fixture, type Manifest, type Status } from './fixture.ts';

const run = promisify(execFile);
/** A checkpoint of the example has 2.7 MB. */
const SMALL = '7m';
const LARGE = '64m';

export function diskFull(fixture: () => Fixture): void {
  test('the disk of the checkpoints is full: training goes on, the status says ENOSPC, earlier checkpoints stay', {
    timeout: 600_000,
  }, async (context) => {
    const { plane, folder } = fixture();
    const expected = await fixture().undisturbed();
    const disk = await makeOutput(join(folder, 'small-disk'));
    await run('mount', ['-t', 'tmpfs', '-o', `size=${SMALL},uid=65532,gid=65532`, 'lepton-e2e', disk]);
    try {
      await makeVolume(plane, 'small-disk', { path: disk });
      const output = await fixture().submit('disk-full', { change: checkpointsOnSmallDisk });
      const failing = await fixture().status('disk-full', 'says that checkpoints fail', isFailing);
      const { message, reason } = checkpointCondition(failing)!;
      context.diagnostic(`${reason}: ${message}`);
      assert.match(message, /\/checkpoints\/.*no space left on the disk \(ENOSPC\)/);
      assert.equal(failing.checkpoint?.step, EVERY, 'there is room for those of step 0 and the first');
      const later = await fixture().status(
        'disk-full',
        'trains on',
        ({ progress }) => (progress?.step ?? 0) > 3 * EVERY,
      );
      assert.equal(later.restarts, 0);
      assert.equal(later.checkpoint?.step, EVERY);
      await assertWhole(disk, later);
      await until('the event is there', 30_000, async () => {
        const events = await plane.kubectl('get', 'events', '--field-selector', 'reason=CheckpointFailing');
        return /ENOSPC.*newest checkpoint is that of step 40/.test(events) || undefined;
      });

      await run('mount', ['-o', `remount,size=${LARGE}`, disk]);
      const done = await fixture().succeeded('disk-full');
      context.diagnostic(`${done.restarts} restarts, newest checkpoint ${done.checkpoint?.step}`);
      assert.equal(isFailing(done), false);
      assert.equal(done.checkpoint?.step, 400);
      await assertWhole(disk, done);
      assert.equal(await digestOf(output), expected);
    } finally {
      await run('umount', ['--lazy', disk]);
    }
  });
}

function checkpointsOnSmallDisk({ spec }: Manifest): void {
  spec.checkpoint = { uri: 'file:///checkpoints' };
  const { containers, volumes } = spec.worker.template.spec;
  containers[0]!.volumeMounts.push({ name: 'checkpoints', mountPath: '/checkpoints' });
  volumes.push({ name: 'checkpoints', persistentVolumeClaim: { claimName: 'small-disk' } });
}

/** The newest checkpoint on the disk is the one that the status names, with every byte that was committed. */
async function assertWhole(disk: string, { run: name, checkpoint }: Status): Promise<void> {
  const uncommitted = (folder: string, reason: string): void =>
    assert.match(reason, /never committed/, `${folder}: ${reason}`);
  const newest = await new Checkpoints(openStore(disk)).newest(name, uncommitted);
  assert.equal(newest?.manifest.step, checkpoint?.step);
  assert.equal(`file:///checkpoints/${newest?.folder}`, checkpoint?.uri);
}

function checkpointCondition({ conditions = [] }: Status) {
  return conditions.find(({ type }) => type === 'CheckpointFailing');
}

function isFailing(status: Status): boolean {
  return checkpointCondition(status)?.status === 'True';
}
