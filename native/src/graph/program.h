// A compiled net before any device has seen it: a flat list of instructions over numbered values, shapes
// known, backward already written out. Holds meaning only: no memory, no hardware, no JavaScript.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace lepton {

enum class DType : std::uint8_t { kFloat, kInt32 };  // kFloat: float on cpu, double on reference

/// Dimensions with the batch first. Images are N, H, W, C.
using Shape = std::vector<std::int64_t>;
std::int64_t elements(const Shape& shape);
std::string to_string(const Shape& shape);

/// Where a value's bytes come from.
enum class Storage : std::uint8_t {
  kInput,      // index: which graph input
  kTarget,     // index: which loss
  kParameter,  // offset into the parameter arena
  kGradient,   // offset into the gradient arena
  kNewState,   // offset into the state region of the gradient arena: the next moving statistics
  kOutput,     // index: which graph output; kept until the next run
  kLoss,       // index: which loss; one element
  kTemporary,  // planned by the device
};

using ValueId = std::int32_t;
inline constexpr ValueId kNone = -1;

struct Value {
  Shape shape;
  DType type = DType::kFloat;
  Storage storage = Storage::kTemporary;
  std::int64_t index = 0;   // of input, target, output or loss
  std::int64_t offset = 0;  // elements, for kParameter, kGradient and kNewState
  std::string name;
};

/// Forward kinds first, their gradients after them. Operands are listed as inputs -> outputs; "?" may be
/// kNone.
enum class Kind : std::uint8_t {
  kDense,                   // x, kernel, bias? -> y
  kConv2d,                  // x, kernel, bias? -> y
  kMaxPooling2d,            // x -> y, argmax? (int32, training only; opaque workspace owned by the device)
  kAveragePooling2d,        // x -> y
  kGlobalAveragePooling2d,  // x -> y
  kBatchNormTraining,       // x, gamma?, beta?, mean, variance -> y, batch_mean, batch_inverse_deviation,
                            // new_mean, new_variance
  kBatchNormInference,      // x, gamma?, beta?, mean, variance -> y
  kLayerNorm,               // x, gamma?, beta? -> y, mean?, inverse_deviation? (rows)
  kDropout,                 // x -> y           mask = philox(seed, step, rank, node)
  kEmbedding,               // ids, table -> y
  kPositionEmbedding,       // x, table -> y    x + the first rows of table, one per position
  kAttention,   // query, key, value -> y, probabilities? (training only: batch, heads * queries, keys)
  kCopy,        // x -> y           flatten and reshape (and their gradients): same elements, new shape
  kTranspose,   // x -> y
  kAdd,         // a, b, ... -> y
  kMultiply,    // a, b, ... -> y
  kConcat,      // a, b, ... -> y
  kActivation,  // x -> y           relu, leakyRelu, elu, gelu, sigmoid, tanh
  kSoftmax,     // x -> y           last dimension
  kLoss,  // prediction, target -> loss         mean, without the weight; prediction as attributes.from says
  // gradients; dy is the gradient of the loss with respect to y
  kDenseBackwardData,               // dy, kernel -> dx
  kDenseBackwardWeights,            // x, dy -> dkernel, dbias?
  kConv2dBackwardData,              // dy, kernel -> dx
  kConv2dBackwardWeights,           // x, dy -> dkernel, dbias?
  kMaxPooling2dBackward,            // dy, argmax -> dx
  kAveragePooling2dBackward,        // dy -> dx
  kGlobalAveragePooling2dBackward,  // dy -> dx
  kBatchNormBackward,          // x, dy, gamma?, batch_mean, batch_inverse_deviation -> dx?, dgamma?, dbeta?
  kLayerNormBackward,          // x, dy, gamma?, mean, inverse_deviation -> dx?, dgamma?, dbeta?
  kDropoutBackward,            // dy -> dx         the same mask again
  kEmbeddingBackward,          // ids, dy -> dtable (dense)
  kPositionEmbeddingBackward,  // dy -> dtable
  kAttentionBackward,          // query, key, value, probabilities, dy -> dquery?, dkey?, dvalue?
  kTransposeBackward,          // dy -> dx
  kMultiplyBackward,           // dy, factors of y other than attributes.operand... -> dx
  kSplit,                      // dy -> one dx per input of concat, kNone where no gradient is needed
  kActivationBackward,  // x?, y?, dy -> dx  relu/leakyRelu/elu/sigmoid/tanh use y (safe in place), gelu uses
                        // x
  kSoftmaxBackward,     // y, dy -> dx
  kLossBackward,        // prediction, target -> dprediction, of weight * loss
  kSum,                 // a, b, ... -> y   gradients that meet (fan-out)
};

enum class Activation : std::uint8_t { kRelu, kLeakyRelu, kElu, kGelu, kGeluTanh, kSigmoid, kTanh };
/// With p the prediction, t the target, s the label smoothing (formulas of Keras 3):
///   categorical   mean over rows of -sum_c t'_c log p_c,  t' = t (1 - s) + s / classes
///   sparse        mean over rows of -log p_t              (t int32, checked to be in range before a run)
///   binary        mean over elements of -t' log p - (1 - t') log(1 - p),  t' = t (1 - s) + s / 2
///   squared, absolute error, huber (delta = alpha)   mean over elements; the gradient of |0| is 0
/// A row is the last dimension. Probabilities are clipped to [1e-7, 1 - 1e-7], with gradient 0 outside. From
/// logits, p is softmax(x) or sigmoid(x) without clipping: log p is log-softmax or -softplus(-x), the
/// gradient p sum(t) - t.
enum class LossKind : std::uint8_t {
  kCategoricalCrossentropy,
  kSparseCategoricalCrossentropy,
  kBinaryCrossentropy,
  kMeanSquaredError,
  kMeanAbsoluteError,
  kHuber
};
/// What a cross-entropy reads: logits (also when a softmax or sigmoid before it was folded in) or
/// probabilities.
enum class LossFrom : std::uint8_t { kProbabilities, kLogits };

/// Attributes of every kind, flat on purpose: a kind reads the fields its comment in graph.ts names.
struct Attributes {
  std::array<std::int64_t, 2> window{1, 1};  // pool size
  std::array<std::int64_t, 2> strides{1, 1};
  std::array<std::int64_t, 2> dilation{1, 1};
  std::array<std::int64_t, 4> padding{0, 0, 0, 0};  // top, bottom, left, right: `same` already resolved
  std::int64_t groups = 1;
  std::int64_t heads = 1;                 // attention
  bool causal = false;                    // attention: query i sees keys 0 to i
  std::vector<std::int64_t> permutation;  // batch included: permutation[0] == 0
  std::int64_t axis = -1;                 // concat, split: batch included, never negative
  std::vector<std::int64_t> sizes;  // split: length of each part along the axis, also of those that are kNone
  Activation activation = Activation::kRelu;
  LossKind loss = LossKind::kMeanSquaredError;
  LossFrom from = LossFrom::kProbabilities;
  double alpha = 0;     // negativeSlope, elu alpha, dropout rate, huber delta
  double momentum = 0;  // batch normalization
  double epsilon = 0;
  double weight = 1;  // of a loss
  double label_smoothing = 0;
  std::int64_t node = 0;     // index of the graph node: dropout's stream (ops/philox.h)
  std::int64_t operand = 0;  // multiply backward: which input dx is for
};

struct Instruction {
  Kind kind;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  Attributes attributes;
  std::string node;  // name of the layer it came from, for messages and profiles
};

/// Everything a device needs. kGradient, kNewState, kOutput and kLoss values are written by exactly one
/// instruction; any of them may also be read by later ones. Instructions stand in an order in which they may
/// run.
struct Program {
  std::vector<Value> values;
  std::vector<Instruction> instructions;
  std::int64_t batch = 0;
  /// After instruction i, gradients of the arena in [ready_from[i], trainable end) are final (empty without
  /// backward).
  std::vector<std::int64_t> ready_from;
};

}  // namespace lepton
