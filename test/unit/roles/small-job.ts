// A job of servers and trainers in this process, over real gRPC, on the plain engine: fast enough to run many of.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConsistencyChoice, consistencyOf } from '../../../crds/leptonjob.ts';
import { type RoleConfig, type RoleConfigInput, roleConfigSchema } from '../../../protos/role-config.ts';
import type { Batch, Dataset } from '../../../worker/data/dataset.ts';
import { freePorts } from '../../../worker/launch/ports.ts';
import { Random } from '../../../worker/random/philox.ts';
import type { GradientCodec } from '../../../worker/roles/gradient-codec.ts';
import type { Log } from '../../../worker/roles/log.ts';
import { runServer } from '../../../worker/roles/run-server.ts';
import { Trainer } from '../../../worker/roles/trainer.ts';
import type { Workload } from '../../../worker/roles/workload.ts';
import { plainEngine } from './plain-engine.ts';

export const WIDTH = 3 * 4096;
const SAMPLES = 100;

export interface SmallJob {
  readonly workers: number;
  readonly servers: number;
  readonly batchSize: number;
  readonly epochs: number;
  readonly everySteps?: number;
  readonly clipNorm?: number;
  /** Parameters of the kernel; default WIDTH. */
  readonly width?: number;
  /** With momentum, it takes the place of the optimizer's. */
  readonly gradientCodec?: GradientCodec;
  readonly consistency?: ConsistencyChoice;
  readonly testing?: RoleConfigInput['testing'];
  /** Processes that see nobody's memory, such as `worker 1`. */
  readonly elsewhere?: readonly string[];
  /** Where the others find the server that listens at a port; default: there. */
  readonly way?: (port: number) => number;
  readonly directory: string;
  readonly run?: string;
  readonly resume?: boolean;
  /** Folder of what servers leave for their next processes. */
  readonly kept?: string;
}

export async function temporaryFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'lepton-test-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Runs to the end; gives every line that was logged. */
export async function runSmallJob(job: SmallJob): Promise<string[]> {
  const lines: string[] = [];
  const log: Log = (_, message, fields) => lines.push(`${message} ${JSON.stringify(fields ?? {})}`);
  const configs = await configsOf(job);
  const servers = configs
    .filter(({ role }) => role === 'server')
    .map((config) => runServer(config, plainEngine, log));
  const trainers = configs
    .filter(({ role }) => role === 'worker')
    .map((config) => new Trainer(config, workloadOf(job), log).run());
  await Promise.all([...servers, ...trainers]);
  return lines;
}

export async function configsOf(job: SmallJob): Promise<RoleConfig[]> {
  const ports = await freePorts(job.servers);
  const common = {
    job: { name: 'small', run: job.run ?? 'aaaa' },
    attempt: 0,
    workers: job.workers,
    security: { kind: 'token' as const, token: 'a token of sixteen or more' },
    spec: {
      model: { layers: [{ dense: { units: 1 } }] },
      data: { train: { format: 'npy' as const, uri: '/nowhere' } },
      training: {
        loss: 'meanSquaredError' as const,
        optimizer: { sgd: {} },
        batchSize: job.batchSize,
        epochs: job.epochs,
        ...(job.clipNorm === undefined ? {} : { clipNorm: job.clipNorm }),
      },
      worker: { replicas: job.workers },
      parameterServer: { replicas: job.servers },
      ...(job.consistency ? { exchange: { consistency: job.consistency } } : {}),
      checkpoint: { everySteps: job.everySteps ?? 1000 },
    },
    seed: 7,
    directory: job.directory,
    checkpointUri: join(job.directory, 'checkpoints'),
    resume: job.resume ?? false,
    deadlines: { lingerSeconds: 0.05 },
    testing: { chunkLength: 4096, ...job.testing },
  };
  const { way = (port) => port } = job;
  const config = (role: 'server' | 'worker', rank: number): RoleConfig =>
    roleConfigSchema.parse({
      ...common,
      servers: ports.map(
        (port, index) => `127.0.0.1:${role === 'server' && index === rank ? port : way(port)}`,
      ),
      role,
      rank,
      ...(job.kept === undefined
        ? {}
        : { snapshotFiles: { shard: join(job.kept, `shard-${rank}`), ledger: join(job.kept, 'ledger') } }),
      testing: { ...common.testing, sharedMemory: !job.elsewhere?.includes(`${role} ${rank}`) },
    });
  return [
    ...ports.map((_, rank) => config('server', rank)),
    ...Array.from({ length: job.workers }, (_, rank) => config('worker', rank)),
  ];
}

export function workloadOf(job: SmallJob): Workload {
  const { batchSize, epochs, clipNorm, width = WIDTH, gradientCodec } = job;
  const engineModel = plainEngine.createModel({
    inputs: [],
    nodes: [],
    outputs: [],
    parameters: [
      { name: 'kernel', shape: [width, 1], trainable: true },
      { name: 'mean', shape: [1], trainable: false },
    ],
  });
  const train = samplesOf(width);
  return {
    engine: plainEngine,
    engineModel,
    train,
    evaluate: train,
    shuffle: true,
    batchSize,
    epochs,
    consistency: consistencyOf(job.consistency ?? {}),
    optimizer: { optimizer: 'sgd', momentum: gradientCodec?.momentum ? 0 : 0.9, nesterov: false },
    ...(gradientCodec ? { gradientCodec } : {}),
    clip: clipNorm === undefined ? {} : { norm: clipNorm },
    metrics: [{ name: 'predicted', total: ([output]) => output!.reduce((sum, value) => sum + value, 0) }],
    learningRate: (step) => 1e-5 / (1 + step),
    initialParameters: () =>
      Float32Array.from({ length: engineModel.layout.length }, (_, at) => Math.sin(at) / 100),
    modelConfig: { format: 'lepton/model', name: 'small' },
    async [Symbol.asyncDispose]() {},
  };
}

const made = new Map<number, Dataset>();

/** Made once for all jobs: to draw millions of numbers takes longer than to train with them. */
function samplesOf(width: number): Dataset {
  const known = made.get(width);
  if (known) return known;
  const dataset = samples(width);
  made.set(width, dataset);
  return dataset;
}

function samples(width: number): Dataset {
  const random = new Random(1, 'samples');
  const x = Float32Array.from({ length: SAMPLES * width }, () => random.normal());
  const y = Float32Array.from({ length: SAMPLES }, () => random.normal());
  return {
    length: SAMPLES,
    inputs: [{ name: 'x', shape: [width], type: 'float32' }],
    targets: [{ name: 'y', shape: [1], type: 'float32' }],
    async read(indices: Uint32Array): Promise<Batch> {
      const inputs = new Float32Array(indices.length * width);
      indices.forEach((index, at) => {
        inputs.set(x.subarray(index * width, (index + 1) * width), at * width);
      });
      return {
        size: indices.length,
        inputs: [inputs],
        targets: [Float32Array.from(indices, (index) => y[index]!)],
      };
    },
    async [Symbol.asyncDispose]() {},
  };
}
