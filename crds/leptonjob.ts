// LeptonJob: all that a user may ask of one training job, with defaults, bounds and meaning. The CRD, the reference page
// and every check are made from it. Nothing is accepted that nothing acts on.
import { z } from 'zod';
import { dataSourceSchema } from './data-source.ts';
import { exchangeSchema } from './exchange.ts';
import { path, text, whole } from './fields.ts';
import { layerSchema } from './layers.ts';
import { atMostOneOf, exactlyOneOf, onlyEntry, type Rule, unchanged, withRules } from './rules.ts';
import { parameterServerSchema, runningFields, workerSchema } from './running.ts';
import { lastingWorkers, MOST_SERVERS } from './server-places.ts';
import { type OptimizerChoice, trainingSchema } from './training.ts';

export const GROUP = 'lepton.ai';
export const VERSION = 'v1alpha1';
export const KIND = 'LeptonJob';
/** Leaves room for `-worker-1023` in the name of a pod, which is at most 63 characters long. */
const MAX_NAME_LENGTH = 50;

const modelSchema = withRules(
  z
    .strictObject({
      layers: z
        .array(layerSchema)
        .min(1)
        .max(256)
        .exactOptional()
        .describe('A net of layers in a row; the first layer learns its input shape from the data'),
      source: z
        .strictObject({ uri: path().describe('Folder of a saved model (model.json, weights.safetensors)') })
        .exactOptional()
        .describe('Goes on training a saved model'),
      program: z
        .strictObject({
          module: path().describe(
            'TypeScript or JavaScript module that exports the model and, if it likes, the data',
          ),
        })
        .exactOptional()
        .describe('Any net, built by your own module; run by the workers alone'),
    })
    .describe('What is trained'),
  exactlyOneOf('layers', 'source', 'program'),
);

const dataSchema = withRules(
  z
    .strictObject({
      train: dataSourceSchema.describe('Samples to learn from'),
      evaluate: dataSourceSchema.exactOptional().describe('Samples to measure on after every epoch'),
      validationSplit: z
        .number()
        .gt(0)
        .lt(1)
        .exactOptional()
        .describe('Share of the training samples to measure on instead, drawn by seed'),
      shuffle: z.boolean().default(true).describe('Whether every epoch has its own random order'),
    })
    .describe('Samples to learn from and to measure on'),
  atMostOneOf('evaluate', 'validationSplit'),
);

const dataUnlessProgram: Rule = {
  cel: 'has(self.data) || has(self.model.program)',
  message: 'expected data, which only model.program may supply itself',
  holds: (self) =>
    self['data'] !== undefined || (self['model'] as { program?: unknown }).program !== undefined,
  got: () => 'none',
};

type LeptonJobExchange = z.output<typeof exchangeSchema>;

/** The optimizer has no first moment of its own. */
const WITHOUT_MOMENT = [
  ['sgd', 'momentum'],
  ['rmsprop', 'momentum'],
  ['adam', 'beta1'],
  ['adamW', 'beta1'],
] as const;
const CODECS_WITH_MOMENTUM = ['topK', 'oneBit'] as const;

/** A velocity in the workers and another in the servers would be momentum twice. */
const momentumOnce: Rule = {
  cel: [
    '!has(self.exchange.gradientCodec)',
    `(${CODECS_WITH_MOMENTUM.map((codec) => `(!has(self.exchange.gradientCodec.${codec}) || self.exchange.gradientCodec.${codec}.momentum == 0.0)`).join(' && ')})`,
    `(self.exchange.consistency.mode != 'localSteps' && (${WITHOUT_MOMENT.map(([kind, field]) => `(has(self.training.optimizer.${kind}) && self.training.optimizer.${kind}.${field} == 0.0)`).join(' || ')}))`,
  ].join(' || '),
  message: `expected momentum of gradientCodec only with ${WITHOUT_MOMENT.map(([kind, field]) => `${kind} of ${field} 0`).join(', ')}, and not with consistency localSteps`,
  holds: (self) => {
    const { gradientCodec, consistency } = self['exchange'] as LeptonJobExchange;
    if (!CODECS_WITH_MOMENTUM.some((codec) => gradientCodec?.[codec]?.momentum)) return true;
    const { optimizer } = self['training'] as { optimizer: OptimizerChoice };
    const [kind, options] = onlyEntry(optimizer);
    const field = WITHOUT_MOMENT.find(([name]) => name === kind)?.[1];
    return consistency.mode !== 'localSteps' && (options as Record<string, unknown>)[field ?? ''] === 0;
  },
  got: (self) => {
    const { consistency } = self['exchange'] as LeptonJobExchange;
    return `${JSON.stringify((self['training'] as { optimizer: object }).optimizer)} with ${consistency.mode}`;
  },
};

/** As `lastingWorkers` counts them. */
const holders = (worker: string): string =>
  `(has(${worker}.minReplicas) ? ${worker}.minReplicas : ${worker}.replicas)`;

type LeptonJobServers = Parameters<typeof lastingWorkers>[0] & {
  readonly parameterServer: z.output<typeof parameterServerSchema>;
};

/** With no server, or one for each worker, the best split is that of `servers`. */
const mixedWithin: Rule = {
  cel: `self.parameterServer.placement != 'mixed' || (self.parameterServer.replicas > 0 && self.parameterServer.replicas < ${holders('self.worker')} && self.parameterServer.replicas + ${holders('self.worker')} <= ${MOST_SERVERS})`,
  message: `expected parameterServer.placement mixed only with at least 1 server, more workers that hold a part than servers (worker.minReplicas, or worker.replicas without it), and at most ${MOST_SERVERS} of both`,
  holds: (self) => {
    const { parameterServer, worker } = self as unknown as LeptonJobServers;
    const { placement, replicas } = parameterServer;
    const workers = lastingWorkers({ worker });
    return (
      placement !== 'mixed' || (replicas > 0 && replicas < workers && replicas + workers <= MOST_SERVERS)
    );
  },
  got: (self) => {
    const { parameterServer, worker } = self as unknown as LeptonJobServers;
    return `${parameterServer.replicas} and ${lastingWorkers({ worker })} workers`;
  },
};

export const leptonJobSpecSchema = withRules(
  z
    .strictObject({
      model: modelSchema,
      data: dataSchema.exactOptional(),
      training: trainingSchema,
      exchange: exchangeSchema,
      worker: workerSchema.prefault({}),
      parameterServer: parameterServerSchema.prefault({}),
      checkpoint: z
        .strictObject({
          uri: path()
            .exactOptional()
            .describe('Folder of the checkpoints; default: checkpoints/ in the output folder'),
          everySteps: whole(1, 1_000_000_000).default(500).describe('Global steps between two checkpoints'),
          keep: whole(1, 1000).default(3).describe('How many of the newest checkpoints to keep'),
        })
        .prefault({})
        .describe('What a run can resume from'),
      output: z
        .strictObject({
          uri: path().exactOptional().describe('Folder of the results; default: runs/<name>/<time>/'),
          formats: z
            .array(z.enum(['safetensors']))
            .min(1)
            .max(1)
            .default(['safetensors'])
            .describe('File formats of the weights'),
        })
        .prefault({})
        .describe('Where the model, the history and the curves go'),
      ...runningFields,
    })
    .describe('What the job should do'),
  dataUnlessProgram,
  momentumOnce,
  mixedWithin,
  unchanged('managedBy', 'model', 'training', 'exchange'),
);

const nameRule: Rule = {
  cel: `self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= ${MAX_NAME_LENGTH}`,
  message: `expected metadata.name of at most ${MAX_NAME_LENGTH} lower-case letters, digits and '-', starting with a letter`,
  holds: (self) => {
    const { name } = self['metadata'] as { name: string };
    return /^[a-z]([-a-z0-9]*[a-z0-9])?$/.test(name) && name.length <= MAX_NAME_LENGTH;
  },
  got: (self) => (self['metadata'] as { name: string }).name,
};

/** Every process of a run is told where each parameter is. Only an API server knows what was there before, and the status. */
const serversRule: Rule = {
  cel: `self.spec.parameterServer.replicas == oldSelf.spec.parameterServer.replicas && self.spec.parameterServer.placement == oldSelf.spec.parameterServer.placement && (self.spec.parameterServer.replicas > 0 && self.spec.parameterServer.placement == 'servers' || ${holders('self.spec.worker')} == ${holders('oldSelf.spec.worker')}) || !has(self.status) || !has(self.status.phase) || self.status.phase == 'Suspended'`,
  message:
    'who holds the parameters (parameterServer.replicas and placement; where workers do, worker.minReplicas, or worker.replicas without it) can be changed only while the job is suspended',
  holds: () => true,
  got: () => '',
};

const stringMap = () => z.record(z.string(), z.string());

export const leptonJobSchema = withRules(
  z
    .strictObject({
      apiVersion: z.literal(`${GROUP}/${VERSION}`).describe('Version of this schema'),
      kind: z.literal(KIND).describe('Kind of object'),
      metadata: z
        .looseObject({
          name: text(253).describe('Name of the job'),
          labels: stringMap().exactOptional(),
          annotations: stringMap().exactOptional(),
        })
        .describe('Name, labels and annotations, as of every Kubernetes object'),
      spec: leptonJobSpecSchema,
    })
    .describe('A training job'),
  nameRule,
  serversRule,
);

export type LeptonJob = z.output<typeof leptonJobSchema>;
/** What a user writes: fields with a default may be left out. */
export type LeptonJobInput = z.input<typeof leptonJobSchema>;
export type LeptonJobSpec = LeptonJob['spec'];
export type ModelSpec = LeptonJobSpec['model'];

export type { DataFormat, DataSource } from './data-source.ts';
export {
  type Consistency,
  type ConsistencyChoice,
  consistencyOf,
  type GradientCodecChoice,
  hasBackup,
  isLeased,
  resolvedConsistencySchema,
} from './exchange.ts';
export type { InitializerName, LayerKind, LayerSpec } from './layers.ts';
export { onlyEntry } from './rules.ts';
export type { LossName, MetricName, OptimizerChoice, ScheduleChoice, TrainingSpec } from './training.ts';
