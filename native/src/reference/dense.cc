// Plain loops of dense: x (rows, in), kernel (in, out), y (rows, out).
#include "reference/kernels.h"

namespace lepton::reference {

void dense(const Frame& frame) {
  const std::int64_t n = rows(frame.input_shape(0));
  const std::int64_t in = columns(frame.input_shape(0));
  const std::int64_t out = columns(frame.output_shape(0));
  const double* x = frame.input(0);
  const double* kernel = frame.input(1);
  const double* bias = frame.input(2);
  double* y = frame.output(0);
  for (std::int64_t r = 0; r < n; ++r) {
    for (std::int64_t o = 0; o < out; ++o) y[r * out + o] = bias != nullptr ? bias[o] : 0;
    for (std::int64_t i = 0; i < in; ++i) {
      for (std::int64_t o = 0; o < out; ++o) y[r * out + o] += x[r * in + i] * kernel[i * out + o];
    }
  }
}

void dense_backward_data(const Frame& frame) {
  const std::int64_t n = rows(frame.output_shape(0));
  const std::int64_t in = columns(frame.output_shape(0));
  const std::int64_t out = columns(frame.input_shape(0));
  const double* dy = frame.input(0);
  const double* kernel = frame.input(1);
  double* dx = frame.output(0);
  for (std::int64_t r = 0; r < n; ++r) {
    for (std::int64_t i = 0; i < in; ++i) {
      double total = 0;
      for (std::int64_t o = 0; o < out; ++o) total += dy[r * out + o] * kernel[i * out + o];
      dx[r * in + i] = total;
    }
  }
}

void dense_backward_weights(const Frame& frame) {
  const std::int64_t n = rows(frame.input_shape(0));
  const std::int64_t in = columns(frame.input_shape(0));
  const std::int64_t out = columns(frame.input_shape(1));
  const double* x = frame.input(0);
  const double* dy = frame.input(1);
  double* dkernel = frame.output(0);
  double* dbias = frame.output(1);
  for (std::int64_t i = 0; i < in * out; ++i) dkernel[i] = 0;
  for (std::int64_t r = 0; r < n; ++r) {
    for (std::int64_t i = 0; i < in; ++i) {
      for (std::int64_t o = 0; o < out; ++o) dkernel[i * out + o] += x[r * in + i] * dy[r * out + o];
    }
  }
  if (dbias == nullptr) return;
  for (std::int64_t o = 0; o < out; ++o) {
    dbias[o] = 0;
    for (std::int64_t r = 0; r < n; ++r) dbias[o] += dy[r * out + o];
  }
}

}  // namespace lepton::reference
