// Which gang schedulers are served, as they come, change their version, refuse to be listed and go: against an API of a few lines.
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { KubeConfig } from '@kubernetes/client-node';
import { operatorConfigSchema } from '../../../operator/config.ts';
import { KubeApi } from '../../../operator/kube/api.ts';
import { KubeClient } from '../../../operator/kube/client.ts';
import { Gangs } from '../../../operator/leptonjob/gang/gangs.ts';
import type { LeptonJobObject } from '../../../operator/leptonjob/job.ts';
import { until } from '../../cluster/daemon.ts';
import { SmallCluster } from './small-cluster.ts';

const NATIVE = ['workloads', 'podgroups', 'podgroups/status'];
/** `group/version` -> resources. */
let served: Map<string, readonly string[]>;
/** `group/version` that nobody may list. */
let secret: Set<string>;
let questions = 0;

const server = createServer((request, response) => answer(request, response));
let api: KubeApi;
before(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const config = new KubeConfig();
  config.loadFromOptions({
    clusters: [{ name: 'test', server: `http://127.0.0.1:${port}`, skipTLSVerify: true }],
    users: [{ name: 'test' }],
    contexts: [{ name: 'test', cluster: 'test', user: 'test' }],
    currentContext: 'test',
  });
  api = new KubeApi(new KubeClient({ config, userAgent: 'lepton-test/1' }));
});
beforeEach(() => {
  served = new Map([['scheduling.k8s.io/v1', ['priorityclasses']]]);
  secret = new Set();
});
after(() => {
  api.client.close();
  server.closeAllConnections();
  server.close();
});

function answer({ url = '' }: IncomingMessage, response: ServerResponse): void {
  const { pathname, searchParams } = new URL(url, 'http://test');
  const [status, body] = resultOf(pathname);
  response.writeHead(status);
  if (status === 200 && searchParams.has('watch')) response.flushHeaders();
  else response.end(JSON.stringify(body));
}

function resultOf(pathname: string): [number, unknown] {
  if (pathname === '/apis') {
    questions++;
    const versions = [...served.keys()].map((groupVersion) => ({ groupVersion }));
    return [200, { groups: [{ versions }] }];
  }
  const [, , group, version, resource] = pathname.split('/');
  const resources = served.get(`${group}/${version}`);
  if (!resources) return [404, { reason: 'NotFound' }];
  if (resource === undefined) return [200, { resources: resources.map((name) => ({ name })) }];
  if (secret.has(`${group}/${version}`))
    return [403, { reason: 'Forbidden', message: `${resource} is forbidden` }];
  return [200, { metadata: { resourceVersion: '1' }, items: [] }];
}

function jobWith(gang: string, recorded?: string): LeptonJobObject {
  const cluster = new SmallCluster({ scheduling: { gang } });
  cluster.status = { phase: 'Pending', ...(recorded === undefined ? {} : { gang: recorded }) };
  return cluster.job;
}

async function withGangs(work: (gangs: Gangs, told: () => number) => Promise<void>): Promise<void> {
  let told = 0;
  const gangs = new Gangs({
    api,
    config: operatorConfigSchema.parse({ image: 'x', times: { discoverySeconds: 0.05 } }),
    onChange: () => {},
    onServed: () => told++,
    onError: () => {},
  });
  try {
    await gangs.start();
    await work(gangs, () => told);
  } finally {
    gangs.stop();
  }
}

const choiceOf = (gangs: Gangs, asked = 'auto') => gangs.of(jobWith(asked), false).choice;
const becomes = (gangs: Gangs, choice: string) =>
  until(`choice ${choice}`, 20_000, () => choiceOf(gangs) === choice);

test('a group without its resources is no gang scheduler', async () => {
  served.set('scheduling.k8s.io/v1beta1', ['priorityclasses']);
  await withGangs(async (gangs) => {
    assert.equal(choiceOf(gangs), 'none');
    const { choice, lack } = gangs.of(jobWith('kubernetes'), false);
    assert.equal(choice, undefined);
    assert.match(
      lack ?? '',
      /asks for kubernetes: the cluster does not serve podgroups of scheduling\.k8s\.io\/v1beta1/,
    );
  });
});

test('known from the first moment where it is served; the newest version wins', async () => {
  for (const version of ['v1alpha3', 'v1beta1']) served.set(`scheduling.k8s.io/${version}`, NATIVE);
  await withGangs(async (gangs) => {
    assert.equal(choiceOf(gangs), 'kubernetes');
    const [task] = gangs.of(jobWith('auto', 'kubernetes'), false).tasks;
    assert.equal(task?.resource.apiVersion, 'scheduling.k8s.io/v1beta1');
  });
});

test('what is installed later is found, told, and what goes is forgotten', async () => {
  await withGangs(async (gangs, told) => {
    assert.equal(choiceOf(gangs), 'none');
    served.set('scheduling.volcano.sh/v1beta1', ['podgroups']);
    await becomes(gangs, 'volcano');
    assert.ok(told() > 0, 'jobs that wait hear of it');
    served.set('scheduling.k8s.io/v1alpha2', NATIVE);
    await becomes(gangs, 'kubernetes');
    assert.deepEqual(gangs.memberOf(jobWith('auto', 'volcano')).annotations, {
      'scheduling.k8s.io/group-name': 'job',
    });
    const before = told();
    served.delete('scheduling.volcano.sh/v1beta1');
    await until('volcano is gone', 20_000, () => told() > before);
    assert.match(gangs.of(jobWith('auto', 'volcano'), true).lack ?? '', /were started with volcano/);
    assert.equal(gangs.of(jobWith('auto', 'volcano'), false).choice, 'kubernetes');
  });
});

test('an upgrade of the cluster: another version of the same scheduler takes over', async () => {
  served.set('scheduling.k8s.io/v1alpha3', NATIVE);
  await withGangs(async (gangs) => {
    served.delete('scheduling.k8s.io/v1alpha3');
    served.set('scheduling.k8s.io/v1beta1', NATIVE);
    await until('the other version', 20_000, () => {
      const [task] = gangs.of(jobWith('auto', 'kubernetes'), true).tasks;
      return task?.resource.apiVersion === 'scheduling.k8s.io/v1beta1';
    });
  });
});

test('what may not be listed is not used: auto goes on without it, by name it is waited for', {
  timeout: 60_000,
}, async () => {
  served.set('scheduling.k8s.io/v1beta1', NATIVE);
  secret.add('scheduling.k8s.io/v1beta1');
  await withGangs(async (gangs) => {
    assert.equal(choiceOf(gangs), 'none');
    assert.match(
      gangs.of(jobWith('kubernetes'), false).lack ?? '',
      /workloads of .* are not listed: .*forbidden/,
    );
    secret.clear();
    await becomes(gangs, 'kubernetes');
  });
});

test('it goes on asking, and the same answer changes nothing', async () => {
  served.set('scheduling.x-k8s.io/v1alpha1', ['podgroups']);
  await withGangs(async (gangs) => {
    assert.equal(choiceOf(gangs), 'schedulerPlugins');
    const asked = questions;
    await until('asked again', 20_000, () => questions > asked + 2);
    assert.equal(choiceOf(gangs), 'schedulerPlugins');
  });
});
