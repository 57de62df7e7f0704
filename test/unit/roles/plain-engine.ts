// A whole engine in a few lines, for tests that are about processes and messages: stochastic gradient descent on a linear model.
import type {
  Advance,
  ArenaLayout,
  Engine,
  EngineModel,
  Feed,
  Memory,
  Optimizer,
  OptimizerPlace,
  OptimizerSpec,
  Profile,
  StepOptions,
  StepResult,
  UpdateOptions,
} from '../../../native/engine.ts';
import { engine } from '../../../native/engine.ts';
import type { GraphSpec } from '../../../native/graph.ts';

const NORM_BLOCK = 4096;
const NO_PROFILE: Profile = { library: 0, own: 0, reorder: 0 };

function arenaLayout(parameters: GraphSpec['parameters']): ArenaLayout {
  let offset = 0;
  let trainableLength = 0;
  const entries = [...parameters]
    .sort((a, b) => Number(b.trainable) - Number(a.trainable))
    .map(({ name, shape, trainable }) => {
      const length = shape.reduce((product, size) => product * size, 1);
      const entry = { name, shape, trainable, offset, length };
      offset += Math.ceil(length / 16) * 16;
      if (trainable) trainableLength = offset;
      return entry;
    });
  return { entries, trainableLength, length: offset };
}

/** prediction = sum of x_i w_i; loss = mean squared error; one entry of state: the mean of the targets. */
class LinearModel implements EngineModel {
  readonly layout: ArenaLayout;
  readonly outputShapes = [[1]];
  parameters: Float32Array;
  gradients: Float32Array;

  constructor(graph: GraphSpec) {
    this.layout = arenaLayout(graph.parameters);
    this.parameters = new Float32Array(this.layout.length);
    this.gradients = new Float32Array(this.layout.length);
  }

  async trainStep([x]: Feed, [y]: Feed, { batchSize, onGradients }: StepOptions): Promise<StepResult> {
    const width = this.layout.entries[0]!.length;
    const { outputs, loss } = this.#forward(x!, y!, batchSize);
    this.gradients.fill(0);
    for (let sample = 0; sample < batchSize; sample++) {
      const error = (2 * (outputs[sample]! - y![sample]!)) / batchSize;
      for (let at = 0; at < width; at++)
        this.gradients[at] = this.gradients[at]! + error * x![sample * width + at]!;
    }
    const state = this.layout.trainableLength;
    for (let sample = 0; sample < batchSize; sample++)
      this.gradients[state] = this.gradients[state]! + y![sample]! / batchSize;
    await new Promise((resolve) => setImmediate(resolve));
    onGradients?.(Math.floor(width / 2 / 16) * 16);
    await new Promise((resolve) => setImmediate(resolve));
    onGradients?.(0);
    return { loss, losses: [loss], outputs: [outputs] };
  }

  async evaluateStep([x]: Feed, [y]: Feed, { batchSize }: { batchSize: number }): Promise<StepResult> {
    const { outputs, loss } = this.#forward(x!, y!, batchSize);
    return { loss, losses: [loss], outputs: [outputs] };
  }

  async predictStep(): Promise<{ outputs: StepResult['outputs'] }> {
    return { outputs: [] };
  }

  bind(parameters: Memory, gradients: Memory): void {
    this.parameters = parameters.values;
    this.gradients = gradients.values;
  }

  profile(): Profile {
    return NO_PROFILE;
  }

  dispose(): void {}

  #forward(x: Feed[number], y: Feed[number], batchSize: number): { outputs: Float32Array; loss: number } {
    const width = this.layout.entries[0]!.length;
    const outputs = new Float32Array(batchSize);
    let loss = 0;
    for (let sample = 0; sample < batchSize; sample++) {
      let sum = 0;
      for (let at = 0; at < width; at++) sum += x[sample * width + at]! * this.parameters[at]!;
      outputs[sample] = sum;
      loss += (sum - y[sample]!) ** 2 / batchSize;
    }
    return { outputs, loss };
  }
}

class Momentum implements Optimizer {
  readonly slots: { readonly momentum: Float32Array };
  readonly oddSlots: { readonly momentum: Float32Array };

  readonly #momentum: number;
  readonly #nesterov: boolean;

  constructor(spec: OptimizerSpec, length: number, place: OptimizerPlace | undefined) {
    const { momentum, nesterov } = spec.optimizer === 'sgd' ? spec : { momentum: 0, nesterov: false };
    const kept = (version: number): Float32Array => {
      const { memory, at, stride } = place!;
      return memory.values.subarray(at + version * stride, at + version * stride + length);
    };
    this.slots = { momentum: place ? kept(0) : new Float32Array(length) };
    this.oddSlots = place ? { momentum: kept(1) } : this.slots;
    this.#momentum = momentum;
    this.#nesterov = nesterov;
  }

  update(
    parameters: Float32Array,
    gradients: Float32Array,
    from: number,
    to: number,
    { learningRate, scale = 1, clipValue = Number.POSITIVE_INFINITY }: UpdateOptions,
    { momentum }: Momentum['slots'] = this.slots,
  ): void {
    for (let at = from; at < to; at++) {
      const gradient = Math.max(-clipValue, Math.min(clipValue, gradients[at]! * scale));
      momentum[at] = this.#momentum * momentum[at]! - learningRate * gradient;
      const ahead = this.#momentum * momentum[at]! - learningRate * gradient;
      parameters[at] = parameters[at]! + (this.#nesterov ? ahead : momentum[at]!);
    }
  }

  advance(next: Float32Array, previous: Float32Array, ranges: readonly Advance[]): number {
    return ranges.findIndex((range) => !this.#advance(next, previous, range));
  }

  #advance(next: Float32Array, previous: Float32Array, { sum, parts, from, to, options }: Advance): boolean {
    const gradients = new Float32Array(to);
    if (sum) gradients.set(sum.subarray(from, to), from);
    for (const { data, weight, codec } of parts)
      if (codec) decodeAccumulate(codec, data, gradients, from, to - from, weight);
      else accumulate(gradients, from, data, weight);
    if (!gradients.every(Number.isFinite)) return false;
    next.set(previous.subarray(from, to), from);
    const [made, before] =
      options.iteration % 2 === 0 ? [this.slots, this.oddSlots] : [this.oddSlots, this.slots];
    made.momentum.set(before.momentum.subarray(from, to), from);
    this.update(next, gradients, from, to, options, made);
    return true;
  }
}

function accumulate(sum: Float32Array, at: number, values: Uint8Array, weight: number): void {
  const copy = new Float32Array(Uint8Array.from(values).buffer); // Buffer.slice would not copy
  for (let i = 0; i < copy.length; i++) sum[at + i] = sum[at + i]! + weight * copy[i]!;
}

/** Segments, arenas and codecs are the engine's own: what they are worth is tested elsewhere. */
const { createArena, createSegment, openSegment, keepSegment, createMemory, hostIdentity } = engine;
const { createEncoder, encodedBytes, encodeDifference, isEncoded, decode, decodeAccumulate } = engine;

export const plainEngine: Engine = {
  createModel: (graph) => new LinearModel(graph),
  createOptimizer: (spec, length, options) => new Momentum(spec, length, options?.place),
  createArena,
  createSegment,
  openSegment,
  keepSegment,
  createMemory,
  hostIdentity,
  createEncoder,
  encodedBytes,
  encodeDifference,
  isEncoded,
  decode,
  decodeAccumulate,
  accumulate,
  allFinite: (values) => {
    const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
    for (let at = 0; at < values.byteLength; at += 4)
      if (!Number.isFinite(view.getFloat32(at, true))) return false;
    return true;
  },
  sumOfSquares: (values, from, to) => {
    let total = 0;
    for (let block = from; block < to; block += NORM_BLOCK) {
      let sum = 0;
      for (let at = block; at < Math.min(block + NORM_BLOCK, to); at++) sum += values[at]! ** 2;
      total += sum;
    }
    return total;
  },
  arenaLayout,
  versions: { engine: 'plain', library: '', isa: '' },
};
