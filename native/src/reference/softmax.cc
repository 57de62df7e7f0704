// Plain loops of softmax over the last dimension.
#include <algorithm>
#include <cmath>

#include "reference/kernels.h"

namespace lepton::reference {

void softmax(const Frame& frame) {
  const std::int64_t classes = columns(frame.input_shape(0));
  for (std::int64_t r = 0; r < rows(frame.input_shape(0)); ++r) {
    const double* x = frame.input(0) + r * classes;
    double* y = frame.output(0) + r * classes;
    const double top = *std::max_element(x, x + classes);
    double total = 0;
    for (std::int64_t c = 0; c < classes; ++c) total += y[c] = std::exp(x[c] - top);
    for (std::int64_t c = 0; c < classes; ++c) y[c] /= total;
  }
}

void softmax_backward(const Frame& frame) {
  const std::int64_t classes = columns(frame.input_shape(0));
  for (std::int64_t r = 0; r < rows(frame.input_shape(0)); ++r) {
    const double* y = frame.input(0) + r * classes;
    const double* dy = frame.input(1) + r * classes;
    double dot = 0;
    for (std::int64_t c = 0; c < classes; ++c) dot += y[c] * dy[c];
    for (std::int64_t c = 0; c < classes; ++c) frame.output(0)[r * classes + c] = y[c] * (dy[c] - dot);
  }
}

}  // namespace lepton::reference
