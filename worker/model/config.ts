// model.json: a net as layers and graph, with its training settings. Plain data in and out; no files.
import { z } from 'zod';
import type { GraphSpec, InputSpec } from '../../native/graph.ts';
import { type CompileConfig, parseCompile } from './compile.ts';
import { ModelError } from './errors.ts';
import type { AnyKind, Layer, SymbolicTensor } from './layers/layer.ts';
import { input, makeLayer } from './layers.ts';
import type { Network } from './network.ts';

const FORMAT = 'lepton/model';
const FORMAT_VERSION = 1;

export interface LayerConfig {
  readonly kind: string;
  readonly name: string;
  /** The layer that owns the parameters, where this is another use of it. */
  readonly shares?: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly inputs: readonly string[];
}

export interface ModelConfig {
  readonly format: typeof FORMAT;
  readonly version: typeof FORMAT_VERSION;
  readonly name: string;
  readonly inputs: readonly InputSpec[];
  readonly layers: readonly LayerConfig[];
  readonly outputs: readonly string[];
  /** What the engine runs: readers in other languages need nothing else. */
  readonly graph: GraphSpec;
  readonly training?: CompileConfig;
}

export function configOf(
  name: string,
  network: Network,
  outputs: readonly string[],
  training?: CompileConfig,
): ModelConfig {
  const owners = new Map<Layer, string>();
  const layers = network.rows.map(({ name: row, layer, inputs }): LayerConfig => {
    const shares = owners.get(layer);
    if (shares === undefined) owners.set(layer, row);
    return {
      kind: layer.kind,
      name: row,
      ...(shares === undefined ? {} : { shares }),
      options: layer.options,
      inputs,
    };
  });
  const base = {
    format: FORMAT,
    version: FORMAT_VERSION,
    name,
    inputs: network.graph.inputs,
    layers,
    outputs,
    graph: network.graph,
  };
  return training ? ({ ...base, training } as ModelConfig) : (base as ModelConfig);
}

const text = z.string().min(1).max(1024);
const configSchema = z.object({
  format: z.literal(FORMAT),
  version: z.literal(FORMAT_VERSION),
  name: text,
  inputs: z
    .array(
      z.object({ name: text, shape: z.array(z.int().min(1)).max(8), type: z.enum(['float32', 'int32']) }),
    )
    .min(1)
    .max(64),
  layers: z
    .array(
      z.object({
        kind: text,
        name: text,
        shares: text.optional(),
        options: z.record(z.string(), z.unknown()),
        inputs: z.array(text).min(1).max(64),
      }),
    )
    .min(1)
    .max(10_000),
  outputs: z.array(text).min(1).max(64),
  training: z.looseObject({}).optional(),
});

export interface Rebuilt {
  readonly name: string;
  readonly inputs: readonly SymbolicTensor[];
  readonly outputs: readonly SymbolicTensor[];
  readonly training?: CompileConfig;
}

/** The net of a model.json, built anew from its layers. @throws ModelError MODEL_FILE_INVALID naming `where` and the field. */
export function rebuild(value: unknown, where: string): Rebuilt {
  const bad = (message: string): never => {
    throw new ModelError('MODEL_FILE_INVALID', `${where}: not a saved model: ${message}`);
  };
  const parsed = configSchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0] as z.core.$ZodIssue;
    return bad(`${issue.path.join('.') || 'content'}: ${issue.message}`);
  }
  const { name, inputs, layers, outputs, training } = parsed.data;
  const tensors = new Map<string, SymbolicTensor>(inputs.map((spec) => [spec.name, input(spec)]));
  const starts = [...tensors.values()];
  const made = new Map<string, Layer>();
  const find = (tensor: string) => tensors.get(tensor) ?? bad(`'${tensor}' is read but not defined`);
  for (const config of layers) {
    const owner = config.shares ?? config.name;
    const layer = made.get(owner) ?? makeLayer(config.kind as AnyKind, { ...config.options, name: owner });
    made.set(owner, layer);
    tensors.set(config.name, layer.apply(...config.inputs.map(find)));
  }
  const rebuilt = { name, inputs: starts, outputs: outputs.map(find) };
  return training
    ? { ...rebuilt, training: parseTraining(training as unknown as CompileConfig, bad) }
    : rebuilt;
}

function parseTraining(
  { optimizer, losses, metrics, schedule, clip }: CompileConfig,
  bad: (message: string) => never,
): CompileConfig {
  try {
    return parseCompile({
      optimizer,
      loss: losses,
      metrics,
      ...(schedule ? { schedule } : {}),
      ...(clip?.norm === undefined ? {} : { clipNorm: clip.norm }),
      ...(clip?.value === undefined ? {} : { clipValue: clip.value }),
    });
  } catch (error) {
    return bad(`training: ${(error as Error).message}`);
  }
}
