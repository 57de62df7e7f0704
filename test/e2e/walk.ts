// The walk of the README: helm install, kubectl apply, a trained model on a volume, helm uninstall. The tests of a run in between
// find the operator installed.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { OPERATOR_NAMESPACE } from '../cluster/cluster.ts';
import { until } from '../cluster/daemon.ts';
import { makeOutput, makeVolume } from '../cluster/volume.ts';
import { digestOf, type Fixture, MANIFEST } from './fixture.ts';

export function walkIn(fixture: () => Fixture): void {
  test('helm install: the operator becomes ready', { timeout: 180_000 }, async (context) => {
    const { cluster } = fixture();
    context.diagnostic(await fixture().installed());
    const tested = await cluster.helm(
      'test',
      'lepton',
      '--namespace',
      OPERATOR_NAMESPACE,
      '--timeout',
      '90s',
    );
    assert.match(tested, /Phase:\s+Succeeded/);
  });

  test('kubectl apply: two workers and a parameter server train; the model is that of lepton run, bit for bit', {
    timeout: 800_000,
  }, async (context) => {
    const { plane, folder, cluster } = fixture();
    await fixture().installed();
    const output = await makeOutput(join(folder, 'output'));
    await makeVolume(plane, 'fashion-mnist', { path: output });
    context.diagnostic(await plane.kubectl('apply', '-f', MANIFEST));
    const running = await fixture().training('fashion-mnist');
    assert.equal(running.worker?.ready, 2);
    await fixture().status('fashion-mnist', 'is on its way', ({ progress }) => (progress?.step ?? 0) > 400);
    const table = await plane.kubectl('get', 'leptonjobs');
    context.diagnostic(table);
    assert.match(table, /fashion-mnist\s+Running\s+2\s+2/);
    const placed = await plane.kubectl('get', 'pods', '-o', 'wide');
    context.diagnostic(placed);
    for (const { name } of cluster.nodes) assert.match(placed, new RegExp(name), 'pods are on both nodes');
    const done = await fixture().succeeded('fashion-mnist');
    context.diagnostic(await plane.kubectl('get', 'leptonjobs'));
    context.diagnostic(JSON.stringify(done.output));
    assert.ok((done.output?.metrics['accuracy'] ?? 0) > 0.85, JSON.stringify(done.output));
    assert.equal(await digestOf(output), await fixture().local('local', []));
    await until('running pods are cleaned', 60_000, async () => {
      const running = ['--field-selector', 'status.phase=Running'];
      return (await plane.kubectl('get', 'pods', '-o', 'name', ...running)).trim() === '' || undefined;
    });
  });
}

export function endIn(fixture: () => Fixture): void {
  test('helm uninstall leaves nothing but the CRD and the jobs', { timeout: 180_000 }, async (context) => {
    const { plane, cluster } = fixture();
    await fixture().installed();
    context.diagnostic(
      await cluster.helm('uninstall', 'lepton', '--namespace', OPERATOR_NAMESPACE, '--wait'),
    );
    const names = async (...args: readonly string[]): Promise<string> =>
      (await plane.kubectl('get', ...args, '-o', 'name')).trim();
    await until('the pods of the operator have ended', 60_000, async () => {
      return (await names('pods', '--namespace', OPERATOR_NAMESPACE)) === '' || undefined;
    });
    const kinds =
      'all,configmaps,secrets,serviceaccounts,roles,rolebindings,networkpolicies,clusterroles,clusterrolebindings,crds';
    const left = await names(kinds, '-A', '-l', 'app.kubernetes.io/instance=lepton');
    assert.equal(left, 'customresourcedefinition.apiextensions.k8s.io/leptonjobs.lepton.ai');
    await plane.kubectl('delete', 'leptonjobs', '--all', '--timeout=60s');
    await until('children are collected', 60_000, async () => {
      const ours = ['-l', 'app.kubernetes.io/managed-by=lepton-operator'];
      return (await names('pods,services,configmaps,secrets', ...ours)) === '' || undefined;
    });
  });
}
