// Every operation of the engine, in the order of native/graph.ts.
#include "ops/families.h"

namespace lepton {
namespace {

std::vector<const Op*> all_ops() {
  std::vector<const Op*> ops;
  for (const auto& family :
       {dense_ops, conv2d_ops, pooling2d_ops, batch_normalization_ops, layer_normalization_ops, dropout_ops,
        embedding_ops, position_embedding_ops, attention_ops, reshape_ops, transpose_ops, elementwise_ops,
        concat_ops, activation_ops, softmax_ops}) {
    const std::vector<const Op*> members = family();
    ops.insert(ops.end(), members.begin(), members.end());
  }
  return ops;
}

const std::vector<const Op*>& registry() {
  static const std::vector<const Op*> ops = all_ops();
  return ops;
}

}  // namespace

const Op* find_op(std::string_view name) {
  for (const Op* op : registry()) {
    if (op->name() == name) return op;
  }
  return nullptr;
}

std::string op_names() {
  std::string names;
  for (const Op* op : registry()) names += (names.empty() ? "" : ", ") + std::string(op->name());
  return names;
}

}  // namespace lepton
