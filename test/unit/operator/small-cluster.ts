// A cluster in a few lines: pods that exist, a clock, the API's rules about status and names. Carries out plans as a real one would,
// stops where it is told to, and watches the invariant that no place has two live pods.
import assert from 'node:assert/strict';
import { leptonJobSchema } from '../../../crds/leptonjob.ts';
import type { LeptonJobStatus } from '../../../crds/status.ts';
import { operatorConfigSchema } from '../../../operator/config.ts';
import { newsOf } from '../../../operator/leptonjob/describe.ts';
import type { GangBackend, GangObject } from '../../../operator/leptonjob/gang/backend.ts';
import { type GangTask, type GangView, NO_GANG } from '../../../operator/leptonjob/gang/gang.ts';
import { type Found, viewGang } from '../../../operator/leptonjob/gang/gang-view.ts';
import type {
  LeptonJobObject,
  Plan,
  PodEnd,
  PodView,
  Report,
  Seen,
  Step,
} from '../../../operator/leptonjob/job.ts';
import { podName } from '../../../operator/leptonjob/names.ts';
import { planLeptonJob } from '../../../operator/leptonjob/plan.ts';

const CONFIG = operatorConfigSchema.parse({ image: 'lepton/worker' });
const START_MS = Date.parse('2026-01-01T00:00:00Z');

export class SmallCluster {
  nowMs = START_MS;
  status: LeptonJobStatus | undefined;
  spec: LeptonJobObject['spec'];
  generation = 1;
  report: Report | undefined;
  /** Of the coordinator; undefined: not heard. */
  silenceMs: number | undefined;
  nodes = new Map<string, readonly string[]>();
  lostNodes: ReadonlySet<string> = new Set();
  pods: PodView[] = [];
  stops = 0;
  /** The coordinator takes part: it trains with a number of workers, which it was started with, and changes it as it is asked. */
  answers = false;
  #trains = 0;
  deleted = false;
  writes = 0;
  /** Of the gang scheduler, where there is one. */
  gangObjects: Found[] = [];
  readonly backend: GangBackend | undefined;
  /** A field of a feature that is off: the server does not keep it. */
  drops: string | undefined;
  readonly created: string[] = [];
  readonly events: string[] = [];
  #uids = 0;

  constructor(spec: Record<string, unknown> = {}, backend?: GangBackend) {
    this.spec = specOf(spec);
    this.backend = backend;
  }

  get job(): LeptonJobObject {
    const metadata = {
      name: 'job',
      namespace: 'ns',
      uid: '0000-job',
      resourceVersion: '1',
      generation: this.generation,
    };
    return { metadata, spec: this.spec, ...(this.status ? { status: this.status } : {}) };
  }

  seen(): Seen {
    return {
      job: this.job,
      pods: this.pods,
      met: this.#meet(),
      missing: [],
      nodes: this.nodes,
      lostNodes: this.lostNodes,
      gang: this.#gang(),
      ...(this.silenceMs === undefined ? {} : { silenceMs: this.silenceMs }),
      ...(this.report ? { report: this.report } : {}),
      nowMs: this.nowMs,
      limits: {
        stopMs: 60_000,
        forceDeleteMs: 60_000,
        countsMs: 0,
        progressMs: 10_000,
        heartbeatMs: 60_000,
        stallMs: 1_800_000,
      },
    };
  }

  #gang(): GangView {
    if (!this.backend) return NO_GANG;
    const { job } = this;
    const recorded = this.status?.gang === undefined ? undefined : this.backend;
    return { ...viewGang(job, CONFIG, recorded, this.gangObjects), choice: this.backend.family };
  }

  /** What a coordinator that lives says at every moment. */
  #speak(): void {
    const coordinator = this.pods.find(({ name }) => name === 'job-server-0');
    if (!this.answers || coordinator?.phase !== 'Running') return;
    this.say('Running', this.report?.step ?? 1);
    this.report = { ...this.report!, workerCount: this.#trains };
  }

  #resize(workers: number): void {
    if (!this.answers) return;
    const runs = (rank: number): boolean =>
      this.pods.some(({ name, phase }) => name === podName('job', 'worker', rank) && phase === 'Running');
    const ranks = Array.from({ length: workers }, (_, rank) => rank);
    if (workers < this.#trains || ranks.every(runs)) this.#trains = workers;
    const leaves = ({ role, rank, phase }: PodView): boolean =>
      role === 'worker' && rank >= Math.max(workers, this.#trains) && phase === 'Running';
    this.pods = this.pods.map((pod) =>
      leaves(pod) ? { ...pod, phase: 'Succeeded', ready: false, words: { phase: 'Left' } } : pod,
    );
  }

  #met = { attempt: -1, names: new Set<string>() };

  #meet(): ReadonlySet<string> {
    const attempt = this.status?.attempt ?? 0;
    if (this.#met.attempt !== attempt) this.#met = { attempt, names: new Set() };
    for (const pod of this.pods) if (pod.attempt === attempt) this.#met.names.add(pod.name);
    return this.#met.names;
  }

  /** One pass; `crashAfter` steps the controller dies before it writes the status. Gives the plan. */
  pass(crashAfter = Number.POSITIVE_INFINITY): Plan {
    this.#speak();
    const plan = planLeptonJob(this.seen());
    const steps = plan.kind === 'act' ? plan.steps : [];
    for (const [at, step] of steps.entries()) {
      if (at >= crashAfter) return plan;
      this.apply(step);
    }
    if (steps.length >= crashAfter) return plan;
    if (newsOf(this.status, plan.status) !== 'none') {
      this.status = plan.status;
      this.writes++;
      if (plan.kind === 'record') this.events.push(...plan.events.map(({ reason }) => reason));
    }
    return plan;
  }

  /** Passes until nothing changes any more. */
  settle(): void {
    for (let passes = 0; passes < 200; passes++) {
      const before = JSON.stringify([this.status, this.pods, this.stops, this.deleted]);
      const plan = this.pass();
      const wakeInMs = plan.kind === 'act' ? plan.wakeInMs : undefined;
      if (wakeInMs !== undefined) this.nowMs += wakeInMs;
      else if (before === JSON.stringify([this.status, this.pods, this.stops, this.deleted])) return;
    }
    assert.fail(`no rest: ${JSON.stringify(this.status)}`);
  }

  apply(step: Step): void {
    switch (step.kind) {
      case 'createPod': {
        const name = podName('job', step.role, step.rank);
        if (this.pods.some((pod) => pod.name === name)) return; // AlreadyExists
        this.created.push(`${name}@${step.attempt}`);
        if (this.backend) this.#mustBeGathered(this.backend);
        if (name === 'job-server-0') this.#trains = this.status?.worker?.replicas ?? 0;
        const { role, rank, attempt } = step;
        this.pods = [
          ...this.pods,
          { name, uid: `uid-${++this.#uids}`, role, rank, attempt, phase: 'Pending', ready: false },
        ];
        break;
      }
      case 'deletePod':
        this.pods = this.pods.filter((pod) => pod.uid !== step.uid);
        break;
      case 'stopRun':
        this.stops++;
        this.pods = this.pods.map((pod) => ({ ...pod, phase: 'Succeeded', ready: false }));
        break;
      case 'resizeRun':
        this.#resize(step.workers);
        break;
      case 'deleteJob':
        this.deleted = true;
        break;
      case 'createChild':
        break;
      case 'arrangeGang':
        for (const task of step.tasks) this.#arrange(task);
        break;
      case 'deleteGang':
        this.gangObjects = this.gangObjects.filter(
          ({ object }) => !step.objects.some(({ uid }) => uid === object.metadata.uid),
        );
    }
    const names = this.pods.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length, 'two live pods of one place');
  }

  /** No pod before its group; the first one finds it as large as the run. */
  #mustBeGathered({ kinds }: GangBackend): void {
    assert.equal(this.gangObjects.length, kinds.length, 'a pod before its group');
    if (this.pods.length > 0) return;
    const minimum = (this.status?.worker?.replicas ?? 0) + this.spec.parameterServer.replicas;
    assert.equal(this.seen().gang.minimum, minimum, 'a pod in a group of another size');
  }

  #arrange(task: GangTask): void {
    const { resource, spec } = task;
    const others = this.gangObjects.filter((found) => found.resource.plural !== resource.plural);
    const known = this.gangObjects.find((found) => found.resource.plural === resource.plural)?.object;
    if (task.kind === 'create' && known) return; // AlreadyExists
    const metadata = known?.metadata ?? { name: 'job', uid: `uid-${++this.#uids}`, resourceVersion: '1' };
    const kept = JSON.stringify(spec, (key, value) => (key === this.drops ? undefined : value));
    const object: GangObject = { metadata, spec: { ...known?.spec, ...JSON.parse(kept) } };
    this.gangObjects = [...others, { resource, object }];
  }

  run(): void {
    this.pods = this.pods.map((pod) =>
      pod.phase === 'Pending' ? { ...pod, phase: 'Running', ready: true } : pod,
    );
  }

  vanish(name: string | undefined): void {
    this.pods = this.pods.filter((pod) => pod.name !== name);
  }

  wait(ms: number): void {
    this.nowMs += ms;
  }

  end(name: string, end: PodEnd): void {
    this.pods = this.pods.map((pod) =>
      pod.name === name ? { ...pod, phase: 'Failed', ready: false, end } : pod,
    );
  }

  say(phase: Report['phase'], step = 1, failing = ''): void {
    this.report = {
      checkpoint: { step: 0, uri: '/output/checkpoints/first', failing },
      phase,
      step,
      steps: 10,
      epoch: 1,
      samplesPerSecond: 1,
      metrics: {},
      evaluation: {},
      heardMs: this.nowMs,
    };
  }

  change(spec: Record<string, unknown>): void {
    this.spec = { ...this.spec, ...spec } as LeptonJobObject['spec'];
    this.generation++;
  }
}

function specOf(spec: Record<string, unknown>): LeptonJobObject['spec'] {
  return leptonJobSchema.parse({
    apiVersion: 'lepton.ai/v1alpha1',
    kind: 'LeptonJob',
    metadata: { name: 'job' },
    spec: {
      model: { layers: [{ dense: { units: 1 } }] },
      data: { train: { format: 'npy', uri: '/x' } },
      training: { loss: 'meanSquaredError', optimizer: { sgd: {} }, batchSize: 1, epochs: 1 },
      worker: { replicas: 2 },
      ...spec,
    },
  }).spec;
}
