// Model and Sequential: a net with its weights and training settings. Loops, files and tables live beside this file.
import { type ArenaLayout, type EngineModel, engine } from '../../native/engine.ts';
import type { GraphSpec, InputSpec } from '../../native/graph.ts';
import type { Dataset } from '../data/dataset.ts';
import { type CompileConfig, type CompileOptions, lossesOf, metricsOf, parseCompile } from './compile.ts';
import { configOf, type ModelConfig, rebuild } from './config.ts';
import { ModelError } from './errors.ts';
import { evaluateModel, type FitOptions, fitModel, predictModel } from './fit.ts';
import type { History } from './history.ts';
import type { Layer, SymbolicTensor } from './layers/layer.ts';
import { input } from './layers.ts';
import type { Metric } from './metrics.ts';
import { buildNetwork, type Network } from './network.ts';
import { loadModelFiles, saveModelFiles } from './persist.ts';
import { countParameters, renderSummary } from './summary.ts';
import type { Tensor } from './tensor.ts';
import { initialArena, readWeights, writeWeights } from './weights.ts';

export interface ModelInit {
  readonly inputs: SymbolicTensor | readonly SymbolicTensor[];
  readonly outputs: SymbolicTensor | readonly SymbolicTensor[];
  readonly name?: string;
  /** Decides first weights and dropout. Default 0: runs repeat unless you ask otherwise. */
  readonly seed?: number;
}

/** What the loops need beside the engine: resolved from `compile`. */
export interface Compiled {
  readonly config: CompileConfig;
  readonly metrics: readonly Metric[];
}

const listOf = <T>(value: T | readonly T[]): readonly T[] => (Array.isArray(value) ? value : [value as T]);

/**
 * A net with its weights. `new Model({inputs, outputs})` takes tensors made by `input()` and `layer.apply()`.
 * Calls that compute must not overlap: the second throws ENGINE_BUSY.
 */
export class Model {
  readonly name: string;
  readonly seed: number;
  /** Changed by callbacks while training; starts at the optimizer's. */
  learningRate = 0;
  #network: Network | undefined;
  #compiled: Compiled | undefined;
  #compileConfig: CompileConfig | undefined;
  #arena: Float32Array | undefined;
  #session: EngineModel | undefined;

  constructor(init: ModelInit | { readonly name?: string; readonly seed?: number }) {
    this.name = init.name ?? 'model';
    this.seed = init.seed ?? 0;
    if ('inputs' in init) this.#network = buildNetwork(listOf(init.inputs), listOf(init.outputs));
  }

  /** @throws ModelError MODEL_NOT_BUILT while a Sequential does not know its input shape. */
  get network(): Network {
    if (this.#network) return this.#network;
    throw new ModelError(
      'MODEL_NOT_BUILT',
      `model '${this.name}': the input shape is not known yet; call build([{name, shape, type}]) or fit`,
    );
  }

  get built(): boolean {
    return this.#network !== undefined;
  }

  get graph(): GraphSpec {
    return this.network.graph;
  }

  get layout(): ArenaLayout {
    return engine.arenaLayout(this.graph.parameters);
  }

  /** Gives the net its inputs' shapes, once. @throws ModelError LAYER_SHAPE naming the layer; DATA_SHAPE for other shapes later. */
  build(inputs: readonly InputSpec[]): void {
    if (!this.#network) {
      this.#network = this.buildFrom(inputs);
      if (this.#compileConfig) this.#resolve(this.#compileConfig);
      return;
    }
    const known = this.graph.inputs;
    const fits =
      known.length === inputs.length &&
      known.every(({ shape }, i) => shape.join() === inputs[i]?.shape.join());
    if (!fits) {
      const list = (specs: readonly InputSpec[]) =>
        specs.map(({ shape }) => `(${shape.join(', ')})`).join(', ');
      throw new ModelError(
        'DATA_SHAPE',
        `model '${this.name}': expected inputs of shape ${list(known)}, got ${list(inputs)}`,
      );
    }
  }

  protected buildFrom(_inputs: readonly InputSpec[]): Network {
    return this.network;
  }

  /** Sets loss, optimizer and metrics. @throws ModelError TRAINING_INVALID */
  compile(options: CompileOptions): void {
    this.#releaseSession();
    this.#compileConfig = parseCompile(options);
    this.learningRate =
      Object.values(this.#compileConfig.optimizer).find((o) => o !== undefined)?.learningRate ?? 0;
    if (this.#network) this.#resolve(this.#compileConfig);
  }

  #resolve(config: CompileConfig): void {
    this.#compiled = { config, metrics: metricsOf(config, this.network) };
  }

  /** @throws ModelError MODEL_NOT_COMPILED, MODEL_NOT_BUILT */
  get compiled(): Compiled {
    if (this.#compiled && this.network) return this.#compiled;
    if (this.#compileConfig)
      return { config: this.#compileConfig, metrics: metricsOf(this.#compileConfig, this.network) };
    throw new ModelError('MODEL_NOT_COMPILED', `model '${this.name}': call compile({loss, ...}) first`);
  }

  get isCompiled(): boolean {
    return this.#compileConfig !== undefined;
  }

  /** The engine's side of the model, made at first use. Its parameters are the model's weights from then on. */
  get session(): EngineModel {
    if (this.#session) return this.#session;
    const losses = this.#compileConfig ? lossesOf(this.#compileConfig, this.network) : [];
    const session = engine.createModel(this.graph, { losses, seed: this.seed });
    session.parameters.set(this.parameters());
    this.#session = session;
    return session;
  }

  /** The live arena: trainable parameters, then state. */
  parameters(): Float32Array {
    if (this.#session) return this.#session.parameters as Float32Array;
    this.#arena ??= initialArena(this.network, this.layout, this.seed);
    return this.#arena;
  }

  /** The weights that training starts from: loaded or set ones, else first values drawn by `seed`. */
  initialParameters(layout: ArenaLayout, seed: number): Float32Array {
    if (this.#session || this.#arena) return this.parameters().slice();
    return initialArena(this.network, layout, seed);
  }

  getWeights(): Map<string, Tensor> {
    return readWeights(this.parameters(), this.layout);
  }

  /** Sets some or all parameters by name. @throws ModelError DATA_SHAPE */
  setWeights(weights: Iterable<readonly [string, Tensor]>): void {
    writeWeights(this.parameters(), this.layout, weights);
  }

  /** Keras' table of layers, output shapes (without batch) and parameters. */
  summary(): string {
    return renderSummary(this.name, this.network);
  }

  /** Numbers that training changes, and numbers that it keeps as statistics. */
  countParameters(): { trainable: number; state: number } {
    return countParameters(this.network);
  }

  /** Trains in this process. `x` and `y` are tensors (batch first), or `x` is a Dataset and `y` is left out. */
  fit(
    x: Tensor | readonly Tensor[] | Dataset,
    y?: Tensor | readonly Tensor[],
    options: FitOptions = {},
  ): Promise<History> {
    return fitModel(this, x, y, options);
  }

  /** Loss and metrics by name, in inference mode. */
  evaluate(
    x: Tensor | readonly Tensor[] | Dataset,
    y?: Tensor | readonly Tensor[],
    options: { batchSize?: number } = {},
  ): Promise<Record<string, number>> {
    return evaluateModel(this, x, y, options);
  }

  /** The output for every sample (a list for several outputs). */
  predict(
    x: Tensor | readonly Tensor[] | Dataset,
    options: { batchSize?: number } = {},
  ): Promise<Tensor | Tensor[]> {
    return predictModel(this, x, options);
  }

  toJSON(): ModelConfig {
    return configOf(this.name, this.network, this.network.outputRows, this.#compileConfig);
  }

  /** The net of a model.json with first weights by seed. @throws ModelError MODEL_FILE_INVALID */
  static fromJSON(value: unknown, where = 'model.json', seed = 0): Model {
    const { name, inputs, outputs, training } = rebuild(value, where);
    const model = new Model({ name, inputs, outputs, seed });
    if (training) model.#adopt(training);
    return model;
  }

  #adopt(config: CompileConfig): void {
    this.#compileConfig = config;
    this.learningRate = Object.values(config.optimizer).find((o) => o !== undefined)?.learningRate ?? 0;
    this.#resolve(config);
  }

  /** Writes model.json and weights.safetensors into a folder, each whole or not at all. @throws FormatError */
  save(folder: string): Promise<void> {
    return saveModelFiles(folder, this.toJSON(), this.parameters(), this.layout);
  }

  /** Reads what `save` or a finished job wrote. @throws ModelError MODEL_FILE_INVALID, FormatError */
  static async load(folder: string): Promise<Model> {
    const { config, weights } = await loadModelFiles(folder);
    const model = Model.fromJSON(config, `${folder}/model.json`);
    const missing = model.layout.entries.filter(({ name }) => !weights.has(name));
    if (missing.length > 0) {
      throw new ModelError(
        'MODEL_FILE_INVALID',
        `${folder}/weights.safetensors: expected the tensor '${missing[0]?.name}', got none`,
      );
    }
    model.setWeights(weights);
    return model;
  }

  /** Frees the engine's memory; the weights stay. */
  dispose(): void {
    this.#releaseSession();
  }

  #releaseSession(): void {
    if (!this.#session) return;
    this.#arena = (this.#session.parameters as Float32Array).slice();
    this.#session.dispose();
    this.#session = undefined;
  }
}

/** Layers in a row. Without an input shape it learns it from the data, at the first `build`, `fit` or job. */
export class Sequential extends Model {
  readonly #layers: Layer[];

  constructor(layers: readonly Layer[] = [], options: { name?: string; seed?: number } = {}) {
    super({ name: 'sequential', ...options });
    this.#layers = [...layers];
  }

  /** Appends a layer. @throws ModelError LAYER_INVALID once the net is built. */
  add(layer: Layer): void {
    if (this.built)
      throw new ModelError(
        'LAYER_INVALID',
        `model '${this.name}': add layers before the model is built or trained`,
      );
    this.#layers.push(layer);
  }

  protected override buildFrom(inputs: readonly InputSpec[]): Network {
    const [first] = inputs;
    if (inputs.length !== 1 || !first) {
      throw new ModelError(
        'DATA_SHAPE',
        `model '${this.name}': expected one input, got ${inputs.length}; build a Model from tensors instead`,
      );
    }
    if (this.#layers.length === 0)
      throw new ModelError('LAYER_INVALID', `model '${this.name}': expected at least one layer, got none`);
    const start = input(first);
    const end = this.#layers.reduce<SymbolicTensor>((tensor, layer) => layer.apply(tensor), start);
    return buildNetwork([start], [end]);
  }
}
