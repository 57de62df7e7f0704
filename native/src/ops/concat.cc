// concat: inputs side by side along one dimension after the batch.
#include "ops/families.h"

namespace lepton {
namespace {

class Concat final : public Op {
 public:
  std::string_view name() const override { return "concat"; }
  std::size_t fewest_inputs() const override { return 2; }
  std::size_t most_inputs() const override { return kAnyNumber; }

  void infer(Node& node) const override {
    const Shape& first = node.input_shapes[0];
    const auto rank = static_cast<std::int64_t>(first.size()) - 1;
    const std::int64_t wanted = node.spec->options.axis;
    const std::int64_t axis = wanted < 0 ? wanted + rank : wanted;
    if (axis < 0 || axis >= rank) {
      argument_error(node, "axis",
                     "a number from " + std::to_string(-rank) + " to " + std::to_string(rank - 1),
                     std::to_string(wanted));
    }
    node.attributes.axis = axis + 1;
    node.shape = first;
    const auto along = static_cast<std::size_t>(axis + 1);
    for (std::size_t i = 1; i < node.input_shapes.size(); ++i) {
      Shape other = node.input_shapes[i];
      const std::int64_t size = along < other.size() ? other[along] : 0;
      if (along < other.size()) other[along] = first[along];
      if (other != first) {
        shape_error(node, "inputs differ outside the axis ('" + node.spec->inputs[i] + "')", to_string(first),
                    to_string(node.input_shapes[i]));
      }
      node.shape[along] += size;
    }
  }

  void forward(Builder& builder, Node& node) const override {
    builder.emit_output(Kind::kConcat, node.inputs, node);
  }

  void backward(Builder& builder, const Node& node, ValueId dy) const override {
    std::vector<ValueId> parts;
    for (const ValueId input : node.inputs) parts.push_back(builder.input_gradient(input));
    Attributes attributes = node.attributes;
    for (const Shape& shape : node.input_shapes) {
      attributes.sizes.push_back(shape[static_cast<std::size_t>(attributes.axis)]);
    }
    builder.emit(Kind::kSplit, {dy}, std::move(parts), attributes, node.spec->name);
  }
};

}  // namespace

std::vector<const Op*> concat_ops() {
  static const Concat concat;
  return {&concat};
}

}  // namespace lepton
