// softmax over the last dimension.
#include "ops/families.h"

namespace lepton {
namespace {

class Softmax final : public Op {
 public:
  std::string_view name() const override { return "softmax"; }

  void infer(Node& node) const override {
    const Shape& x = node.input_shapes[0];
    if (x.size() < 2)
      shape_error(node, "input has no classes", "at least one dimension after batch", to_string(x));
    node.shape = x;
  }

  void forward(Builder& builder, Node& node) const override {
    builder.emit_output(Kind::kSoftmax, node.inputs, node);
  }

  void backward(Builder& builder, const Node& node, ValueId dy) const override {
    const ValueId dx = builder.input_gradient(node.inputs[0]);
    if (dx != kNone) builder.emit(Kind::kSoftmaxBackward, {node.output, dy}, {dx}, node);
  }
};

}  // namespace

std::vector<const Op*> softmax_ops() {
  static const Softmax softmax;
  return {&softmax};
}

}  // namespace lepton
