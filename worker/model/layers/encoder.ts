// The block that transformers are stacked from, as one layer.
import { attend, joined, type Part, projection } from './attention.ts';
import { activationNodes } from './core.ts';
import { type FullOptions, type Lower, type NodePlan, onlyInput } from './layer.ts';
import { affine } from './normalization.ts';

type EncoderOptions = FullOptions<'transformerEncoder'>;
/** An input of the layer or a node of it. */
type Place = number | string;

const only = (...nodes: readonly NodePlan[]): Part => ({ nodes, parameters: [] });

function normalization({ layerNormEpsilon: epsilon }: EncoderOptions, as: string, x: Place, width: number) {
  const parameters = affine({ scale: true, center: true }, width).map((plan) => ({
    ...plan,
    name: `${as}/${plan.name}`,
  }));
  const uses = parameters.map(({ name }) => name);
  const node = {
    op: 'layerNormalization',
    as,
    reads: [x],
    uses,
    epsilon,
    scale: true,
    center: true,
  } as const;
  return { nodes: [node], parameters };
}

/** x + body(normalized x), or x + body(x) normalized. */
function around(
  options: EncoderOptions,
  name: string,
  x: Place,
  width: number,
  body: (x: Place) => Part,
): Part {
  const { normalizeFirst, dropout: rate } = options;
  const norm = `${name}LayerNorm`;
  const inner = joined(
    body(normalizeFirst ? norm : x),
    rate > 0 ? only({ op: 'dropout', as: `${name}Dropout`, rate }) : only(),
  );
  const added = inner.nodes.at(-1)?.as as string;
  const sum: NodePlan = { op: 'add', as: `${name}Sum`, reads: [x, added] };
  return normalizeFirst
    ? joined(normalization(options, norm, x, width), inner, only(sum))
    : joined(inner, only(sum), normalization(options, norm, `${name}Sum`, width));
}

/** KerasHub's TransformerEncoder: attention, then two dense layers, each with a way around it and a normalization before or after. */
export const transformerEncoder: Lower<EncoderOptions> = (options, inputs, refuse) => {
  const { shape } = onlyInput(inputs, refuse, ['length', 'channels']);
  const [length, channels] = shape as readonly [number, number];
  const { numHeads, intermediateDim, activation, normalizeFirst } = options;
  if (channels % numHeads !== 0)
    return refuse('numHeads', `a divisor of the ${channels} channels`, `${numHeads}`);
  const projections = { ...options, useBias: true, keyDim: channels / numHeads };

  const attention = around(options, 'selfAttention', 0, channels, (from) => {
    const x = { length, channels, from };
    return attend(projections, 'selfAttention/', [x, x, x]);
  });
  const between = normalizeFirst ? 'selfAttentionSum' : 'selfAttentionLayerNorm';
  const feedforward = around(options, 'feedforward', between, channels, (x) =>
    joined(
      projection(projections, 'feedforwardIntermediateDense', [channels, intermediateDim], x),
      only(...activationNodes(activation).map((node) => ({ ...node, as: 'feedforwardActivation' }))),
      projection(projections, 'feedforwardOutputDense', [intermediateDim, channels]),
    ),
  );
  return { shape, ...joined(attention, feedforward) };
};
