// batchNormalization over all but the last dimension: batch statistics while training, moving ones otherwise.
#include "ops/affine.h"
#include "ops/families.h"

namespace lepton {
namespace {

class BatchNormalization final : public Op {
 public:
  std::string_view name() const override { return "batchNormalization"; }
  std::size_t fewest_parameters(const NodeSpec& spec) const override { return affine_count(spec) + 2; }
  std::size_t most_parameters(const NodeSpec& spec) const override { return affine_count(spec) + 2; }

  void infer(Node& node) const override {
    infer_normalization(node);
    const double momentum = node.spec->options.momentum;
    if (!(momentum >= 0 && momentum <= 1)) {
      argument_error(node, "momentum", "a number from 0 to 1", std::to_string(momentum));
    }
    node.attributes.momentum = momentum;
  }

  void forward(Builder& builder, Node& node) const override {
    const std::size_t statistics = affine_count(*node.spec);
    const std::vector<ValueId> inputs = {node.inputs[0], parameter_at(node, gamma_position(node)),
                                         parameter_at(node, beta_position(node)), node.parameters[statistics],
                                         node.parameters[statistics + 1]};
    if (!builder.training()) return builder.emit_output(Kind::kBatchNormInference, inputs, node);
    const Shape channels{node.shape.back()};
    node.output = builder.temporary(node.shape, node.spec->name);
    node.saved = {builder.temporary(channels, node.spec->name + " mean"),
                  builder.temporary(channels, node.spec->name + " inverse deviation")};
    builder.emit(
        Kind::kBatchNormTraining, inputs,
        {node.output, node.saved[0], node.saved[1], builder.new_state(node.parameter_indices[statistics]),
         builder.new_state(node.parameter_indices[statistics + 1])},
        node);
  }

  void backward(Builder& builder, const Node& node, ValueId dy) const override {
    const ValueId dgamma = builder.parameter_gradient(node, gamma_position(node));
    const ValueId dbeta = builder.parameter_gradient(node, beta_position(node));
    const ValueId dx = builder.input_gradient(node.inputs[0]);
    builder.emit(Kind::kBatchNormBackward,
                 {node.inputs[0], dy, parameter_at(node, gamma_position(node)), node.saved[0], node.saved[1]},
                 {dx, dgamma, dbeta}, node);
  }
};

}  // namespace

std::vector<const Op*> batch_normalization_ops() {
  static const BatchNormalization batch_normalization;
  return {&batch_normalization};
}

}  // namespace lepton
