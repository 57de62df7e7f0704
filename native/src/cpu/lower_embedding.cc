// Embeddings: rows of a table by index or by position, and the dense gradient of the table.
#include <algorithm>
#include <cstring>

#include "cpu/kernels/elementwise.h"
#include "cpu/kernels/simd.h"
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

namespace {

struct Samples {
  std::int64_t count, size;
};

Samples samples(const Shape& shape) { return {shape[0], elements(shape) / shape[0]}; }

/// The samples' gradients added up, one slice of their elements per thread; rows past their end get none.
void position_gradient(Lowering& to, const FusedInstruction& op) {
  const auto [count, size] = samples(to.shape(op.inputs[0]));
  const std::int64_t rest = elements(to.shape(op.outputs[0])) - size;
  const BufferId dy = to.read_plain(op.inputs[0]).buffer, result = to.write_plain(op.outputs[0]).buffer;
  to.own("position embedding backward", {dy}, {result}, [=, count = count, size = size](Frame& frame) {
    parallel_slices(size, frame.threads, count, [&](auto begin, auto end) {
      std::vector<const float*> terms;
      for (std::int64_t n = 0; n < count; ++n) terms.push_back(frame.at(dy) + n * size + begin);
      add(terms, frame.at(result) + begin, end - begin, false);
    });
    std::fill_n(frame.at(result) + size, rest, 0.0f);
  });
}

}  // namespace

void lower_position_embedding(Lowering& to, const FusedInstruction& op) {
  if (op.kind == Kind::kPositionEmbeddingBackward) return position_gradient(to, op);
  const auto [count, size] = samples(to.shape(op.inputs[0]));
  const BufferId x = to.read_plain(op.inputs[0]).buffer, table = to.read_plain(op.inputs[1]).buffer;
  const Tensor y = to.write_plain(op.outputs[0]);
  to.may_replace(y, {x});
  to.own("position embedding", {x, table}, {y.buffer},
         [=, count = count, size = size, y = y.buffer](Frame& frame) {
           parallel_slices(count, frame.threads, 2 * size, [&](auto begin, auto end) {
             for (auto n = begin; n < end; ++n) {
               const float* terms[] = {frame.at(x) + n * size, frame.at(table)};
               add(terms, frame.at(y) + n * size, size, false);
             }
           });
         });
}

}  // namespace lepton::cpu
