#include "ops/loss.h"

#include "graph/error.h"

namespace lepton {

void check_loss(const LossSpec& loss, const Shape& output) {
  const std::string where = "loss on '" + loss.output + "': ";
  const bool categorical = loss.loss == LossKind::kCategoricalCrossentropy;
  const bool sparse = loss.loss == LossKind::kSparseCategoricalCrossentropy;
  if ((categorical || sparse) && output.empty()) {
    throw EngineError("ENGINE_SHAPE",
                      where + "a categorical loss needs a dimension of classes, got a scalar output");
  }
  if (loss.label_smoothing < 0 || loss.label_smoothing >= 1) {
    throw EngineError("ENGINE_ARGUMENT", where + "labelSmoothing: expected a number in [0, 1)");
  }
  if (loss.label_smoothing != 0 && !categorical && loss.loss != LossKind::kBinaryCrossentropy) {
    throw EngineError("ENGINE_ARGUMENT",
                      where + "labelSmoothing: only categorical and binary cross-entropy take it");
  }
  if (!(loss.delta > 0)) throw EngineError("ENGINE_ARGUMENT", where + "delta: expected a positive number");
}

Shape target_shape(const LossSpec& loss, const Shape& output) {
  Shape shape = output;
  if (loss.loss == LossKind::kSparseCategoricalCrossentropy) shape.pop_back();
  return shape;
}

bool folds_into(const LossSpec& loss, std::string_view op) {
  if (loss.from_logits) return false;
  if (loss.loss == LossKind::kBinaryCrossentropy) return op == "sigmoid";
  const bool categorical = loss.loss == LossKind::kCategoricalCrossentropy;
  return op == "softmax" && (categorical || loss.loss == LossKind::kSparseCategoricalCrossentropy);
}

LossNode make_loss(const LossSpec& loss, const Shape& output, Builder& builder, std::size_t index) {
  const bool sparse = loss.loss == LossKind::kSparseCategoricalCrossentropy;
  LossNode node;
  node.target = builder.target(index, target_shape(loss, output), sparse ? DType::kInt32 : DType::kFloat);
  node.attributes.loss = loss.loss;
  node.attributes.from = loss.from_logits ? LossFrom::kLogits : LossFrom::kProbabilities;
  node.attributes.alpha = loss.delta;
  node.attributes.weight = loss.weight;
  node.attributes.label_smoothing = loss.label_smoothing;
  node.name = "loss of " + loss.output;
  return node;
}

}  // namespace lepton
