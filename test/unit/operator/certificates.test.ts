// Certificates of a job over the years: when a later generation is made, when it is shown, how it comes into the pods that run, and
// that nobody is without a valid pair in between.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { operatorConfigSchema } from '../../../operator/config.ts';
import type { KubeApi } from '../../../operator/kube/api.ts';
import { ApiError } from '../../../operator/kube/errors.ts';
import {
  generationFrom,
  identityOf,
  isIncomplete,
  makeCertificates,
} from '../../../operator/leptonjob/certificates.ts';
import { secretOf } from '../../../operator/leptonjob/children.ts';
import type { LeptonJobObject } from '../../../operator/leptonjob/job.ts';
import { LATER_GENERATIONS } from '../../../operator/leptonjob/names.ts';
import { podOf } from '../../../operator/leptonjob/pod.ts';
import { Runs } from '../../../operator/leptonjob/runs.ts';
import { Certificates } from '../../../worker/transport/certificates.ts';
import { SmallCluster } from './small-cluster.ts';

const START_MS = Date.parse('2030-01-01T00:00:00Z');
const DAY_MS = 86_400_000;
/** A job can train for so long. */
const LONGEST_DAYS = 840;

interface Secret {
  readonly metadata: { readonly name: string };
  readonly data: Readonly<Record<string, string>>;
}

/** Secrets as the API server keeps them, and a clock. */
class Years {
  readonly job: LeptonJobObject = new SmallCluster({ worker: { replicas: 1 } }).job;
  nowMs = START_MS;
  readonly secrets = new Map<string, unknown>();
  runs = this.#runsAnew();

  /** What a pass does, as the reconciler and the applier do it. */
  async pass(): Promise<boolean> {
    if (await this.runs.findCertificates(this.job)) return false;
    const { generations } = this.runs.of(this.job);
    const { uid } = this.job.metadata;
    const files = await makeCertificates(uid, this.nowMs, generations.length);
    const secret = secretOf(this.job, files, generations.length) as unknown as Secret;
    assert.ok(!this.secrets.has(secret.metadata.name), 'secrets are never changed');
    this.secrets.set(secret.metadata.name, secret);
    generations.push(generationFrom(files));
    return true;
  }

  /** Another process operates from now on. */
  restart(): void {
    this.runs = this.#runsAnew();
  }

  get shown(): X509Certificate {
    return new X509Certificate(identityOf(this.runs.of(this.job).generations, this.nowMs)!.certificate);
  }

  #runsAnew(): Runs {
    const get = async (_: unknown, { name }: { name: string }): Promise<unknown> => {
      const found = this.secrets.get(name);
      if (!found) throw new ApiError('not found', { status: 404, reason: 'NotFound' });
      return found;
    };
    const nothing = (): never => assert.fail('not of this test');
    return new Runs({
      api: { get } as unknown as KubeApi,
      nowMs: () => this.nowMs,
      monotonicMs: () => this.nowMs,
      addressOf: nothing,
      onReport: nothing,
      patienceMs: nothing,
      onSilent: nothing,
    });
  }
}

/** The folder of a pod's certificates as a kubelet fills it out of these secrets. */
async function mounted(years: Years, role: 'worker' | 'server'): Promise<{ path: string } & AsyncDisposable> {
  const config = operatorConfigSchema.parse({ image: 'worker' });
  const pod = podOf(years.job, { role, rank: 0, attempt: 0 }, config) as unknown as {
    spec: { volumes: { name: string; projected?: { sources: { secret: Source }[] } }[] };
  };
  const { sources } = pod.spec.volumes.find(({ name }) => name === 'lepton-tls')!.projected!;
  const path = await mkdtemp(join(tmpdir(), 'lepton-mounted-'));
  for (const { secret } of sources) {
    const found = years.secrets.get(secret.name) as Secret | undefined;
    if (!found) {
      assert.equal(secret.optional, true, `${secret.name} is not there`);
      continue;
    }
    for (const item of secret.items) {
      await mkdir(dirname(join(path, item.path)), { recursive: true });
      await writeFile(join(path, item.path), Buffer.from(found.data[item.key]!, 'base64'));
    }
  }
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

interface Source {
  readonly name: string;
  readonly optional?: boolean;
  readonly items: readonly { readonly key: string; readonly path: string }[];
}

test('a job that trains for years: renewed in time, valid at every moment, whoever operates', async () => {
  const years = new Years();
  const madeOnDay: number[] = [];
  for (let day = 0; day < LONGEST_DAYS; day += 2) {
    years.nowMs = START_MS + day * DAY_MS;
    if (day % 100 === 0) years.restart();
    if (await years.pass()) madeOnDay.push(day);
    const { shown, nowMs } = years;
    assert.ok(Date.parse(shown.validFrom) <= nowMs && nowMs < Date.parse(shown.validTo), `day ${day}`);
  }
  assert.deepEqual(madeOnDay, [0, 244, 488]);
  assert.deepEqual([...years.secrets.keys()], ['job-tls', 'job-tls-1', 'job-tls-2']);
  assert.equal(
    isIncomplete(years.runs.of(years.job).generations, years.nowMs),
    false,
    'there are no more names',
  );
});

test('a pod that runs gets what was made later: believed at once, shown a day after', async () => {
  const years = new Years();
  await years.pass();
  for (let generation = 1; generation <= LATER_GENERATIONS; generation++) {
    years.nowMs += 245 * DAY_MS;
    await using before = await mounted(years, 'worker');
    await years.pass();
    await using after = await mounted(years, 'worker');
    const [old, early, late] = await Promise.all([
      sees(before.path, years.nowMs),
      sees(after.path, years.nowMs),
      sees(after.path, years.nowMs + 1.1 * DAY_MS),
    ]);
    assert.deepEqual([old.authorities, early.authorities], [generation, generation + 1]);
    assert.equal(early.shown, old.shown);
    assert.notEqual(late.shown, early.shown);
    const shown = new X509Certificate(late.shown);
    assert.equal(shown.subjectAltName, `DNS:worker.${years.job.metadata.uid}`);
    // The operator shows its own of the same generation at the same time.
    assert.equal(years.shown.issuer, shown.issuer);
  }
});

/** What a process in the pod shows at that time, and how many authorities it believes. */
async function sees(path: string, nowMs: number): Promise<{ shown: string; authorities: number }> {
  const certificates = Certificates.in(path, { nowMs: () => nowMs });
  const [authority, shown] = await Promise.all([
    new Promise<string>((resolve) => {
      const listener = (update: { caCertificate: Buffer } | null): void => {
        certificates.removeCaCertificateListener(listener);
        resolve(update!.caCertificate.toString());
      };
      certificates.addCaCertificateListener(listener);
    }),
    new Promise<string>((resolve) => {
      const listener = (update: { certificate: Buffer } | null): void => {
        certificates.removeIdentityCertificateListener(listener);
        resolve(update!.certificate.toString());
      };
      certificates.addIdentityCertificateListener(listener);
    }),
  ]);
  return { shown, authorities: authority.split('BEGIN CERTIFICATE').length - 1 };
}

test('a secret whose certificates cannot be read is not renewed again and again', () => {
  for (const files of [{}, { 'operator.crt': 'x', 'operator.key': 'y' }]) {
    const generation = generationFrom(files);
    assert.equal(isIncomplete([generation], START_MS + 10_000 * DAY_MS), false);
    assert.ok(identityOf([generation], START_MS));
  }
});
