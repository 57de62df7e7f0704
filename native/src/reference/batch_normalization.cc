// Plain loops of batch normalization: statistics per channel over all rows, population variance, as in Keras.
#include <cmath>

#include "reference/kernels.h"

namespace lepton::reference {

void batch_norm_training(const Frame& frame) {
  const std::int64_t n = rows(frame.input_shape(0));
  const std::int64_t channels = columns(frame.input_shape(0));
  const double momentum = frame.attributes().momentum;
  const double* x = frame.input(0);
  for (std::int64_t c = 0; c < channels; ++c) {
    double mean = 0;
    for (std::int64_t r = 0; r < n; ++r) mean += x[r * channels + c];
    mean /= static_cast<double>(n);
    double variance = 0;
    for (std::int64_t r = 0; r < n; ++r)
      variance += (x[r * channels + c] - mean) * (x[r * channels + c] - mean);
    variance /= static_cast<double>(n);
    const double inverse = 1 / std::sqrt(variance + frame.attributes().epsilon);
    const double gamma = frame.input(1) != nullptr ? frame.input(1)[c] : 1;
    const double beta = frame.input(2) != nullptr ? frame.input(2)[c] : 0;
    for (std::int64_t r = 0; r < n; ++r) {
      frame.output(0)[r * channels + c] = (x[r * channels + c] - mean) * inverse * gamma + beta;
    }
    frame.output(1)[c] = mean;
    frame.output(2)[c] = inverse;
    frame.output(3)[c] = momentum * frame.input(3)[c] + (1 - momentum) * mean;
    frame.output(4)[c] = momentum * frame.input(4)[c] + (1 - momentum) * variance;
  }
}

void batch_norm_inference(const Frame& frame) {
  const std::int64_t channels = columns(frame.input_shape(0));
  const double* x = frame.input(0);
  for (std::int64_t i = 0; i < elements(frame.input_shape(0)); ++i) {
    const std::int64_t c = i % channels;
    const double gamma = frame.input(1) != nullptr ? frame.input(1)[c] : 1;
    const double beta = frame.input(2) != nullptr ? frame.input(2)[c] : 0;
    const double inverse = 1 / std::sqrt(frame.input(4)[c] + frame.attributes().epsilon);
    frame.output(0)[i] = (x[i] - frame.input(3)[c]) * inverse * gamma + beta;
  }
}

void batch_norm_backward(const Frame& frame) {
  const std::int64_t n = rows(frame.input_shape(0));
  const std::int64_t channels = columns(frame.input_shape(0));
  const double* x = frame.input(0);
  const double* dy = frame.input(1);
  double* dx = frame.output(0);
  for (std::int64_t c = 0; c < channels; ++c) {
    const double mean = frame.input(3)[c];
    const double inverse = frame.input(4)[c];
    const double gamma = frame.input(2) != nullptr ? frame.input(2)[c] : 1;
    double sum_dy = 0;
    double sum_dy_normal = 0;  // of dy times the normalized x
    for (std::int64_t r = 0; r < n; ++r) {
      sum_dy += dy[r * channels + c];
      sum_dy_normal += dy[r * channels + c] * (x[r * channels + c] - mean) * inverse;
    }
    if (frame.output(1) != nullptr) frame.output(1)[c] = sum_dy_normal;
    if (frame.output(2) != nullptr) frame.output(2)[c] = sum_dy;
    if (dx == nullptr) continue;
    for (std::int64_t r = 0; r < n; ++r) {
      const double normal = (x[r * channels + c] - mean) * inverse;
      const double centered =
          dy[r * channels + c] - (sum_dy + normal * sum_dy_normal) / static_cast<double>(n);
      dx[r * channels + c] = gamma * inverse * centered;
    }
  }
}

}  // namespace lepton::reference
