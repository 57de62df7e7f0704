// embedding: rows of a table by int32 index.
#include "ops/families.h"

namespace lepton {
namespace {

class Embedding final : public Op {
 public:
  std::string_view name() const override { return "embedding"; }
  DType input_type() const override { return DType::kInt32; }
  std::size_t fewest_parameters(const NodeSpec&) const override { return 1; }
  std::size_t most_parameters(const NodeSpec&) const override { return 1; }

  void infer(Node& node) const override {
    const Shape& table = node.parameter_shapes[0];
    if (table.size() != 2) {
      shape_error(node, "table has the wrong shape", "(vocabulary, dimension)", to_string(table));
    }
    node.shape = node.input_shapes[0];
    node.shape.push_back(table[1]);
  }

  void forward(Builder& builder, Node& node) const override {
    builder.emit_output(Kind::kEmbedding, {node.inputs[0], node.parameters[0]}, node);
  }

  void backward(Builder& builder, const Node& node, ValueId dy) const override {
    const ValueId dtable = builder.parameter_gradient(node, 0);
    if (dtable != kNone) builder.emit(Kind::kEmbeddingBackward, {node.inputs[0], dy}, {dtable}, node);
  }
};

}  // namespace

std::vector<const Op*> embedding_ops() {
  static const Embedding embedding;
  return {&embedding};
}

}  // namespace lepton
