// add and multiply: two or more inputs of one shape.
#include "ops/families.h"

namespace lepton {
namespace {

class Elementwise : public Op {
 public:
  std::size_t fewest_inputs() const override { return 2; }
  std::size_t most_inputs() const override { return kAnyNumber; }
  void infer(Node& node) const override {
    node.shape = node.input_shapes[0];
    for (std::size_t i = 1; i < node.input_shapes.size(); ++i) {
      if (node.input_shapes[i] != node.shape) {
        shape_error(node, "inputs differ in shape ('" + node.spec->inputs[i] + "')", to_string(node.shape),
                    to_string(node.input_shapes[i]));
      }
    }
  }
};

class Add final : public Elementwise {
 public:
  std::string_view name() const override { return "add"; }
  void forward(Builder& builder, Node& node) const override {
    builder.emit_output(Kind::kAdd, node.inputs, node);
  }
  void backward(Builder& builder, const Node& node, ValueId dy) const override {
    for (const ValueId input : node.inputs) builder.add_gradient(input, dy);
  }
};

class Multiply final : public Elementwise {
 public:
  std::string_view name() const override { return "multiply"; }
  void forward(Builder& builder, Node& node) const override {
    builder.emit_output(Kind::kMultiply, node.inputs, node);
  }
  void backward(Builder& builder, const Node& node, ValueId dy) const override {
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId dx = builder.input_gradient(node.inputs[i]);
      if (dx == kNone) continue;
      std::vector<ValueId> factors{dy};
      for (std::size_t j = 0; j < node.inputs.size(); ++j) {
        if (j != i) factors.push_back(node.inputs[j]);
      }
      Attributes attributes = node.attributes;
      attributes.operand = static_cast<std::int64_t>(i);
      builder.emit(Kind::kMultiplyBackward, std::move(factors), {dx}, attributes, node.spec->name);
    }
  }
};

}  // namespace

std::vector<const Op*> elementwise_ops() {
  static const Add add;
  static const Multiply multiply;
  return {&add, &multiply};
}

}  // namespace lepton
