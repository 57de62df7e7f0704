// A pod's own account: where the server is, and that renewed tokens and authorities are taken up.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ServiceAccount } from '../../../operator/kube/service-account.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lepton-account-'));
});
after(() => rm(folder, { recursive: true, force: true }));

test('outside of a pod there is none', () => {
  assert.equal(ServiceAccount.ofPod({}), undefined);
  assert.equal(ServiceAccount.ofPod({ KUBERNETES_SERVICE_HOST: '' }), undefined);
});

test('the server is where the environment says, by IPv4, IPv6 or name', () => {
  for (const [host, port, server] of [
    ['10.96.0.1', '443', 'https://10.96.0.1:443'],
    ['fd00::1', '6443', 'https://[fd00::1]:6443'],
    ['kubernetes.default', undefined, 'https://kubernetes.default:443'],
  ] as const) {
    const account = ServiceAccount.ofPod({ KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port });
    assert.deepEqual(account?.getCurrentCluster(), { server });
  }
});

test('token and authority are those of the files at the time of asking', async () => {
  const account = ServiceAccount.ofPod({ KUBERNETES_SERVICE_HOST: 'x' }, folder)!;
  for (const version of ['first', 'second']) {
    await writeFile(join(folder, 'token'), `${version}-token\n`);
    await writeFile(join(folder, 'ca.crt'), `${version}-authority`);
    const options: RequestOptions = { headers: { Accept: 'application/json' } };
    await account.applyToHTTPSOptions(options);
    assert.deepEqual(options.headers, {
      Accept: 'application/json',
      Authorization: `Bearer ${version}-token`,
    });
    assert.equal(options.ca, `${version}-authority`);
  }
});

test('a file that is not there is named', async () => {
  const account = ServiceAccount.ofPod({ KUBERNETES_SERVICE_HOST: 'x' }, join(folder, 'none'))!;
  await assert.rejects(account.applyToHTTPSOptions({}), /none\/(token|ca\.crt)/);
});
