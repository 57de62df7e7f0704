// The TypeScript face of the native engine: loads the addon, checks arguments, types every call. No model logic.
import type { GraphSpec, LossSpec, Shape } from './graph.ts';

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
  readonly parameters: Arena; // live: write new parameters here between steps
  /** d loss / d parameter; its state region holds the new value of each state entry after a training step. */
  readonly gradients: Arena;
  trainStep(inputs: Feed, targets: Feed, options: StepOptions): Promise<StepResult>;
  /** Forward in inference mode with the losses. */
  evaluateStep(inputs: Feed, targets: Feed, options: { batchSize: number }): Promise<StepResult>;
  predictStep(inputs: Feed, options: { batchSize: number }): Promise<{ outputs: StepResult['outputs'] }>;
  dispose(): void;
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
  | { readonly optimizer: 'rmsprop'; readonly rho: number; readonly momentum: number; readonly epsilon: number };

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
  readonly slots: Readonly<Record<string, Float32Array>>; // momentum | m, v | ... : live, for checkpoints
  /** parameters[from..to) with gradients[from..to) and the slots' same range. */
  update(parameters: Float32Array, gradients: Float32Array, from: number, to: number, options: UpdateOptions): void;
}

export interface Engine {
  createModel(graph: GraphSpec, options?: ModelOptions): EngineModel;
  createOptimizer(spec: OptimizerSpec, length: number): Optimizer;
  /** sum[at..at+n) += weight * values, where `values` is n little-endian floats at any alignment (a received chunk). */
  accumulate(sum: Float32Array, at: number, values: Uint8Array, weight: number): void;
  /** Sum of squares of values[from..to) in float64, in blocks of 4096 elements counted from `from`. */
  sumOfSquares(values: Float32Array, from: number, to: number): number;
  /** Layout of the arena without compiling anything: what a parameter server needs to know. */
  arenaLayout(parameters: GraphSpec['parameters']): ArenaLayout;
  readonly versions: { readonly engine: string; readonly onednn: string; readonly isa: string };
}

// The one instance: `import { engine } from '../native/engine.ts'`. Loading problems name the platform and the commands to try.
