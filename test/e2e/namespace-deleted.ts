// A namespace deleted while a job trains in it: everything goes, and the operator says little about it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isStatus } from '../../operator/kube/errors.ts';
import { OPERATOR_NAMESPACE } from '../cluster/cluster.ts';
import { until } from '../cluster/daemon.ts';
import { NAMESPACES } from '../cluster/resources.ts';
import { makeVolume } from '../cluster/volume.ts';
import type { Fixture } from './fixture.ts';

const NAME = 'doomed';
const QUIET_MS = 5000;
/** Refused while the namespace goes: creations are tried again at growing intervals. */
const MOST_WRITES = 100;

export function namespaceDeleted(fixture: () => Fixture): void {
  test('the namespace is deleted while a job trains: everything goes, the operator falls silent', {
    timeout: 300_000,
  }, async (context) => {
    const { plane, data } = fixture();
    await fixture().installed();
    await plane.api.create(NAMESPACES, { metadata: { name: NAME } });
    await makeVolume(plane, 'datasets', { path: data, readOnly: true, namespace: NAME });
    await fixture().submit(NAME, { namespace: NAME });
    await fixture().training(NAME, NAME);
    const running = () =>
      Promise.all(fixture().cluster.nodes.map((node) => node.runningOf(NAME))).then((ids) => ids.flat());
    assert.ok((await running()).length >= 3, 'its containers run');
    const deletedMs = Date.now();
    await plane.kubectl('delete', 'namespace', NAME, '--wait=false');
    await until('the namespace is gone', 180_000, () => isGone(fixture()));
    const goneMs = Date.now();
    context.diagnostic(`gone after ${Math.round((goneMs - deletedMs) / 1000)} s`);
    await until('no container of it runs', 30_000, async () => (await running()).length === 0 || undefined);
    const writes = await writesOfOperator(fixture(), deletedMs);
    context.diagnostic(`${writes.length} writes of the operator after the deletion`);
    assert.ok(writes.length <= MOST_WRITES, `${writes.length} writes`);

    const restMs = Date.now();
    await until('a quiet time', 2 * QUIET_MS, () => Date.now() - restMs >= QUIET_MS || undefined);
    assert.deepEqual(await writesOfOperator(fixture(), restMs), [], 'writes about what is gone');
    const inside = ['--namespace', OPERATOR_NAMESPACE, 'logs', 'deployment/lepton'];
    const noise = await plane.kubectl(...inside, `--since-time=${new Date(restMs).toISOString()}`);
    assert.doesNotMatch(noise, new RegExp(NAME));
  });
}

async function isGone({ plane }: Fixture): Promise<true | undefined> {
  try {
    await plane.api.get(NAMESPACES, { name: NAME });
    return undefined;
  } catch (error) {
    if (isStatus(error, 404)) return true;
    throw error;
  }
}

async function writesOfOperator({ plane }: Fixture, sinceMs: number): Promise<string[]> {
  const user = `system:serviceaccount:${OPERATOR_NAMESPACE}:lepton`;
  return (await plane.auditLog())
    .filter(
      ({ user: { username }, objectRef, verb, requestReceivedTimestamp }) =>
        username === user &&
        objectRef?.namespace === NAME &&
        verb !== 'get' &&
        Date.parse(requestReceivedTimestamp) >= sinceMs,
    )
    .map(({ verb, objectRef }) => `${verb} ${objectRef?.resource} ${objectRef?.name ?? ''}`);
}
