// Plain loops of embedding: rows of a table, and their gradients added up per row.
#include <algorithm>

#include "reference/kernels.h"

namespace lepton::reference {

void embedding(const Frame& frame) {
  const std::int64_t dimension = columns(frame.input_shape(1));
  const std::int32_t* ids = frame.input_int32(0);
  for (std::int64_t i = 0; i < elements(frame.input_shape(0)); ++i) {
    std::copy_n(frame.input(1) + ids[i] * dimension, dimension, frame.output(0) + i * dimension);
  }
}

void embedding_backward(const Frame& frame) {
  const std::int64_t dimension = columns(frame.output_shape(0));
  const std::int32_t* ids = frame.input_int32(0);
  const double* dy = frame.input(1);
  std::fill_n(frame.output(0), elements(frame.output_shape(0)), 0.0);
  for (std::int64_t i = 0; i < elements(frame.input_shape(0)); ++i) {
    for (std::int64_t d = 0; d < dimension; ++d)
      frame.output(0)[ids[i] * dimension + d] += dy[i * dimension + d];
  }
}

}  // namespace lepton::reference
