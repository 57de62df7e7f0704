// A layer: a kind with its options, applied to tensors. Says what graph nodes and parameters it becomes; holds no numbers.
import type { z } from 'zod';
import { type InitializerName, type LayerKind, layerSchema } from '../../../crds/layers.ts';
import type { Operation, Padding, Pair, Shape } from '../../../native/graph.ts';
import { formatShape, ModelError } from '../errors.ts';

export interface TensorSpec {
  readonly shape: Shape; // without batch
  readonly type: 'float32' | 'int32';
}

/** One array of a layer; its full name is `<layer>/<name>`. */
export interface ParameterPlan {
  readonly name: string;
  readonly shape: Shape;
  readonly trainable: boolean;
  readonly initializer: InitializerName;
}

/**
 * A node of a layer. Unless it says what it reads, the first reads all of the layer's inputs, each other one the node before it.
 * The last node is the layer's output and carries its name.
 */
export type NodePlan = Operation & {
  /** Its name within the layer, where another node reads it; default: its operation. */
  readonly as?: string;
  /** Inputs of the layer by number, nodes before it by name. */
  readonly reads?: readonly (number | string)[];
  readonly uses?: readonly string[];
};

export interface Lowered {
  readonly shape: Shape;
  readonly parameters: readonly ParameterPlan[];
  readonly nodes: readonly NodePlan[];
}

/** Refuses a layer's input: `[conv2d 'stem'] what: expected ..., got ...`. */
export type Refuse = (what: string, expected: string, got: string) => never;

export type Lower<Options> = (options: Options, inputs: readonly TensorSpec[], refuse: Refuse) => Lowered;

/** Kinds that join several tensors; they exist in nets built as graphs, not in manifests. */
export type MergeKind = 'add' | 'multiply' | 'concatenate';
export type AnyKind = LayerKind | MergeKind;

type Widen<T> = {
  [P in keyof T]: P extends 'kernelSize' | 'strides' | 'poolSize' | 'dilationRate'
    ? T[P] | Pair
    : P extends 'padding'
      ? T[P] | Padding
      : T[P];
};

/** What a user may give: the manifest's fields, and in TypeScript also [height, width] pairs and explicit padding. */
export type LayerOptions<K extends LayerKind> = Widen<NonNullable<z.input<typeof layerSchema>[K]>>;
/** The same with every default filled in. */
export type FullOptions<K extends LayerKind> = Widen<NonNullable<z.output<typeof layerSchema>[K]>>;

const PAIRS = new Set(['kernelSize', 'strides', 'poolSize', 'dilationRate']);

/** Fills in the schema's defaults and checks every option. @throws ModelError LAYER_INVALID naming the option. */
export function completeOptions<K extends LayerKind>(kind: K, options: LayerOptions<K>): FullOptions<K> {
  const plain: Record<string, unknown> = { ...options };
  const wide: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(plain)) {
    if (!Array.isArray(value) || !(PAIRS.has(key) || key === 'padding')) continue;
    checkWide(kind, key, value);
    wide[key] = value;
    plain[key] = key === 'padding' ? 'valid' : 1; // the schema checks the rest with a stand-in
  }
  const parsed = layerSchema.safeParse({ [kind]: plain });
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0] as z.core.$ZodIssue;
    throw new ModelError('LAYER_INVALID', `[${kind}] ${path.slice(1).join('.') || 'options'}: ${message}`);
  }
  return { ...(parsed.data[kind] as object), ...wide } as FullOptions<K>;
}

function checkWide(kind: string, key: string, value: readonly unknown[]): void {
  const whole = (n: unknown, least: number) => Number.isInteger(n) && (n as number) >= least;
  const pair = (v: unknown, least: number) =>
    Array.isArray(v) && v.length === 2 && v.every((n) => whole(n, least));
  if (key === 'padding' ? value.length === 2 && value.every((v) => pair(v, 0)) : pair(value, 1)) return;
  const expected =
    key === 'padding'
      ? '[[top, bottom], [left, right]] of whole numbers'
      : '[height, width] of positive whole numbers';
  throw new ModelError(
    'LAYER_INVALID',
    `[${kind}] ${key}: expected ${expected}, got ${JSON.stringify(value)}`,
  );
}

export function pairOf(size: number | Pair): Pair {
  return typeof size === 'number' ? [size, size] : size;
}

/** A tensor of a net that is not there yet: the output of a layer applied to others, or an input. */
export type SymbolicTensor =
  | { readonly kind: 'input'; readonly name?: string; readonly spec: TensorSpec }
  | { readonly kind: 'applied'; readonly layer: Layer; readonly inputs: readonly SymbolicTensor[] };

/** One layer with its own parameters. Applied twice, it shares them. */
export class Layer {
  readonly kind: AnyKind;
  readonly options: Readonly<Record<string, unknown>>;
  readonly name: string | undefined;
  readonly #lower: Lower<never>;

  constructor(kind: AnyKind, options: object, lower: Lower<never>) {
    const { name, ...rest } = options as { name?: string };
    this.kind = kind;
    this.name = name;
    this.options = rest;
    this.#lower = lower;
  }

  /** The layer's output for these tensors: the functional way to build a net. */
  apply(...inputs: readonly SymbolicTensor[]): SymbolicTensor {
    return { kind: 'applied', layer: this, inputs };
  }

  /** What the layer becomes for inputs of these shapes. @throws ModelError LAYER_SHAPE naming the layer. */
  lower(inputs: readonly TensorSpec[], name: string): Lowered {
    const refuse: Refuse = (what, expected, got) => {
      throw new ModelError(
        'LAYER_SHAPE',
        `[${this.kind} '${name}'] ${what}: expected ${expected}, got ${got}`,
      );
    };
    return (this.#lower as Lower<object>)(this.options, inputs, refuse);
  }
}

/** The only input of a layer that takes one, of `dimensions` dimensions where given. */
export function onlyInput(
  inputs: readonly TensorSpec[],
  refuse: Refuse,
  dimensions?: readonly string[],
): TensorSpec {
  const [input] = inputs;
  if (inputs.length !== 1 || !input) return refuse('inputs', 'one tensor', `${inputs.length}`);
  if (dimensions && input.shape.length !== dimensions.length) {
    return refuse('input shape', formatShape(dimensions as never), formatShape(input.shape));
  }
  return input;
}
