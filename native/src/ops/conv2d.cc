// conv2d: cross-correlation of a channels-last image with a kernel (height, width, in / groups, out).
#include "ops/families.h"
#include "ops/window.h"

namespace lepton {
namespace {

class Conv2d final : public Op {
 public:
  std::string_view name() const override { return "conv2d"; }
  std::size_t fewest_parameters(const NodeSpec&) const override { return 1; }
  std::size_t most_parameters(const NodeSpec&) const override { return 2; }

  void infer(Node& node) const override {
    check_image(node);
    const Shape& x = node.input_shapes[0];
    const Shape& kernel = node.parameter_shapes[0];
    const std::int64_t groups = node.spec->options.groups;
    check_groups(node, x, kernel, groups);
    node.attributes.groups = groups;
    node.attributes.window = {kernel[0], kernel[1]};
    const auto [height, width] = slide(node, {kernel[0], kernel[1]}, "kernel");
    if (node.parameter_shapes.size() > 1 && node.parameter_shapes[1] != Shape{kernel[3]}) {
      shape_error(node, "bias does not fit the kernel", to_string({kernel[3]}),
                  to_string(node.parameter_shapes[1]));
    }
    node.shape = {x[0], height, width, kernel[3]};
  }

  void forward(Builder& builder, Node& node) const override {
    const ValueId bias = node.parameters.size() > 1 ? node.parameters[1] : kNone;
    builder.emit_output(Kind::kConv2d, {node.inputs[0], node.parameters[0], bias}, node);
  }

  void backward(Builder& builder, const Node& node, ValueId dy) const override {
    const ValueId dbias = builder.parameter_gradient(node, 1);
    ValueId dkernel = builder.parameter_gradient(node, 0);
    if (dkernel != kNone || dbias != kNone) {
      if (dkernel == kNone) dkernel = builder.temporary(node.parameter_shapes[0], "unused");
      builder.emit(Kind::kConv2dBackwardWeights, {node.inputs[0], dy}, {dkernel, dbias}, node);
    }
    const ValueId dx = builder.input_gradient(node.inputs[0]);
    if (dx != kNone) builder.emit(Kind::kConv2dBackwardData, {dy, node.parameters[0]}, {dx}, node);
  }

 private:
  static void check_groups(const Node& node, const Shape& x, const Shape& kernel, std::int64_t groups) {
    if (groups < 1 || x[3] % groups != 0) {
      argument_error(node, "groups", "a divisor of the " + std::to_string(x[3]) + " input channels",
                     std::to_string(groups));
    }
    if (kernel.size() != 4 || kernel[2] != x[3] / groups) {
      shape_error(node, "kernel does not fit the input " + to_string(x),
                  "(height, width, " + std::to_string(x[3] / groups) + ", filters)", to_string(kernel));
    }
    if (kernel[3] % groups != 0) {
      shape_error(node, "filters cannot be split over the groups", "a multiple of " + std::to_string(groups),
                  std::to_string(kernel[3]));
    }
  }
};

}  // namespace

std::vector<const Op*> conv2d_ops() {
  static const Conv2d conv2d;
  return {&conv2d};
}

}  // namespace lepton
