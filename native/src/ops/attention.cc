// attention: scaled dot-product attention of several heads (Vaswani et al. 2017, "Attention Is All You
// Need"): softmax(query key^T / sqrt(d)) value, each head on its own slice of the last dimension. No
// parameters.
#include "graph/layout.h"
#include "ops/families.h"

namespace lepton {
namespace {

class Attention final : public Op {
 public:
  std::string_view name() const override { return "attention"; }
  std::size_t fewest_inputs() const override { return 3; }
  std::size_t most_inputs() const override { return 3; }

  void infer(Node& node) const override {
    const Shape& query = node.input_shapes[0];
    const Shape& key = node.input_shapes[1];
    const Shape& value = node.input_shapes[2];
    for (const Shape& shape : node.input_shapes) {
      if (shape.size() != 3) shape_error(node, "input is no sequence", "(length, width)", sample(shape));
    }
    if (key[2] != query[2])
      shape_error(node, "key and query differ in width", std::to_string(query[2]), sample(key));
    if (value[1] != key[1])
      shape_error(node, "value and key differ in length", std::to_string(key[1]), sample(value));
    const std::int64_t heads = node.spec->options.heads;
    if (heads < 1 || query[2] % heads != 0 || value[2] % heads != 0) {
      argument_error(
          node, "heads",
          "a divisor of the widths " + std::to_string(query[2]) + " and " + std::to_string(value[2]),
          std::to_string(heads));
    }
    node.attributes.heads = heads;
    node.attributes.causal = node.spec->options.causal;
    check_sizes(probabilities(node), node.where() + "probabilities");
    node.shape = {query[0], query[1], value[2]};
  }

  void forward(Builder& builder, Node& node) const override {
    node.output = builder.temporary(node.shape, node.spec->name);
    node.saved = {kNone};
    if (builder.training()) {
      node.saved = {builder.temporary(probabilities(node), node.spec->name + " probabilities")};
    }
    builder.emit(Kind::kAttention, node.inputs, {node.output, node.saved[0]}, node);
  }

  void backward(Builder& builder, const Node& node, ValueId dy) const override {
    std::vector<ValueId> gradients;
    for (const ValueId input : node.inputs) gradients.push_back(builder.input_gradient(input));
    builder.emit(Kind::kAttentionBackward,
                 {node.inputs[0], node.inputs[1], node.inputs[2], node.saved[0], dy}, std::move(gradients),
                 node);
  }

 private:
  static std::string sample(const Shape& shape) { return to_string({shape.begin() + 1, shape.end()}); }

  static Shape probabilities(const Node& node) {
    const Shape& query = node.input_shapes[0];
    return {query[0], node.attributes.heads * query[1], node.input_shapes[1][1]};
  }
};

}  // namespace

std::vector<const Op*> attention_ops() {
  static const Attention attention;
  return {&attention};
}

}  // namespace lepton
