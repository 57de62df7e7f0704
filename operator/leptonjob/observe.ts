// What one pass knows of a job: the stores, the coordinator's words, the limits, as plain data for the plan. Decides nothing.
import { leptonJobSpecSchema } from '../../crds/leptonjob.ts';
import type { OperatorConfig } from '../config.ts';
import { CONFIG_MAPS, NETWORK_POLICIES, type Resource, SERVICES } from '../kube/objects.ts';
import { acceleratorsLacking } from './accelerators.ts';
import { patienceOf } from './failure.ts';
import type { Gangs } from './gang/gangs.ts';
import { hostNames } from './hosting.ts';
import type { ChildKind, LeptonJobObject, PodView, Seen } from './job.ts';
import { jobConfigOf, nextWorkersOf, workersOf } from './job-config.ts';
import { configName, networkPolicyName, serviceName } from './names.ts';
import { type Pod, viewPod } from './pod-view.ts';
import { isFinished } from './rules/lifetime.ts';
import { madeKey, meet, type Run, type Runs } from './runs.ts';
import { templateOf } from './template.ts';
import { objectionsTo } from './template-policy.ts';
import type { World } from './world.ts';

export interface ObserverOptions {
  readonly world: World;
  readonly runs: Runs;
  readonly gangs: Pick<Gangs, 'of'>;
  readonly config: OperatorConfig;
  readonly nowMs: () => number;
  /** Of a clock that never goes back: for what this process remembers. */
  readonly monotonicMs: () => number;
}

/** Pods come up one by one: their numbers are written at most this often. */
const COUNTS_MS = 2000;

export class Observer {
  readonly #options: ObserverOptions;

  constructor(options: ObserverOptions) {
    this.#options = options;
  }

  see(job: LeptonJobObject, run: Run, certified: boolean): Seen {
    const { world, runs, config, nowMs, monotonicMs } = this.#options;
    const pods = world.pods.group(job.metadata.uid);
    const views = pods.flatMap((pod) => viewPod(pod) ?? []);
    const finished = isFinished(job.status ?? {});
    runs.connect(job, finished ? undefined : coordinatorOf(job, pods, views));
    const gang = this.#options.gangs.of(job, views.length > 0);
    const refusal = this.refusalOf(job, run) ?? lackOf(gang, finished);
    const silenceMs = runs.silenceOf(run);
    const { accelerators } = job.spec.worker;
    const lack = accelerators && !finished ? acceleratorsLacking(accelerators, world.offers) : undefined;
    const { times } = config;
    return {
      job,
      pods: views,
      met: meet(run, job.status?.attempt ?? 0, views),
      missing: finished ? [] : this.#missing(job, run, certified),
      nodes: world.conditions,
      ...(lack === undefined ? {} : { lack }),
      lostNodes: world.lostNodes(nowMs()),
      gang,
      ...(run.report ? { report: run.report } : {}),
      ...(silenceMs === undefined ? {} : { silenceMs }),
      ...(refusal ? { refusal } : {}),
      ...(run.rejected ? { rejected: run.rejected } : {}),
      ...((run.namespaceEndsUntilMs ?? 0) > monotonicMs() ? { namespaceEnds: true } : {}),
      nowMs: nowMs(),
      limits: {
        stopMs: times.stopSeconds * 1000,
        forceDeleteMs: times.forceDeleteSeconds * 1000,
        progressMs: times.progressSeconds * 1000,
        countsMs: Math.min(times.progressSeconds * 1000, COUNTS_MS),
        ...patienceOf(job, times),
      },
    };
  }

  #missing(job: LeptonJobObject, run: Run, certified: boolean): ChildKind[] {
    const { world, config } = this.#options;
    const { uid, name } = job.metadata;
    const lacks = (resource: Resource, store: World['services'], child: string): boolean => {
      const key = madeKey(resource, child);
      if (store.group(uid).some(({ metadata }) => metadata.name === child)) {
        run.made.delete(key);
        return false;
      }
      return !run.made.has(key);
    };
    const lacksConfig = (workers: number): boolean =>
      lacks(CONFIG_MAPS, world.configMaps, configName(name, jobConfigOf(job, workers).digest));
    return [
      ...(lacksConfig(workersOf(job)) ? ['config' as const] : []),
      ...(lacksConfig(nextWorkersOf(job)) && nextWorkersOf(job) > workersOf(job)
        ? ['nextConfig' as const]
        : []),
      ...(lacks(SERVICES, world.services, serviceName(name)) ? ['service' as const] : []),
      ...(certified ? [] : ['certificates' as const]),
      ...(config.networkPolicy && lacks(NETWORK_POLICIES, world.networkPolicies, networkPolicyName(name))
        ? ['networkPolicy' as const]
        : []),
    ];
  }

  refusalOf(job: LeptonJobObject, run: Run): Seen['refusal'] {
    if (run.conflict && run.conflict.untilMs > this.#options.monotonicMs())
      return { on: 'NameConflict', message: run.conflict.message };
    delete run.conflict;
    const { generation } = job.metadata;
    if (!run.checked || run.checked.generation !== generation)
      run.checked = { generation, objections: this.#objectionsTo(job) };
    const { objections } = run.checked;
    if (objections.length === 0) return undefined;
    return { on: 'Refused', message: [...new Set(objections)].join('; ').slice(0, 4000) };
  }

  #objectionsTo(job: LeptonJobObject): string[] {
    const { config } = this.#options;
    const checked = leptonJobSpecSchema.safeParse(job.spec);
    if (!checked.success)
      return checked.error.issues.map(({ path, message }) => `spec.${path.join('.')}: ${message}`);
    return [
      ...objectionsTo(templateOf(job, 'worker'), config, 'spec.worker.template'),
      ...objectionsTo(templateOf(job, 'server'), config, 'spec.parameterServer.template'),
    ];
  }
}

/** Pods without the scheduler that they are made for would wait for ever. */
function lackOf({ lack }: Seen['gang'], finished: boolean): Seen['refusal'] {
  return lack === undefined || finished ? undefined : { on: 'GangNotServed', message: lack };
}

function coordinatorOf(
  job: LeptonJobObject,
  pods: readonly Pod[],
  views: readonly PodView[],
): Pod | undefined {
  const [name] = hostNames(job);
  const view = views.find((pod) => pod.name === name);
  if (view?.phase !== 'Running' || view.terminatingSinceMs !== undefined) return undefined;
  return pods.find(({ metadata }) => metadata.name === name);
}
