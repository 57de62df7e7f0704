// dense: y = x kernel + bias over the last dimension.
#include "ops/families.h"

namespace lepton {
namespace {

class Dense final : public Op {
 public:
  std::string_view name() const override { return "dense"; }
  std::size_t fewest_parameters(const NodeSpec&) const override { return 1; }
  std::size_t most_parameters(const NodeSpec&) const override { return 2; }

  void infer(Node& node) const override {
    const Shape& x = node.input_shapes[0];
    const Shape& kernel = node.parameter_shapes[0];
    if (x.size() < 2)
      shape_error(node, "input has no features", "at least one dimension after batch", to_string(x));
    if (kernel.size() != 2 || kernel[0] != x.back()) {
      shape_error(node, "kernel does not fit the input " + to_string(x),
                  "(" + std::to_string(x.back()) + ", units)", to_string(kernel));
    }
    if (node.parameter_shapes.size() > 1 && node.parameter_shapes[1] != Shape{kernel[1]}) {
      shape_error(node, "bias does not fit the kernel", to_string({kernel[1]}),
                  to_string(node.parameter_shapes[1]));
    }
    node.shape = x;
    node.shape.back() = kernel[1];
  }

  void forward(Builder& builder, Node& node) const override {
    const ValueId bias = node.parameters.size() > 1 ? node.parameters[1] : kNone;
    builder.emit_output(Kind::kDense, {node.inputs[0], node.parameters[0], bias}, node);
  }

  void backward(Builder& builder, const Node& node, ValueId dy) const override {
    const ValueId dbias = builder.parameter_gradient(node, 1);
    ValueId dkernel = builder.parameter_gradient(node, 0);
    if (dkernel != kNone || dbias != kNone) {
      if (dkernel == kNone) dkernel = builder.temporary(node.parameter_shapes[0], "unused");
      builder.emit(Kind::kDenseBackwardWeights, {node.inputs[0], dy}, {dkernel, dbias}, node);
    }
    const ValueId dx = builder.input_gradient(node.inputs[0]);
    if (dx != kNone) builder.emit(Kind::kDenseBackwardData, {dy, node.parameters[0]}, {dx}, node);
  }
};

}  // namespace

std::vector<const Op*> dense_ops() {
  static const Dense dense;
  return {&dense};
}

}  // namespace lepton
