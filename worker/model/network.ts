// From layers to a graph: names, shapes, nodes and parameters of a net whose inputs are known. Pure.
import type { InitializerName } from '../../crds/leptonjob.ts';
import type { GraphSpec, InputSpec, NodeSpec, ParameterSpec, Shape } from '../../native/graph.ts';
import { ModelError } from './errors.ts';
import type { Layer, Lowered, SymbolicTensor, TensorSpec } from './layers/layer.ts';

/** One applied layer: a row of the summary, and enough to build the net again. */
export interface LayerRow {
  readonly name: string;
  readonly layer: Layer;
  /** Names of the layers (or inputs) it reads. */
  readonly inputs: readonly string[];
  readonly shape: Shape;
  readonly parameters: number;
}

export interface Network {
  readonly graph: GraphSpec;
  readonly rows: readonly LayerRow[];
  readonly initializers: ReadonlyMap<string, InitializerName>;
  readonly outputShapes: readonly Shape[];
  /** The rows (layers or inputs) that give the outputs. */
  readonly outputRows: readonly string[];
}

interface Placed {
  readonly spec: TensorSpec;
  /** The graph node (or input) that holds the value. */
  readonly node: string;
  /** The layer (or input) as rows name it. */
  readonly row: string;
}

/** Builds the graph in the order in which layers were reached from the outputs. @throws ModelError LAYER_SHAPE, LAYER_INVALID */
export function buildNetwork(inputs: readonly SymbolicTensor[], outputs: readonly SymbolicTensor[]): Network {
  const builder = new NetworkBuilder(orderOf(outputs));
  for (const tensor of inputs) builder.addInput(tensor);
  const ends = outputs.map((tensor) => builder.place(tensor));
  return builder.finish(ends);
}

/** Every tensor of the net, each after what it reads. Iterative: nets may be deeper than the call stack. */
function orderOf(outputs: readonly SymbolicTensor[]): SymbolicTensor[] {
  const done = new Set<SymbolicTensor>();
  const order: SymbolicTensor[] = [];
  const stack: { tensor: SymbolicTensor; left: boolean }[] = outputs
    .toReversed()
    .map((tensor) => ({ tensor, left: false }));
  while (stack.length > 0) {
    const { tensor, left } = stack.pop()!;
    if (done.has(tensor)) continue;
    if (left || tensor.kind === 'input') {
      done.add(tensor);
      order.push(tensor);
      continue;
    }
    stack.push({ tensor, left: true });
    for (const before of tensor.inputs.toReversed()) stack.push({ tensor: before, left: false });
  }
  return order;
}

class NetworkBuilder {
  readonly #order: readonly SymbolicTensor[];
  readonly #placed = new Map<SymbolicTensor, Placed>();
  readonly #names = new Map<Layer, string>();
  readonly #used = new Set<string>();
  readonly #inputs: InputSpec[] = [];
  readonly #nodes: NodeSpec[] = [];
  readonly #parameters = new Map<string, ParameterSpec>();
  readonly #initializers = new Map<string, InitializerName>();
  readonly #rows: LayerRow[] = [];

  constructor(order: readonly SymbolicTensor[]) {
    this.#order = order;
    for (const tensor of order)
      if (tensor.kind === 'applied' && tensor.layer.name) this.#reserve(tensor.layer);
  }

  addInput(tensor: SymbolicTensor): void {
    if (tensor.kind !== 'input')
      throw new ModelError(
        'LAYER_INVALID',
        'model inputs: expected the result of input(), got that of a layer',
      );
    const name = this.#unique(tensor.name ?? 'input');
    this.#inputs.push({ name, ...tensor.spec });
    this.#placed.set(tensor, { spec: tensor.spec, node: name, row: name });
  }

  place(target: SymbolicTensor): Placed {
    for (const tensor of this.#order) {
      if (this.#placed.has(target)) break;
      if (!this.#placed.has(tensor)) this.#placed.set(tensor, this.#apply(tensor));
    }
    return this.#placed.get(target) as Placed;
  }

  finish(ends: readonly Placed[]): Network {
    return {
      graph: {
        inputs: this.#inputs,
        parameters: [...this.#parameters.values()],
        nodes: this.#nodes,
        outputs: ends.map(({ node }) => node),
      },
      rows: this.#rows,
      initializers: this.#initializers,
      outputShapes: ends.map(({ spec }) => spec.shape),
      outputRows: ends.map(({ row }) => row),
    };
  }

  #apply(tensor: SymbolicTensor): Placed {
    if (tensor.kind === 'input') {
      throw new ModelError(
        'LAYER_INVALID',
        `input '${tensor.name ?? 'input'}' is used but is not among the model's inputs`,
      );
    }
    const { layer } = tensor;
    const inputs = tensor.inputs.map((input) => this.#placed.get(input) as Placed);
    const again = this.#names.has(layer) && this.#rows.some((row) => row.layer === layer);
    const name = this.#names.get(layer) ?? this.#name(layer);
    const lowered = layer.lower(
      inputs.map(({ spec }) => spec),
      name,
    );
    const parameters = this.#addParameters(name, lowered);
    const row = again ? this.#unique(name) : name;
    const node = this.#addNodes(
      row,
      name,
      lowered,
      inputs.map((input) => input.node),
    );
    this.#rows.push({
      name: row,
      layer,
      inputs: inputs.map((input) => input.row),
      shape: lowered.shape,
      parameters,
    });
    return { spec: { shape: lowered.shape, type: 'float32' }, node, row };
  }

  /** The parameters of a layer, once also where it is shared. Returns how many numbers they hold. */
  #addParameters(layer: string, { parameters }: Lowered): number {
    let count = 0;
    for (const { name, shape, trainable, initializer } of parameters) {
      const full = `${layer}/${name}`;
      const known = this.#parameters.get(full);
      if (known && known.shape.join() !== shape.join()) {
        throw new ModelError(
          'LAYER_SHAPE',
          `[${layer}] shared layer: expected inputs of one shape, got ${known.shape} and ${shape} for ${name}`,
        );
      }
      this.#parameters.set(full, { name: full, shape, trainable });
      this.#initializers.set(full, initializer);
      count += shape.reduce((product, size) => product * size, 1);
    }
    return count;
  }

  /** The last node carries the layer's name. A layer without nodes (linear activation) is its input. */
  #addNodes(row: string, layer: string, { nodes }: Lowered, inputs: readonly string[]): string {
    let before = inputs;
    for (const [i, { as, reads, uses, ...operation }] of nodes.entries()) {
      const name = i === nodes.length - 1 ? row : `${row}/${as ?? operation.op}`;
      const parameters = uses ? { parameters: uses.map((use) => `${layer}/${use}`) } : {};
      const read = (from: number | string) =>
        typeof from === 'number' ? (inputs[from] as string) : `${row}/${from}`;
      this.#nodes.push({ ...operation, name, inputs: reads?.map(read) ?? before, ...parameters });
      before = [name];
    }
    return before[0] as string;
  }

  #name(layer: Layer): string {
    const name = this.#unique(layer.kind);
    this.#names.set(layer, name);
    return name;
  }

  #reserve(layer: Layer): void {
    const name = layer.name as string;
    if (this.#names.has(layer)) return;
    if (this.#used.has(name))
      throw new ModelError('LAYER_INVALID', `layer name '${name}': expected unique names, got it twice`);
    this.#used.add(name);
    this.#names.set(layer, name);
  }

  /** name, name_1, name_2, ... */
  #unique(name: string): string {
    let unique = name;
    for (let i = 1; this.#used.has(unique); i++) unique = `${name}_${i}`;
    this.#used.add(unique);
    return unique;
  }
}
