// Softmax and layer normalisation: rows over the last dimension, always on plain bytes.
#include <algorithm>

#include "cpu/kernels/rows.h"
#include "cpu/kernels/simd.h"
#include "cpu/lowering.h"

namespace lepton::cpu {
namespace {

struct RowShape {
  std::int64_t rows, columns;
};

RowShape row_shape(const Shape& shape) { return {elements(shape) / shape.back(), shape.back()}; }

float* at(const Frame& frame, BufferId id) { return id < 0 ? nullptr : frame.at(id); }
float* shifted(float* from, std::int64_t by) { return from == nullptr ? nullptr : from + by; }

void layer_norm_forward(Lowering& to, const FusedInstruction& op) {
  const auto [rows, columns] = row_shape(to.shape(op.inputs[0]));
  std::vector<BufferId> reads{to.read_plain(op.inputs[0]).buffer}, writes;
  const BufferId x = reads[0], gamma = to.read_optional(op.inputs[1], reads),
                 beta = to.read_optional(op.inputs[2], reads);
  const Tensor y = to.write_plain(op.outputs[0]);
  writes.push_back(y.buffer);
  const BufferId mean = to.write_optional(op.outputs[1], writes);
  const BufferId inverse = to.write_optional(op.outputs[2], writes);
  to.may_replace(y, {x});
  to.own("layer norm", reads, writes,
         [=, rows = rows, columns = columns, y = y.buffer, epsilon = op.attributes.epsilon](Frame& frame) {
           parallel_slices(rows, frame.threads, columns * 4, [&](auto begin, auto end) {
             layer_norm(frame.at(x) + begin * columns, at(frame, gamma), at(frame, beta),
                        frame.at(y) + begin * columns, shifted(at(frame, mean), begin),
                        shifted(at(frame, inverse), begin), end - begin, columns, epsilon);
           });
         });
}

struct LayerNormStep {
  std::int64_t rows, columns;
  BufferId x, dy, gamma, mean, inverse, dx, dgamma, dbeta;

  void run(const Frame& frame) const {
    const std::int64_t slices = std::min<std::int64_t>(frame.threads, rows);
    const bool parameters = dgamma >= 0 || dbeta >= 0;
    std::vector<double> sums(parameters ? static_cast<std::size_t>(2 * slices * columns) : 0, 0.0);
    parallel_slices(slices, frame.threads, rows * columns * 4, [&](auto first, auto last) {
      for (auto slice = first; slice < last; ++slice) run_slice(frame, slice, slices, sums);
    });
    for (std::int64_t c = 0; parameters && c < columns; ++c) {
      double gamma_sum = 0, beta_sum = 0;
      for (std::int64_t slice = 0; slice < slices; ++slice) {
        gamma_sum += sums[static_cast<std::size_t>(2 * slice * columns + c)];
        beta_sum += sums[static_cast<std::size_t>((2 * slice + 1) * columns + c)];
      }
      if (dgamma >= 0) frame.at(dgamma)[c] = static_cast<float>(gamma_sum);
      if (dbeta >= 0) frame.at(dbeta)[c] = static_cast<float>(beta_sum);
    }
  }

  void run_slice(const Frame& frame, std::int64_t slice, std::int64_t slices,
                 std::vector<double>& sums) const {
    const std::int64_t begin = rows * slice / slices, end = rows * (slice + 1) / slices;
    double* own = sums.empty() ? nullptr : sums.data() + 2 * slice * columns;
    layer_norm_backward(
        {frame.at(x) + begin * columns, frame.at(dy) + begin * columns, at(frame, gamma),
         frame.at(mean) + begin, frame.at(inverse) + begin, shifted(at(frame, dx), begin * columns), own,
         own == nullptr ? nullptr : own + columns},
        end - begin, columns);
  }
};

void layer_norm_gradient(Lowering& to, const FusedInstruction& op) {
  const auto [rows, columns] = row_shape(to.shape(op.inputs[0]));
  std::vector<BufferId> reads{to.read_plain(op.inputs[0]).buffer, to.read_plain(op.inputs[1]).buffer}, writes;
  LayerNormStep step{rows, columns, reads[0], reads[1], -1, -1, -1, -1, -1, -1};
  step.gamma = to.read_optional(op.inputs[2], reads);
  step.mean = to.read_optional(op.inputs[3], reads);
  step.inverse = to.read_optional(op.inputs[4], reads);
  step.dx = to.write_optional(op.outputs[0], writes);
  step.dgamma = to.write_optional(op.outputs[1], writes);
  step.dbeta = to.write_optional(op.outputs[2], writes);
  if (step.dx >= 0) to.may_replace({Layout(), step.dx}, {step.dy, step.x});
  to.own("layer norm backward", reads, writes, [step](Frame& frame) { step.run(frame); });
}

}  // namespace

void lower_layer_norm(Lowering& to, const FusedInstruction& op) {
  if (op.kind == Kind::kLayerNorm) return layer_norm_forward(to, op);
  layer_norm_gradient(to, op);
}

void lower_softmax(Lowering& to, const FusedInstruction& op) {
  const auto [rows, columns] = row_shape(to.shape(op.inputs[0]));
  const bool backward = op.kind == Kind::kSoftmaxBackward;
  const BufferId first = to.read_plain(op.inputs[0]).buffer;
  const BufferId second = backward ? to.read_plain(op.inputs[1]).buffer : first;
  const Tensor result = to.write_plain(op.outputs[0]);
  to.may_replace(result, {second, first});
  to.own(backward ? "softmax backward" : "softmax", {first, second}, {result.buffer},
         [=, rows = rows, columns = columns, result = result.buffer](Frame& frame) {
           parallel_slices(rows, frame.threads, columns * 4, [&](auto begin, auto end) {
             const float *x = frame.at(first) + begin * columns, *dy = frame.at(second) + begin * columns;
             float* y = frame.at(result) + begin * columns;
             if (backward) return softmax_backward(x, dy, y, end - begin, columns);
             softmax(x, y, end - begin, columns);
           });
         });
}

}  // namespace lepton::cpu
