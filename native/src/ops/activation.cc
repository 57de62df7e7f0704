// relu, leakyRelu, elu, gelu, sigmoid, tanh: one instruction kind, told apart by its attribute.
#include <cmath>

#include "ops/families.h"

namespace lepton {
namespace {

class ActivationOp final : public Op {
 public:
  ActivationOp(std::string_view name, Activation activation) : name_(name), activation_(activation) {}
  std::string_view name() const override { return name_; }

  void infer(Node& node) const override {
    const OperationOptions& options = node.spec->options;
    node.attributes.activation = activation_;
    if (activation_ == Activation::kGelu && options.approximate)
      node.attributes.activation = Activation::kGeluTanh;
    if (activation_ == Activation::kLeakyRelu) node.attributes.alpha = options.negative_slope;
    if (activation_ == Activation::kElu) node.attributes.alpha = options.alpha;
    // Negative slopes would make y useless for telling the sign of x, which the gradient reads from y.
    if (!(node.attributes.alpha >= 0) || std::isinf(node.attributes.alpha)) {
      argument_error(node, activation_ == Activation::kElu ? "alpha" : "negativeSlope", "a number from 0",
                     std::to_string(node.attributes.alpha));
    }
    node.shape = node.input_shapes[0];
  }

  void forward(Builder& builder, Node& node) const override {
    builder.emit_output(Kind::kActivation, node.inputs, node);
  }

  void backward(Builder& builder, const Node& node, ValueId dy) const override {
    const ValueId dx = builder.input_gradient(node.inputs[0]);
    if (dx == kNone) return;
    const bool from_x = activation_ == Activation::kGelu;
    builder.emit(Kind::kActivationBackward,
                 {from_x ? node.inputs[0] : kNone, from_x ? kNone : node.output, dy}, {dx}, node);
  }

 private:
  std::string_view name_;
  Activation activation_;
};

}  // namespace

std::vector<const Op*> activation_ops() {
  static const ActivationOp relu("relu", Activation::kRelu);
  static const ActivationOp leaky_relu("leakyRelu", Activation::kLeakyRelu);
  static const ActivationOp elu("elu", Activation::kElu);
  static const ActivationOp gelu("gelu", Activation::kGelu);
  static const ActivationOp sigmoid("sigmoid", Activation::kSigmoid);
  static const ActivationOp tanh("tanh", Activation::kTanh);
  return {&relu, &leaky_relu, &elu, &gelu, &sigmoid, &tanh};
}

}  // namespace lepton
