// dropout: identity outside training (and at rate 0), where its output simply is its input.
#include "ops/families.h"

namespace lepton {
namespace {

class Dropout final : public Op {
 public:
  std::string_view name() const override { return "dropout"; }

  void infer(Node& node) const override {
    const double rate = node.spec->options.rate;
    if (!(rate >= 0 && rate < 1)) argument_error(node, "rate", "a number in [0, 1)", std::to_string(rate));
    node.attributes.alpha = rate;
    node.shape = node.input_shapes[0];
  }

  void forward(Builder& builder, Node& node) const override {
    if (builder.training() && node.attributes.alpha > 0) {
      builder.emit_output(Kind::kDropout, node.inputs, node);
    } else {
      node.output = node.inputs[0];
    }
  }

  void backward(Builder& builder, const Node& node, ValueId dy) const override {
    const ValueId dx = builder.input_gradient(node.inputs[0]);
    if (dx != kNone) builder.emit(Kind::kDropoutBackward, {dy}, {dx}, node);
  }
};

}  // namespace

std::vector<const Op*> dropout_ops() {
  static const Dropout dropout;
  return {&dropout};
}

}  // namespace lepton
