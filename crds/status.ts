// What the controller says of a job on a cluster. Nothing that a user asks for.
import { z } from 'zod';
import { real } from './fields.ts';

const count = () => z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const ratio = () => z.number().min(0).max(1e18);
const time = () => z.string().max(64);
const words = (maximum: number) => z.string().max(maximum);
const numbers = (maximum: number) => z.record(z.string(), real()).meta({ maxProperties: maximum });

const roleStatus = (description: string) =>
  z
    .strictObject({
      replicas: count().describe('Pods that the present run has places for'),
      ready: count().describe('Pods that are ready'),
      active: count().describe('Pods that are pending or running'),
      succeeded: count().describe('Pods that have ended well'),
      failed: count().describe('Pods that have failed and are not yet replaced'),
      selector: words(1024).describe('Label selector of the pods, as /scale wants it'),
    })
    .exactOptional()
    .describe(description);

const condition = z.strictObject({
  type: words(316),
  status: z.enum(['True', 'False', 'Unknown']),
  observedGeneration: count().exactOptional(),
  lastTransitionTime: time(),
  reason: words(1024),
  message: words(4096),
});

export const statusSchema = z
  .strictObject({
    phase: z
      .enum(['Pending', 'Suspended', 'Starting', 'Running', 'Restarting', 'Succeeded', 'Failed'])
      .exactOptional()
      .describe('Where the job stands'),
    message: words(4096).exactOptional().describe('What happened last'),
    observedGeneration: count().exactOptional().describe('Generation of the spec that this is about'),
    conditions: z
      .array(condition)
      .max(16)
      .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] })
      .exactOptional()
      .describe('Standing statements about the job'),
    startTime: time().exactOptional().describe('When the first pod was asked for'),
    completionTime: time().exactOptional().describe('When the job ended'),
    activeSeconds: ratio().exactOptional().describe('Time the job has run, up to activeSince'),
    activeSince: time().exactOptional().describe('Since when the clock of activeDeadlineSeconds runs'),
    attempt: z.int().min(0).max(1_000_000).exactOptional().describe('Grows with every replacement of pods'),
    restarts: count().exactOptional().describe('Replacements that count towards maxRestarts'),
    run: words(40).exactOptional().describe('Names the checkpoints of this job'),
    assembled: z.boolean().exactOptional().describe('All pods of the present run have existed at once'),
    gang: words(64).exactOptional().describe('Who starts the pods of the present run all or none'),
    replacing: z
      .array(words(128))
      .max(2048)
      .exactOptional()
      .describe('Pods that are being replaced, as name/uid; no uid where the pod vanished'),
    backOffUntil: time().exactOptional().describe('Replacements wait until then'),
    excludedNodes: z.array(words(253)).max(64).exactOptional().describe('Nodes that pods keep away from'),
    stopping: z
      .strictObject({
        reason: z.enum(['Suspend', 'Deadline', 'Scale']).describe('Why'),
        since: time().describe('Since when'),
      })
      .exactOptional()
      .describe('The run is being stopped with a checkpoint'),
    resizing: z
      .strictObject({
        from: count().describe('Workers when it was asked for'),
        to: count().describe('Workers that the run is to go on with'),
        since: time().describe('Since when'),
      })
      .exactOptional()
      .describe('The number of workers is being changed while the run goes on'),
    waiting: z
      .strictObject({
        on: words(64).describe('The one thing that the job waits for'),
        since: time().describe('Since when'),
        message: words(4096).describe('In the words of whoever lets it wait'),
      })
      .exactOptional()
      .describe('What the job waits for'),
    worker: roleStatus('Pods of workers'),
    parameterServer: roleStatus('Pods of parameter servers'),
    progress: z
      .strictObject({
        step: count().describe('Global steps done'),
        steps: count().describe('Global steps of the whole job'),
        epoch: count().describe('Epoch in progress, from 1'),
        samplesPerSecond: ratio().exactOptional().describe('Speed of all workers together'),
        remainingSeconds: ratio().exactOptional().describe('Expected time to the last step'),
        loss: real().exactOptional().describe('Mean of the epoch so far'),
        metrics: numbers(64).exactOptional().describe('Means of the epoch so far'),
        evaluation: numbers(64).exactOptional().describe('Loss and metrics of the newest evaluation'),
        checkpointSeconds: ratio()
          .exactOptional()
          .describe('For which training has stood still for checkpoints since the coordinator started'),
        time: time().exactOptional().describe('When this was heard'),
      })
      .exactOptional()
      .describe('How far training is'),
    goodput: z
      .strictObject({
        ratio: z.number().min(0).max(1).describe('Share of the active time in which training went forward'),
        productiveSeconds: ratio().describe('Time in which training went forward'),
        lostSeconds: numbers(16).describe('Time lost, by cause'),
        since: time().describe('Up to when this has been counted'),
      })
      .exactOptional()
      .describe('What became of the time'),
    checkpoint: z
      .strictObject({
        step: count().describe('Global step of the newest checkpoint'),
        uri: words(1024).describe('Its folder'),
      })
      .exactOptional()
      .describe('What a run can resume from'),
    output: z
      .strictObject({
        uri: words(1024).describe('Folder of the model'),
        metrics: numbers(64).describe('Of the finished model'),
      })
      .exactOptional()
      .describe('The results'),
  })
  .describe('How far the job is');

export type LeptonJobStatus = z.output<typeof statusSchema>;
export type JobCondition = z.output<typeof condition>;
