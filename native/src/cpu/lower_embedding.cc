// Embedding: rows of a table by index, and the dense gradient of the table.
#include <algorithm>
#include <cstring>

#include "cpu/kernels/elementwise.h"
#include "cpu/lowering.h"
#include "graph/error.h"

namespace lepton::cpu {
namespace {

/// Indices come from the caller's data: a wild one must not become a wild read.
std::int64_t checked(const std::int32_t* ids, std::int64_t at, std::int64_t vocabulary) {
  if (ids[at] < 0 || ids[at] >= vocabulary) {
    throw EngineError("ENGINE_ARGUMENT", "embedding index at element " + std::to_string(at) +
                                             ": expected 0 to " + std::to_string(vocabulary - 1) + ", got " +
                                             std::to_string(ids[at]));
  }
  return ids[at];
}

}  // namespace

void lower_embedding(Lowering& to, const FusedInstruction& op) {
  const bool backward = op.kind == Kind::kEmbeddingBackward;
  const Shape& table_shape = to.shape(backward ? op.outputs[0] : op.inputs[1]);
  const std::int64_t vocabulary = table_shape[0], dimension = table_shape[1],
                     count = elements(to.shape(op.inputs[0]));
  const BufferId ids = to.read_plain(op.inputs[0]).buffer, from = to.read_plain(op.inputs[1]).buffer;
  const BufferId result = to.write_plain(op.outputs[0]).buffer;
  if (!backward) {
    to.own("embedding", {ids, from}, {result}, [=](Frame& frame) {
      for (std::int64_t i = 0; i < count; ++i) {
        const float* row = frame.at(from) + checked(frame.at<std::int32_t>(ids), i, vocabulary) * dimension;
        std::copy_n(row, dimension, frame.at(result) + i * dimension);
      }
    });
    return;
  }
  to.own("embedding backward", {ids, from}, {result}, [=](Frame& frame) {
    std::fill_n(frame.at(result), vocabulary * dimension, 0.0f);
    for (std::int64_t i = 0; i < count; ++i) {
      float* row = frame.at(result) + checked(frame.at<std::int32_t>(ids), i, vocabulary) * dimension;
      const float* terms[] = {row, frame.at(from) + i * dimension};
      add(terms, row, dimension, false);
    }
  });
}

}  // namespace lepton::cpu
