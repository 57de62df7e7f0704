// layerNormalization over the last dimension.
#include "ops/affine.h"
#include "ops/families.h"

namespace lepton {
namespace {

class LayerNormalization final : public Op {
 public:
  std::string_view name() const override { return "layerNormalization"; }
  std::size_t fewest_parameters(const NodeSpec& spec) const override { return affine_count(spec); }
  std::size_t most_parameters(const NodeSpec& spec) const override { return affine_count(spec); }
  void infer(Node& node) const override { infer_normalization(node); }

  void forward(Builder& builder, Node& node) const override {
    node.output = builder.temporary(node.shape, node.spec->name);
    node.saved = {kNone, kNone};
    if (builder.training()) {
      const Shape rows{node.shape.begin(), node.shape.end() - 1};
      node.saved = {builder.temporary(rows, node.spec->name + " mean"),
                    builder.temporary(rows, node.spec->name + " inverse deviation")};
    }
    builder.emit(
        Kind::kLayerNorm,
        {node.inputs[0], parameter_at(node, gamma_position(node)), parameter_at(node, beta_position(node))},
        {node.output, node.saved[0], node.saved[1]}, node);
  }

  void backward(Builder& builder, const Node& node, ValueId dy) const override {
    const ValueId dgamma = builder.parameter_gradient(node, gamma_position(node));
    const ValueId dbeta = builder.parameter_gradient(node, beta_position(node));
    const ValueId dx = builder.input_gradient(node.inputs[0]);
    builder.emit(Kind::kLayerNormBackward,
                 {node.inputs[0], dy, parameter_at(node, gamma_position(node)), node.saved[0], node.saved[1]},
                 {dx, dgamma, dbeta}, node);
  }
};

}  // namespace

std::vector<const Op*> layer_normalization_ops() {
  static const LayerNormalization layer_normalization;
  return {&layer_normalization};
}

}  // namespace lepton
