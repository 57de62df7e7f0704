// Batch normalisation: training, inference and gradient, for images in any layout and for rows of channels.
// Statistics go from forward to backward through the program's values: the batch mean, and the batch variance
// in the place of its inverse deviation (only these two kernels read it).
#include <algorithm>
#include <cmath>
#include <memory>

#include "cpu/kernels/batch_norm.h"
#include "cpu/lowering.h"

namespace lepton::cpu {
namespace {

/// Arrays of one layer as long as its padded channels. Lives as long as the step.
struct Channels {
  explicit Channels(std::int64_t padded) : size(static_cast<std::size_t>(padded)) {
    for (auto* array : {&mean, &variance, &a, &b, &c}) array->resize(size);
  }
  std::size_t size;
  std::vector<float> mean, variance, a, b, c;
  NormSums sums;
};

struct Input {
  Tensor x;
  NormGeometry geometry;
};

Input read_input(Lowering& to, ValueId id) {
  if (to.shape(id).size() == 4) {
    Tensor x = to.read_blocks(id);
    return {x, {*channel_blocks(x.layout)}};
  }
  const std::int64_t channels = to.shape(id).back();
  return {to.read_plain(id), {{1, 1, elements(to.shape(id)) / channels, channels}}};
}

BufferId optional(Lowering& to, ValueId id) { return id == kNone ? -1 : to.read_plain(id).buffer; }

void note(std::vector<BufferId>& list, BufferId id) {
  if (id >= 0) list.push_back(id);
}

/// a = gamma / sqrt(variance + epsilon), b = beta: the factors of the normalisation.
void factors(const Frame& frame, Channels& state, std::int64_t channels, BufferId gamma, BufferId beta,
             double epsilon) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(channels); ++i) {
    const double inverse = 1.0 / std::sqrt(static_cast<double>(state.variance[i]) + epsilon);
    state.a[i] = static_cast<float>(inverse * (gamma < 0 ? 1.0 : static_cast<double>(frame.at(gamma)[i])));
    state.b[i] = beta < 0 ? 0.0f : frame.at(beta)[i];
  }
}

struct Forward {
  NormGeometry geometry;
  std::int64_t channels;
  BufferId x, gamma, beta, mean, variance, y, residual;
  BufferId batch_mean = -1, batch_variance = -1, new_mean = -1, new_variance = -1;
  double epsilon, momentum;
  bool relu;
  std::shared_ptr<Channels> state;

  void apply(const Frame& frame) const {
    factors(frame, *state, channels, gamma, beta, epsilon);
    batch_apply({frame.at(x), residual < 0 ? nullptr : frame.at(residual), state->mean.data(),
                 state->a.data(), state->b.data(), frame.at(y), relu},
                geometry, frame.threads);
  }

  void infer(const Frame& frame) const {
    std::copy_n(frame.at(mean), channels, state->mean.begin());
    std::copy_n(frame.at(variance), channels, state->variance.begin());
    apply(frame);
  }

  void train(const Frame& frame) const {
    batch_statistics(frame.at(x), geometry, frame.threads, state->sums, state->mean.data(),
                     state->variance.data());
    std::copy_n(state->mean.begin(), channels, frame.at(batch_mean));
    std::copy_n(state->variance.begin(), channels, frame.at(batch_variance));
    const auto keep = static_cast<float>(momentum), take = static_cast<float>(1.0 - momentum);
    for (std::size_t i = 0; i < static_cast<std::size_t>(channels); ++i) {
      frame.at(new_mean)[i] = keep * frame.at(mean)[i] + take * state->mean[i];
      frame.at(new_variance)[i] = keep * frame.at(variance)[i] + take * state->variance[i];
    }
    apply(frame);
  }
};

void forward(Lowering& to, const FusedInstruction& op) {
  const Input input = read_input(to, op.inputs[0]);
  Forward step{input.geometry,
               to.shape(op.inputs[0]).back(),
               input.x.buffer,
               optional(to, op.inputs[1]),
               optional(to, op.inputs[2]),
               to.read_plain(op.inputs[3]).buffer,
               to.read_plain(op.inputs[4]).buffer,
               -1,
               -1};
  step.epsilon = op.attributes.epsilon;
  step.momentum = op.attributes.momentum;
  step.relu = op.relu;
  step.state = std::make_shared<Channels>(input.geometry.channels());
  std::vector<BufferId> reads{step.x, step.mean, step.variance}, writes;
  note(reads, step.gamma);
  note(reads, step.beta);
  const Tensor y = to.write(op.outputs[0], input.x.layout);
  step.y = y.buffer;
  writes.push_back(step.y);
  if (op.kind == Kind::kBatchNormInference) {
    to.may_replace(y, {step.x});
    to.own("batch norm", reads, writes, [step](Frame& frame) { step.infer(frame); });
    return;
  }
  step.batch_mean = to.write_plain(op.outputs[1]).buffer;
  step.batch_variance = to.write_plain(op.outputs[2]).buffer;
  step.new_mean = to.write_plain(op.outputs[3]).buffer;
  step.new_variance = to.write_plain(op.outputs[4]).buffer;
  writes.insert(writes.end(), {step.batch_mean, step.batch_variance, step.new_mean, step.new_variance});
  to.own("batch norm", reads, writes, [step](Frame& frame) { step.train(frame); });
}

struct Backward {
  NormGeometry geometry;
  std::int64_t channels;
  BufferId x, dy, y, gamma, batch_mean, batch_variance;
  BufferId dx = -1, dgamma = -1, dbeta = -1;
  double epsilon;
  std::shared_ptr<Channels> state;

  void run(const Frame& frame) const {
    const float* relu = y < 0 ? nullptr : frame.at(y);
    std::copy_n(frame.at(batch_mean), channels, state->mean.begin());
    batch_gradient_sums(frame.at(x), frame.at(dy), relu, state->mean.data(), geometry, frame.threads,
                        state->sums);
    coefficients(frame);
    if (dx < 0) return;
    batch_backward({frame.at(x), frame.at(dy), relu, state->mean.data(), state->a.data(), state->b.data(),
                    state->c.data(), frame.at(dx)},
                   geometry, frame.threads);
  }

  /// dx = gamma inv (dy - mean(dy) - xhat mean(dy xhat)), written as a dy + b (x - mean) + c.
  void coefficients(const Frame& frame) const {
    const auto count = static_cast<double>(geometry.rows());
    for (std::size_t i = 0; i < static_cast<std::size_t>(channels); ++i) {
      const double inverse = 1.0 / std::sqrt(static_cast<double>(frame.at(batch_variance)[i]) + epsilon);
      const double beta_gradient = state->sums.first[i], gamma_gradient = state->sums.second[i] * inverse;
      if (dgamma >= 0) frame.at(dgamma)[i] = static_cast<float>(gamma_gradient);
      if (dbeta >= 0) frame.at(dbeta)[i] = static_cast<float>(beta_gradient);
      const double a = inverse * (gamma < 0 ? 1.0 : static_cast<double>(frame.at(gamma)[i]));
      state->a[i] = static_cast<float>(a);
      state->b[i] = static_cast<float>(-a * inverse * gamma_gradient / count);
      state->c[i] = static_cast<float>(-a * beta_gradient / count);
    }
  }
};

void backward(Lowering& to, const FusedInstruction& op) {
  const Input input = read_input(to, op.inputs[0]);
  Backward step{input.geometry,
                to.shape(op.inputs[0]).back(),
                input.x.buffer,
                to.read(op.inputs[1], input.x.layout).buffer,
                op.relu ? to.read(op.relu_output, input.x.layout).buffer : -1,
                optional(to, op.inputs[2]),
                to.read_plain(op.inputs[3]).buffer,
                to.read_plain(op.inputs[4]).buffer};
  step.epsilon = op.attributes.epsilon;
  step.state = std::make_shared<Channels>(input.geometry.channels());
  std::vector<BufferId> reads{step.x, step.dy, step.batch_mean, step.batch_variance}, writes;
  note(reads, step.y);
  note(reads, step.gamma);
  if (op.outputs[0] != kNone) {
    const Tensor dx = to.write(op.outputs[0], input.x.layout);
    to.may_replace(dx, {step.dy, step.x});
    step.dx = dx.buffer;
    writes.push_back(step.dx);
  }
  if (op.outputs[1] != kNone) writes.push_back(step.dgamma = to.write_plain(op.outputs[1]).buffer);
  if (op.outputs[2] != kNone) writes.push_back(step.dbeta = to.write_plain(op.outputs[2]).buffer);
  to.own("batch norm backward", reads, writes, [step](Frame& frame) { step.run(frame); });
}

}  // namespace

void lower_batch_norm(Lowering& to, const FusedInstruction& op) {
  if (op.kind == Kind::kBatchNormBackward) return backward(to, op);
  forward(to, op);
}

}  // namespace lepton::cpu
