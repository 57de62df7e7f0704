// The TypeScript face of the native engine: checks arguments, types every call. No model logic.
import type { GraphSpec, LossSpec, Shape } from './graph.ts';
import { loadAddon } from './load.ts';

export type DeviceName = 'cpu' | 'reference';
export type Arena = Float32Array | Float64Array; // Float64Array on the reference device

/** Where one parameter lies in the arenas, counted in elements. Offsets are multiples of 16 elements (64 bytes). */
export interface ArenaEntry {
  readonly name: string;
  readonly shape: Shape;
  readonly trainable: boolean;
  readonly offset: number;
  readonly length: number;
}

/**
 * Order of the arena: trainable parameters in the order of the graph, then the state (trainable: false).
 * `trainableLength` is the first element of the state region, `length` the whole arena, padding included.
 */
export interface ArenaLayout {
  readonly entries: readonly ArenaEntry[];
  readonly trainableLength: number;
  readonly length: number;
}

export interface ModelOptions {
  readonly device?: DeviceName; // default cpu
  readonly losses?: readonly LossSpec[]; // without: predict only
  readonly seed?: number; // of dropout; default 0
  readonly rank?: number; // of this worker; part of the dropout counter; default 0
  readonly threads?: number; // OpenMP threads of the engine; default 1
  readonly profile?: boolean; // measure where each step's time goes; default false
}

/** One array per graph input (row-major, batch first), then one per loss. */
export type Feed = readonly (Float32Array | Int32Array | Float64Array)[];

export interface StepOptions {
  readonly batchSize: number;
  /** Global step: keys the dropout masks, so a repeated step gives the same bits. */
  readonly step: number;
  /**
   * Called on the JavaScript thread while backward runs, with falling `from`: gradients in [from, trainableLength)
   * are final. Called with 0 at the latest before the promise resolves.
   */
  readonly onGradients?: (from: number) => void;
}

export interface StepResult {
  readonly loss: number; // weighted sum of the losses
  readonly losses: readonly number[];
  /** Views of engine memory, one per graph output, valid until the next call on this model. */
  readonly outputs: readonly (Float32Array | Float64Array)[];
}

/**
 * A net with its arenas. Plans are compiled once per (batch size, mode) and kept. All methods that compute run on the
 * engine's own thread; a second call while one is running throws ENGINE_BUSY, any call after dispose ENGINE_DISPOSED.
 */
export interface EngineModel {
  readonly layout: ArenaLayout;
  readonly outputShapes: readonly Shape[]; // without batch
  /** Live: write new parameters here between steps. */
  readonly parameters: Arena;
  /** d loss / d parameter; its state region holds the new value of each state entry after a training step. */
  readonly gradients: Arena;
  trainStep(inputs: Feed, targets: Feed, options: StepOptions): Promise<StepResult>;
  /** Forward in inference mode with the losses. */
  evaluateStep(inputs: Feed, targets: Feed, options: { batchSize: number }): Promise<StepResult>;
  predictStep(inputs: Feed, options: { batchSize: number }): Promise<{ outputs: StepResult['outputs'] }>;
  /**
   * From the next call on parameters are read and gradients written there; both of at least `layout.length` floats. The fields
   * `parameters` and `gradients` are theirs from then on. Not on the reference device.
   */
  bind(parameters: Memory, gradients: Memory): void;
  /** Of the last step, where `profile` was asked for. */
  profile(): Profile;
  /** Frees the engine's side; views of its memory stay good. */
  dispose(): void;
}

/** Nanoseconds of one step by where they were spent. */
export interface Profile {
  readonly library: number; // oneDNN's primitives
  readonly own: number; // our kernels
  readonly reorder: number; // changes of memory layout
}

/** Optimizer with every number resolved; formulas are Keras 3's (see docs of each). `learningRate` comes with each update. */
export type OptimizerSpec =
  | { readonly optimizer: 'sgd'; readonly momentum: number; readonly nesterov: boolean }
  | { readonly optimizer: 'adam'; readonly beta1: number; readonly beta2: number; readonly epsilon: number }
  | {
      readonly optimizer: 'adamW';
      readonly beta1: number;
      readonly beta2: number;
      readonly epsilon: number;
      readonly weightDecay: number;
    }
  | {
      readonly optimizer: 'rmsprop';
      readonly rho: number;
      readonly momentum: number;
      readonly epsilon: number;
    };

export interface UpdateOptions {
  readonly learningRate: number;
  /** Counts updates from 1: the bias correction of Adam. */
  readonly iteration: number;
  /** Gradients are multiplied by this first (1/N of the sum over workers, and the factor of clip-by-norm). Default 1. */
  readonly scale?: number;
  /** After scaling, each gradient is clamped to [-clipValue, clipValue]. */
  readonly clipValue?: number;
}

/**
 * Optimizer state over a flat range of `length` elements, updated in one fused pass (in place, 64-bit index safe).
 * Synchronous: a call on 1 MiB takes well under a millisecond.
 */
export interface Optimizer {
  /** momentum | m, v | ... : live, for checkpoints. Where two versions are kept, of even ones. */
  readonly slots: Readonly<Record<string, Float32Array>>;
  /** Of odd versions: the same as `slots` where only the newest is kept. */
  readonly oddSlots: Readonly<Record<string, Float32Array>>;
  /** parameters[from..to) with gradients[from..to) and the slots' same range. Throws ENGINE_ARGUMENT where two versions are kept. */
  update(
    parameters: Float32Array,
    gradients: Float32Array,
    from: number,
    to: number,
    options: UpdateOptions,
  ): void;
  /**
   * One pass from contributions to parameters, for ranges that do not overlap. The bits of `accumulate` for each part and one `update`, on
   * however many threads. Gives the index of the first range whose sum is infinite or not a number somewhere, or -1: `next` and the slots
   * are of no use any more then. Where two versions are kept, the slots of version `iteration` are made of those of the version before,
   * which stay as they are.
   */
  advance(next: Float32Array, previous: Float32Array, ranges: readonly Advance[]): number;
}

/** next[from..to) = previous[from..to), of which `next` may be the same memory, updated with `sum` + all parts in their order. */
export interface Advance {
  /** At the places of the parameters; undefined: from zero. */
  readonly sum?: Float32Array | undefined;
  readonly parts: readonly WeightedPart[];
  readonly from: number;
  readonly to: number;
  readonly options: UpdateOptions;
}

/** One worker's part of a sum: `data` holds [from, to), as little-endian floats at any alignment or in a codec. Throws ENGINE_WIRE as `decode`. */
export interface WeightedPart {
  readonly data: Uint8Array;
  readonly weight: number;
  readonly codec?: CodecName | undefined;
}

/** Floats of the engine that are not the JavaScript heap's: zero at first, at the border of a page. */
export interface Memory {
  readonly values: Float32Array;
}

/** Where another process of this host finds a segment. */
export interface SegmentAddress {
  readonly process: number;
  readonly descriptor: number;
  /** Proves that what is found there is what was meant. */
  readonly key: string;
}

/** Memory that others on this host may read. It has no name: the kernel frees it with its last user, however that ends. */
export interface Segment extends Memory {
  readonly address: SegmentAddress;
}

/** Memory in which ranges of segments can be seen without a copy. */
export interface PagedArena extends Memory {
  /**
   * Elements [at, at + length) are from now on those of the segment from `from` on, read-only: writing there ends the process.
   * `at` and `from` are multiples of a page, 1,024 elements; the rest of the last page is the segment's as well.
   */
  lay(at: number, segment: Segment, from: number, length: number): void;
}

/** Where an optimizer keeps two versions of its slots: from element `at` on, each slot `stride` elements after the one before. */
export interface OptimizerPlace {
  readonly memory: Memory;
  readonly at: number;
  readonly stride: number;
}

export interface OptimizerOptions {
  /** Keeps the slots of two versions there, as they are; at a multiple of 16 elements. */
  readonly place?: OptimizerPlace | undefined;
  /** That share the ranges of an `advance`, the caller's among them. Default 1. */
  readonly threads?: number;
}

export type CodecName = 'bfloat16' | 'int8' | 'oneBit' | 'topK';

export interface CodecSpec {
  readonly codec: CodecName;
  /** Momentum correction. The encoder keeps a velocity, which takes the place of the optimizer's momentum. Default 0: none. */
  readonly momentum?: number;
}

/**
 * Encodes the gradients of one sender and keeps what was not sent yet: sum of decoded = sum of encoded - residual, to rounding.
 * Synchronous, as an optimizer is.
 */
export interface Encoder {
  /** Live; bfloat16 has none, as its error is at most 2^-9 of each value. */
  readonly residual?: Float32Array;
  /** Live; of momentum correction. */
  readonly velocity?: Float32Array;
  /** The velocity, and gradients[from..to) with it, become momentum * factor * velocity + gradients; without momentum they stay. */
  accelerate(gradients: Float32Array, from: number, to: number, factor?: number): void;
  /**
   * gradients[from..to) + factor * residual into the beginning of `wire`, which has room for `encodedBytes`; gives the bytes written.
   * `ratio` (topK): share of the values that is sent. Throws ENGINE_NOT_FINITE; the residual of the range is of no use then.
   */
  encode(
    gradients: Float32Array,
    from: number,
    to: number,
    wire: Uint8Array,
    ratio?: number,
    factor?: number,
  ): number;
  /** gradients[from..to) + factor * residual as floats; the range has no residual then. */
  flush(gradients: Float32Array, from: number, to: number, wire: Uint8Array, factor?: number): void;
}

export interface Engine {
  createEncoder(spec: CodecSpec, length: number): Encoder;
  /** Room that `count` encoded values need: at most for topK, exactly for the others. */
  encodedBytes(codec: CodecName, count: number, ratio?: number): number;
  /**
   * Encodes values - view of [from, to), where `view` is what all receivers have, and writes what they will have: nextView = view + decoded,
   * in their bits (`nextView` may be `view`). So what a codec loses is in the next difference. Throws ENGINE_NOT_FINITE, as `encode` does.
   */
  encodeDifference(
    codec: CodecName,
    values: Float32Array,
    view: Float32Array,
    nextView: Float32Array,
    from: number,
    to: number,
    wire: Uint8Array,
    ratio?: number,
  ): number;
  /** Whether the bytes can be `count` encoded values: their length, and numbers that are finite. */
  isEncoded(codec: CodecName, wire: Uint8Array, count: number): boolean;
  /** target[at..at+count) = the decoded values. Throws ENGINE_WIRE, having written nothing, when the bytes cannot be theirs. */
  decode(codec: CodecName, wire: Uint8Array, target: Float32Array, at: number, count: number): void;
  /** sum[at..at+count) += weight * the decoded values. Throws ENGINE_WIRE as `decode` does. */
  decodeAccumulate(
    codec: CodecName,
    wire: Uint8Array,
    sum: Float32Array,
    at: number,
    count: number,
    weight: number,
  ): void;
  createModel(graph: GraphSpec, options?: ModelOptions): EngineModel;
  createOptimizer(spec: OptimizerSpec, length: number, options?: OptimizerOptions): Optimizer;
  /** Throws ENGINE_MEMORY, as the others of memory do. */
  createArena(length: number): PagedArena;
  createSegment(length: number): Segment;
  /**
   * Memory in the file at `path`, which outlives this process where somebody else holds the file: it is found again as it was by whoever
   * asks for the same length. With another length it begins anew, as zeros.
   */
  keepSegment(path: string, length: number): Segment;
  /** Descriptor of memory without a name, for other processes to keep a segment in. To be closed by the caller. */
  createMemory(): number;
  /** Another process's, for reading. Throws ENGINE_ARGUMENT unless the address leads to a segment of this length and key. */
  openSegment(address: SegmentAddress, length: number): Segment;
  /** Processes with equal ones find each other's segments; empty where there is no shared memory. */
  readonly hostIdentity: string;
  /** sum[at..at+n) += weight * values, where `values` is n little-endian floats at any alignment (a received chunk). */
  accumulate(sum: Float32Array, at: number, values: Uint8Array, weight: number): void;
  /** Sum of squares of values[from..to) in float64, in blocks of 4096 elements counted from `from`. */
  sumOfSquares(values: Float32Array, from: number, to: number): number;
  /** Whether no value is infinite or not a number; little-endian floats at any alignment. */
  allFinite(values: Uint8Array): boolean;
  /** Layout of the arena without compiling anything: what a parameter server needs to know. */
  arenaLayout(parameters: GraphSpec['parameters']): ArenaLayout;
  /** Of the engine, its maths library (`oneDNN 3.2.0`), and the instruction set that the library found on this machine. */
  readonly versions: { readonly engine: string; readonly library: string; readonly isa: string };
}

/** How the addon's classes look from here. Modes: 0 train, 1 evaluate, 2 predict. */
interface Addon {
  readonly Model: new (graph: GraphSpec, options: ModelOptions) => NativeModel;
  readonly Optimizer: new (spec: OptimizerSpec, length: number, options?: OptimizerOptions) => Optimizer;
  readonly Memory: new (
    kind: 'share' | 'open' | 'keep' | 'arena',
    length: number,
    address?: SegmentAddress | string,
  ) => Segment & PagedArena;
  readonly hostIdentity: string;
  readonly createMemory: Engine['createMemory'];
  readonly Encoder: new (spec: CodecSpec, length: number) => Encoder;
  readonly encodedBytes: Engine['encodedBytes'];
  readonly encodeDifference: Engine['encodeDifference'];
  readonly isEncoded: Engine['isEncoded'];
  readonly decode: Engine['decode'];
  readonly decodeAccumulate: Engine['decodeAccumulate'];
  readonly accumulate: Engine['accumulate'];
  readonly sumOfSquares: Engine['sumOfSquares'];
  readonly allFinite: Engine['allFinite'];
  readonly arenaLayout: Engine['arenaLayout'];
  readonly versions: Engine['versions'];
  /** Waits for what is computed; nothing is computed any more. */
  readonly stop: () => void;
}

interface NativeModel {
  readonly layout: ArenaLayout;
  readonly outputShapes: readonly Shape[];
  readonly parameters: Arena;
  readonly gradients: Arena;
  run(
    mode: 0 | 1 | 2,
    inputs: Feed,
    targets: Feed,
    batchSize: number,
    step: number,
    onGradients?: (from: number) => void,
  ): Promise<StepResult>;
  bind(parameters: Memory, gradients: Memory): void;
  profile(): Profile;
  dispose(): void;
}

const addon = loadAddon() as Addon;
// `process.exit` during a step: libraries must not be torn down under a thread that computes.
process.once('exit', () => addon.stop());

class BoundModel implements EngineModel {
  readonly #native: NativeModel;
  readonly layout: ArenaLayout;
  readonly outputShapes: readonly Shape[];
  #parameters: Arena;
  #gradients: Arena;

  constructor(graph: GraphSpec, options: ModelOptions) {
    this.#native = new addon.Model(graph, options);
    ({
      layout: this.layout,
      outputShapes: this.outputShapes,
      parameters: this.#parameters,
      gradients: this.#gradients,
    } = this.#native);
  }

  get parameters(): Arena {
    return this.#parameters;
  }

  get gradients(): Arena {
    return this.#gradients;
  }

  bind(parameters: Memory, gradients: Memory): void {
    this.#native.bind(parameters, gradients);
    this.#parameters = parameters.values;
    this.#gradients = gradients.values;
  }

  async trainStep(
    inputs: Feed,
    targets: Feed,
    { batchSize, step, onGradients }: StepOptions,
  ): Promise<StepResult> {
    if (!onGradients) return this.#native.run(0, inputs, targets, batchSize, step);
    // An exception must not pass through C++: it is kept and thrown to the caller of the step.
    let failure: { error: unknown } | undefined;
    const result = await this.#native.run(0, inputs, targets, batchSize, step, (from) => {
      try {
        if (!failure) onGradients(from);
      } catch (error) {
        failure = { error };
      }
    });
    if (failure) throw failure.error;
    return result;
  }

  async evaluateStep(inputs: Feed, targets: Feed, { batchSize }: { batchSize: number }): Promise<StepResult> {
    return this.#native.run(1, inputs, targets, batchSize, 0);
  }

  async predictStep(
    inputs: Feed,
    { batchSize }: { batchSize: number },
  ): Promise<{ outputs: StepResult['outputs'] }> {
    return this.#native.run(2, inputs, [], batchSize, 0);
  }

  profile(): Profile {
    return this.#native.profile();
  }

  dispose(): void {
    this.#native.dispose();
  }
}

/** The one engine of this JavaScript environment. */
export const engine: Engine = {
  createModel: (graph, options = {}) => new BoundModel(graph, options),
  createOptimizer: (spec, length, options) => new addon.Optimizer(spec, length, options),
  createArena: (length) => new addon.Memory('arena', length),
  createSegment: (length) => new addon.Memory('share', length),
  openSegment: (address, length) => new addon.Memory('open', length, address),
  keepSegment: (path, length) => new addon.Memory('keep', length, path),
  createMemory: addon.createMemory,
  hostIdentity: addon.hostIdentity,
  createEncoder: (spec, length) => new addon.Encoder(spec, length),
  encodedBytes: addon.encodedBytes,
  encodeDifference: addon.encodeDifference,
  isEncoded: addon.isEncoded,
  decode: addon.decode,
  decodeAccumulate: addon.decodeAccumulate,
  accumulate: addon.accumulate,
  sumOfSquares: addon.sumOfSquares,
  allFinite: addon.allFinite,
  arenaLayout: addon.arenaLayout,
  versions: addon.versions,
};
