// flatten and reshape: the same elements under another shape.
#include "ops/families.h"

namespace lepton {
namespace {

class Reshaping : public Op {
 public:
  void forward(Builder& builder, Node& node) const override {
    builder.emit_output(Kind::kCopy, node.inputs, node);
  }
  void backward(Builder& builder, const Node& node, ValueId dy) const override {
    const ValueId dx = builder.input_gradient(node.inputs[0]);
    if (dx != kNone) builder.emit(Kind::kCopy, {dy}, {dx}, node);
  }
};

class Flatten final : public Reshaping {
 public:
  std::string_view name() const override { return "flatten"; }
  void infer(Node& node) const override {
    const Shape& x = node.input_shapes[0];
    node.shape = {x[0], elements(x) / x[0]};
  }
};

class Reshape final : public Reshaping {
 public:
  std::string_view name() const override { return "reshape"; }
  void infer(Node& node) const override {
    const Shape& x = node.input_shapes[0];
    const Shape& wanted = node.spec->options.shape;
    check_sizes(wanted, node.where() + "shape");
    if (elements(wanted) != elements(x) / x[0]) {
      shape_error(node, "shape has another number of elements than the input " + to_string(x),
                  std::to_string(elements(x) / x[0]),
                  std::to_string(elements(wanted)) + " in " + to_string(wanted));
    }
    node.shape = {x[0]};
    node.shape.insert(node.shape.end(), wanted.begin(), wanted.end());
  }
};

}  // namespace

std::vector<const Op*> reshape_ops() {
  static const Flatten flatten;
  static const Reshape reshape;
  return {&flatten, &reshape};
}

}  // namespace lepton
