// transpose: output dimension i is input dimension permutation[i]; the batch stays first.
#include <algorithm>
#include <numeric>

#include "ops/families.h"

namespace lepton {
namespace {

class Transpose final : public Op {
 public:
  std::string_view name() const override { return "transpose"; }

  void infer(Node& node) const override {
    const Shape& x = node.input_shapes[0];
    const std::vector<std::int64_t>& permutation = node.spec->options.permutation;
    std::vector<std::int64_t> sorted = permutation;
    std::sort(sorted.begin(), sorted.end());
    std::vector<std::int64_t> all(x.size() - 1);
    std::iota(all.begin(), all.end(), 0);
    if (sorted != all) {
      argument_error(node, "permutation",
                     "each of the dimensions 0 to " + std::to_string(all.size()) + " - 1 once",
                     to_string(permutation));
    }
    node.attributes.permutation = {0};
    node.shape = {x[0]};
    for (const std::int64_t dimension : permutation) {
      node.attributes.permutation.push_back(dimension + 1);
      node.shape.push_back(x[static_cast<std::size_t>(dimension) + 1]);
    }
  }

  void forward(Builder& builder, Node& node) const override {
    builder.emit_output(Kind::kTranspose, node.inputs, node);
  }

  void backward(Builder& builder, const Node& node, ValueId dy) const override {
    const ValueId dx = builder.input_gradient(node.inputs[0]);
    if (dx != kNone) builder.emit(Kind::kTransposeBackward, {dy}, {dx}, node);
  }
};

}  // namespace

std::vector<const Op*> transpose_ops() {
  static const Transpose transpose;
  return {&transpose};
}

}  // namespace lepton
