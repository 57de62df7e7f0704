// positionEmbedding: adds a learned row to every position of a sequence; position i gets row i of the table.
#include "ops/families.h"

namespace lepton {
namespace {

class PositionEmbedding final : public Op {
 public:
  std::string_view name() const override { return "positionEmbedding"; }
  std::size_t fewest_parameters(const NodeSpec&) const override { return 1; }
  std::size_t most_parameters(const NodeSpec&) const override { return 1; }

  void infer(Node& node) const override {
    const Shape& x = node.input_shapes[0];
    const Shape& table = node.parameter_shapes[0];
    if (x.size() != 3)
      shape_error(node, "input is no sequence", "(length, dimension)", to_string({x.begin() + 1, x.end()}));
    if (table.size() != 2 || table[0] < x[1] || table[1] != x[2]) {
      shape_error(node, "table does not fit the input",
                  "(" + std::to_string(x[1]) + " or more, " + std::to_string(x[2]) + ")", to_string(table));
    }
    node.shape = x;
  }

  void forward(Builder& builder, Node& node) const override {
    builder.emit_output(Kind::kPositionEmbedding, {node.inputs[0], node.parameters[0]}, node);
  }

  void backward(Builder& builder, const Node& node, ValueId dy) const override {
    const ValueId dtable = builder.parameter_gradient(node, 0);
    if (dtable != kNone) builder.emit(Kind::kPositionEmbeddingBackward, {dy}, {dtable}, node);
    builder.add_gradient(node.inputs[0], dy);
  }
};

}  // namespace

std::vector<const Op*> position_embedding_ops() {
  static const PositionEmbedding position_embedding;
  return {&position_embedding};
}

}  // namespace lepton
