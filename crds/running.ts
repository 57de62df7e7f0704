// How a job is run on a cluster: pods, failures, life time, scheduling. Nothing of what is trained.
import { z } from 'zod';
import { text, whole } from './fields.ts';
import { type Rule, withRules } from './rules.ts';
import { MOST_SERVERS } from './server-places.ts';

export const MANAGED_BY = 'lepton.ai/leptonjob-controller';
const NAME = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;

/** The pod template's own fields are checked by the API server when pods are made of it. */
const templateSchema = () =>
  z
    .strictObject({
      metadata: z
        .strictObject({
          labels: stringMap().exactOptional().describe('Labels of the pods'),
          annotations: stringMap().exactOptional().describe('Annotations of the pods'),
        })
        .exactOptional()
        .describe('Labels and annotations of the pods'),
      spec: z
        .looseObject({})
        .exactOptional()
        .describe('PodSpec that is merged into the pods: the container `lepton` runs the role'),
    })
    .describe('Pod template (PodTemplateSpec); ignored by `lepton run`');

const stringMap = () => z.record(z.string(), z.string().max(65_536)).meta({ maxProperties: 64 });

const acceleratorNames: Rule = {
  cel: "self.all(k, k.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$'))",
  message: 'expected names of extended resources, such as nvidia.com/gpu',
  holds: (self) =>
    Object.keys(self).every((key) =>
      /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?\/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/.test(key),
    ),
  got: (self) => Object.keys(self).join(', '),
};

const replicasWithin: Rule = {
  cel: '(!has(self.minReplicas) || self.replicas >= self.minReplicas) && (!has(self.maxReplicas) || self.replicas <= self.maxReplicas)',
  message: 'expected replicas from minReplicas to maxReplicas',
  holds: (self) =>
    (self['minReplicas'] === undefined || Number(self['replicas']) >= Number(self['minReplicas'])) &&
    (self['maxReplicas'] === undefined || Number(self['replicas']) <= Number(self['maxReplicas'])),
  got: (self) => String(self['replicas']),
};

export const workerSchema = withRules(
  z
    .strictObject({
      replicas: whole(1, 1024).default(1).describe('Number of workers'),
      minReplicas: whole(1, 1024).exactOptional().describe('Fewest workers that may be asked for'),
      maxReplicas: whole(1, 1024).exactOptional().describe('Most workers that may be asked for'),
      accelerators: withRules(z.record(z.string(), whole(1, 64)), acceleratorNames)
        .meta({ maxProperties: 8 })
        .exactOptional()
        .describe('Accelerators of each worker by resource name, such as `nvidia.com/gpu: 1`'),
      template: templateSchema().exactOptional(),
    })
    .describe('Processes that compute gradients'),
  replicasWithin,
);

export const parameterServerSchema = z
  .strictObject({
    replicas: whole(0, MOST_SERVERS)
      .default(1)
      .describe(
        'Number of servers; parameters are split by bytes. 0: workers hold the parameters, those below minReplicas a part each. Can be changed only while the job is suspended',
      ),
    placement: z
      .enum(['servers', 'mixed'])
      .default('servers')
      .describe(
        'Who holds the parameters: servers: those of `replicas` alone, equal parts; mixed: the workers below minReplicas as well, smaller parts, so that an exchange over equal network interfaces takes the least time. Can be changed only while the job is suspended',
      ),
    template: templateSchema().exactOptional().describe("Pod template; default: the workers'"),
  })
  .describe('Processes that hold the parameters and apply the optimizer');

const failureRule = z
  .strictObject({
    roles: z
      .array(z.enum(['worker', 'parameterServer']))
      .min(1)
      .max(2)
      .exactOptional()
      .describe('Roles that it is about; default: all'),
    reasons: z
      .array(
        z.enum([
          'Error',
          'Signal',
          'OutOfMemory',
          'Disruption',
          'NodeLost',
          'Evicted',
          'Vanished',
          'LostHeartbeat',
          'Stalled',
          'NodeUnhealthy',
        ]),
      )
      .min(1)
      .max(10)
      .exactOptional()
      .describe('How the pod ended, or why it is no good though it runs; default: any'),
    exitCodes: z.array(whole(1, 255)).min(1).max(32).exactOptional().describe('Exit codes; default: all'),
    signals: z
      .array(whole(1, 64))
      .min(1)
      .max(32)
      .exactOptional()
      .describe('Numbers of the signals that ended the process, such as 6 for SIGABRT; default: all'),
    nodeConditions: z
      .array(text(316))
      .min(1)
      .max(16)
      .exactOptional()
      .describe(
        'Types of conditions, such as `MemoryPressure` or `GpuUnhealthy`: fits where the node has one of them with status True (`NotReady`: where it is not ready). A pod that runs on such a node has failed as `NodeUnhealthy`, and its node is left',
      ),
    action: z
      .enum(['RestartPod', 'RestartRole', 'RestartJob', 'ExcludeNode', 'FailJob'])
      .describe('What is done: ExcludeNode restarts the pod on another node'),
    countsTowardsMax: z.boolean().default(true).describe('Whether it uses up one of maxRestarts'),
  })
  .describe('The first rule that fits a failed pod decides');

export const runningFields = {
  suspend: z.boolean().default(false).describe('Stops the job with a checkpoint; false goes on from there'),
  managedBy: z
    .enum([MANAGED_BY, 'kueue.x-k8s.io/multikueue'])
    .default(MANAGED_BY)
    .describe('Controller that runs the job; cannot be changed'),
  maxRestarts: whole(0, 1_000_000)
    .default(3)
    .describe('How many processes may be replaced before the job fails; disruptions do not count'),
  failurePolicy: z
    .strictObject({
      rules: z.array(failureRule).max(20).default([]).describe('Rules that come before the built-in ones'),
      heartbeatSeconds: whole(5, 86_400)
        .exactOptional()
        .describe(
          'A process that runs and is not heard for this long has failed as `LostHeartbeat`; default: 60, or what the operator says',
        ),
      stallSeconds: whole(10, 604_800)
        .exactOptional()
        .describe(
          'Where training runs and no step ends for this long, those that everybody waits for have failed as `Stalled`; default: 1800, or what the operator says',
        ),
    })
    .prefault({})
    .describe('What happens when a pod fails'),
  activeDeadlineSeconds: whole(1, 31_536_000)
    .exactOptional()
    .describe(
      'Longest time the job may run, suspensions apart; then it stops with a checkpoint and counts as failed',
    ),
  ttlSecondsAfterFinished: whole(0, 315_360_000)
    .exactOptional()
    .describe('Time after the end at which the job is deleted; default: never'),
  cleanPodPolicy: z
    .enum(['All', 'Running', 'None'])
    .default('Running')
    .describe('Pods that are deleted when the job has ended'),
  scheduling: z
    .strictObject({
      queue: text(253)
        .regex(NAME, 'expected the name of a queue')
        .exactOptional()
        .describe('Queue of Volcano; Kueue reads its label kueue.x-k8s.io/queue-name'),
      priorityClassName: text(253)
        .regex(NAME, 'expected the name of a PriorityClass')
        .exactOptional()
        .describe('PriorityClass of the pods and of their group'),
      gang: z
        .enum(['auto', 'none', 'kubernetes', 'volcano', 'schedulerPlugins'])
        .default('auto')
        .describe('Who starts all pods or none; auto: the first of the three that the cluster serves'),
    })
    .prefault({})
    .describe('How the pods get their places'),
};
