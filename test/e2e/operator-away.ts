// The operator away while jobs train: they go on, one ends; when it is back it tells what became of both.
import assert from 'node:assert/strict';
import { access, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { PODS } from '../../operator/kube/objects.ts';
import { LABELS } from '../../operator/leptonjob/names.ts';
import { OPERATOR_NAMESPACE } from '../cluster/cluster.ts';
import { until } from '../cluster/daemon.ts';
import { digestOf, EVERY, type Fixture, SHORT } from './fixture.ts';

/** `make e2e-long`: ten minutes. */
const AWAY_SECONDS = Number(process.env['LEPTON_OPERATOR_AWAY_SECONDS'] ?? 30);
/** More than are trained meanwhile. */
const STEPS_PER_SECOND = 150;
const STEPS_PER_EPOCH = 100;

export function operatorAway(fixture: () => Fixture): void {
  test(`the operator away for ${AWAY_SECONDS} s: jobs train and end without it, their status catches up`, {
    timeout: 400_000 + 2000 * AWAY_SECONDS,
  }, async (context) => {
    const { plane } = fixture();
    const expected = await fixture().undisturbed();
    const epochs = Math.ceil(((AWAY_SECONDS + 60) * STEPS_PER_SECOND) / STEPS_PER_EPOCH);
    const long = await fixture().submit('away-long', { sets: [...SHORT, `training.epochs=${epochs}`] });
    const short = await fixture().submit('away-short');
    await fixture().training('away-short');
    const before = await fixture().training('away-long');
    const pods = await uidsOf(fixture(), 'away-long');

    await scaleOperator(fixture(), 0);
    const leftMs = Date.now();
    const start = await newestCheckpoint(long);
    await until('the short job has ended', 240_000, async () => {
      await access(join(short, 'model.json'));
      return true;
    });
    await until('its time is over', AWAY_SECONDS * 1000 + 5000, () => {
      return Date.now() - leftMs >= AWAY_SECONDS * 1000 || undefined;
    });
    const end = await newestCheckpoint(long);
    const told = (await fixture().job('away-long')).status;
    const awaySeconds = Math.round((Date.now() - leftMs) / 1000);
    context.diagnostic(
      `away for ${awaySeconds} s: checkpoints ${start} to ${end}, status at ${told?.progress?.step}`,
    );
    assert.ok(end >= start + 2 * EVERY, `checkpoints rise: ${start} to ${end}`);
    assert.ok((told?.progress?.step ?? 0) < end, 'nobody writes the status');

    await scaleOperator(fixture(), 1);
    const caughtUp = await fixture().status(
      'away-long',
      'catches up',
      ({ phase, progress }) => phase === 'Running' && (progress?.step ?? 0) >= end,
      { timeoutMs: 60_000 },
    );
    assert.equal(caughtUp.attempt, before.attempt);
    assert.equal(caughtUp.restarts, 0);
    assert.deepEqual(await uidsOf(fixture(), 'away-long'), pods, 'the pods are those of before');
    const done = await fixture().succeeded('away-short');
    assert.equal(done.restarts, 0);
    assert.equal(await digestOf(short), expected);
    await plane.kubectl('delete', 'leptonjob', 'away-long', '--timeout=60s');
    await until(
      'its pods go',
      60_000,
      async () => (await uidsOf(fixture(), 'away-long')).length === 0 || undefined,
    );
  });
}

async function scaleOperator({ plane, cluster }: Fixture, replicas: number): Promise<void> {
  const inside = ['--namespace', OPERATOR_NAMESPACE];
  await plane.kubectl(...inside, 'scale', 'deployment/lepton', `--replicas=${replicas}`);
  if (replicas > 0) return await cluster.rollout();
  const running = ['-l', 'app.kubernetes.io/instance=lepton', '--field-selector', 'status.phase=Running'];
  await until('the operator has ended', 60_000, async () => {
    const pods = await plane.kubectl(...inside, 'get', 'pods', '-o', 'name', ...running);
    return pods.trim() === '' || undefined;
  });
}

async function uidsOf({ plane }: Fixture, name: string): Promise<string[]> {
  const labelSelector = `${LABELS.jobName}=${name}`;
  const { items } = await plane.api.list(PODS, { namespace: 'default', labelSelector });
  return items.map(({ metadata }) => metadata.uid ?? '').sort();
}

/** Folders are called run-step-epoch. */
async function newestCheckpoint(output: string): Promise<number> {
  const names = await readdir(join(output, 'checkpoints'));
  return Math.max(...names.map((name) => Number(name.split('-')[1])));
}
