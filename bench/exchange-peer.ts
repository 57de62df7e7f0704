// One process of a job, as worker/main.ts runs it, for the exchange's benchmark: real servers, coordinator, trainers and connections.
// A worker computes one of the benchmark's nets, or nothing at all, and only as many steps as it is told on standard input.
//   node bench/exchange-peer.ts SUBJECT, a subject in JSON: {config, net} or {config, floats}

import { createInterface } from 'node:readline';
import { consistencyOf } from '../crds/leptonjob.ts';
import { type Engine, type EngineModel, engine, type Memory, type StepOptions } from '../native/engine.ts';
import { type RoleConfigInput, roleConfigSchema } from '../protos/role-config.ts';
import type { Batch, Dataset } from '../worker/data/dataset.ts';
import { Random } from '../worker/random/philox.ts';
import { gradientCodecOf } from '../worker/roles/gradient-codec.ts';
import { HostedServer, hostedBy } from '../worker/roles/hosted-server.ts';
import type { Log } from '../worker/roles/log.ts';
import { runServer } from '../worker/roles/run-server.ts';
import { Trainer } from '../worker/roles/trainer.ts';
import type { Workload } from '../worker/roles/workload.ts';
import { compiledNet, NETS, samplesOf } from './nets.ts';

export type Subject = { readonly config: RoleConfigInput } & (
  | { readonly net: string }
  | { readonly floats: number }
);

const SAMPLES = 2048;
const CLASSES = 10;

const say = (answer: object): void => void process.stdout.write(`${JSON.stringify(answer)}\n`);

/** Lets so many steps through, then holds the next one back and answers. */
class Gate {
  #left = 0;
  #startMs = 0;
  #open: PromiseWithResolvers<void> | undefined;
  #asked = false;

  async pass(): Promise<void> {
    if (this.#left === 0) {
      if (this.#asked) say({ seconds: (performance.now() - this.#startMs) / 1000 });
      this.#open = Promise.withResolvers();
      await this.#open.promise;
    }
    this.#left--;
  }

  open(steps: number): void {
    this.#asked = true;
    this.#left = steps;
    this.#startMs = performance.now();
    this.#open?.resolve();
  }
}

/** A model whose gradients are there at once: what is left of a step is the exchange. */
function idleModel(length: number): EngineModel {
  const entry = { name: 'all', shape: [length], trainable: true, offset: 0, length };
  const filled = new WeakSet<Memory>();
  return {
    layout: { entries: [entry], trainableLength: length, length },
    outputShapes: [],
    parameters: new Float32Array(0),
    gradients: new Float32Array(0),
    async trainStep(_, __, { onGradients }: StepOptions) {
      onGradients?.(0);
      return { loss: 0, losses: [0], outputs: [] };
    },
    evaluateStep: () => Promise.reject(new Error('nothing is evaluated')),
    predictStep: () => Promise.reject(new Error('nothing is predicted')),
    bind(_, gradients) {
      if (filled.has(gradients)) return;
      filled.add(gradients);
      const random = new Random(0, 'gradients');
      for (let at = 0; at < length; at++)
        gradients.values[at] = at < 65_536 ? random.normal() : gradients.values[at % 65_536]!;
    },
    profile: () => ({ library: 0, own: 0, reorder: 0 }),
    dispose() {},
  };
}

function gated(model: EngineModel, gate: Gate): EngineModel {
  const trainStep: EngineModel['trainStep'] = async (...step) => {
    await gate.pass();
    return await model.trainStep(...step);
  };
  return new Proxy(model, {
    get(target, key) {
      if (key === 'trainStep') return trainStep;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** The same batch again and again: reading is not what is measured. */
function samples(shape: readonly number[], size: number, x: Float32Array | Int32Array): Dataset {
  const random = new Random(0, 'targets');
  const whole: Batch = {
    size,
    inputs: [x],
    targets: [Int32Array.from({ length: size }, () => random.integer(CLASSES))],
  };
  return {
    length: SAMPLES * size,
    inputs: [{ name: 'x', shape, type: x instanceof Int32Array ? 'int32' : 'float32' }],
    targets: [{ name: 'y', shape: [1], type: 'int32' }],
    read: async () => whole,
    async [Symbol.asyncDispose]() {},
  };
}

function workloadOf(subject: Subject, uses: Engine, gate: Gate): Workload {
  const { gradientCodec } = config.spec.exchange;
  const common = {
    ...(gradientCodec ? { gradientCodec: gradientCodecOf(gradientCodec) } : {}),
    engine: uses,
    shuffle: false,
    epochs: 1,
    stepsPerEpoch: 1_000_000_000,
    consistency: consistencyOf({}),
    optimizer: { optimizer: 'sgd', momentum: 0.9, nesterov: false },
    clip: {},
    metrics: [],
    learningRate: () => 0.001,
    modelConfig: {},
    async [Symbol.asyncDispose]() {},
  } as const;
  if ('floats' in subject) {
    const model = idleModel(subject.floats);
    return {
      ...common,
      engineModel: gated(model, gate),
      train: samples([1], 1, new Float32Array(1)),
      batchSize: 1,
      initialParameters: () => new Float32Array(subject.floats),
    };
  }
  const { model, losses } = compiledNet(subject.net);
  const engineModel = uses.createModel(model.graph, { losses });
  const { batch, shape } = NETS[subject.net]!;
  return {
    ...common,
    engineModel: gated(engineModel, gate),
    train: samples(shape, batch, samplesOf(subject.net, new Random(0, 'samples'))),
    batchSize: batch,
    initialParameters: () => model.initialParameters(engineModel.layout, 0),
  };
}

const subject = JSON.parse(process.argv[2]!) as Subject;
const config = roleConfigSchema.parse(subject.config);
const log: Log = (level, message, fields) => {
  if (level === 'error') console.error(message, fields);
};
const { engine: version, library, isa } = engine.versions;
say({ version: `${version} (${library}, ${isa})` });
if (config.role === 'server') await runServer(config, engine, log);
else {
  const hosted = hostedBy(config);
  if (hosted) new HostedServer(hosted);
  const gate = new Gate();
  createInterface({ input: process.stdin }).on('line', (line) =>
    gate.open((JSON.parse(line) as { steps: number }).steps),
  );
  await new Trainer(config, workloadOf(subject, engine, gate), log).run();
}
