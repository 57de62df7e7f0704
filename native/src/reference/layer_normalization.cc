// Plain loops of layer normalization: statistics per row over the last dimension.
#include <algorithm>
#include <cmath>

#include "reference/kernels.h"

namespace lepton::reference {

void layer_norm(const Frame& frame) {
  const std::int64_t n = rows(frame.input_shape(0));
  const std::int64_t channels = columns(frame.input_shape(0));
  for (std::int64_t r = 0; r < n; ++r) {
    const double* x = frame.input(0) + r * channels;
    double* y = frame.output(0) + r * channels;
    double mean = 0;
    for (std::int64_t c = 0; c < channels; ++c) mean += x[c] / static_cast<double>(channels);
    double variance = 0;
    for (std::int64_t c = 0; c < channels; ++c) {
      variance += (x[c] - mean) * (x[c] - mean) / static_cast<double>(channels);
    }
    const double inverse = 1 / std::sqrt(variance + frame.attributes().epsilon);
    for (std::int64_t c = 0; c < channels; ++c) {
      const double gamma = frame.input(1) != nullptr ? frame.input(1)[c] : 1;
      const double beta = frame.input(2) != nullptr ? frame.input(2)[c] : 0;
      y[c] = (x[c] - mean) * inverse * gamma + beta;
    }
    if (frame.output(1) != nullptr) frame.output(1)[r] = mean;
    if (frame.output(2) != nullptr) frame.output(2)[r] = inverse;
  }
}

void layer_norm_backward(const Frame& frame) {
  const std::int64_t n = rows(frame.input_shape(0));
  const std::int64_t channels = columns(frame.input_shape(0));
  double* dgamma = frame.output(1);
  double* dbeta = frame.output(2);
  if (dgamma != nullptr) std::fill_n(dgamma, channels, 0.0);
  if (dbeta != nullptr) std::fill_n(dbeta, channels, 0.0);
  for (std::int64_t r = 0; r < n; ++r) {
    const double* x = frame.input(0) + r * channels;
    const double* dy = frame.input(1) + r * channels;
    const double mean = frame.input(3)[r];
    const double inverse = frame.input(4)[r];
    double sum = 0;         // of dy gamma
    double sum_normal = 0;  // of dy gamma times the normalized x
    for (std::int64_t c = 0; c < channels; ++c) {
      const double gamma = frame.input(2) != nullptr ? frame.input(2)[c] : 1;
      const double normal = (x[c] - mean) * inverse;
      sum += dy[c] * gamma;
      sum_normal += dy[c] * gamma * normal;
      if (dgamma != nullptr) dgamma[c] += dy[c] * normal;
      if (dbeta != nullptr) dbeta[c] += dy[c];
    }
    if (frame.output(0) == nullptr) continue;
    for (std::int64_t c = 0; c < channels; ++c) {
      const double gamma = frame.input(2) != nullptr ? frame.input(2)[c] : 1;
      const double normal = (x[c] - mean) * inverse;
      frame.output(0)[r * channels + c] =
          inverse * (dy[c] * gamma - (sum + normal * sum_normal) / static_cast<double>(channels));
    }
  }
}

}  // namespace lepton::reference
