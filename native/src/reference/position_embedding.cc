// Plain loops of positionEmbedding: x (batch, length, dimension), table (positions, dimension).
#include <algorithm>

#include "reference/kernels.h"

namespace lepton::reference {

void position_embedding(const Frame& frame) {
  const std::int64_t batch = frame.input_shape(0)[0];
  const std::int64_t size = elements(frame.input_shape(0)) / batch;
  for (std::int64_t n = 0; n < batch; ++n) {
    for (std::int64_t i = 0; i < size; ++i)
      frame.output(0)[n * size + i] = frame.input(0)[n * size + i] + frame.input(1)[i];
  }
}

void position_embedding_backward(const Frame& frame) {
  const std::int64_t batch = frame.input_shape(0)[0];
  const std::int64_t size = elements(frame.input_shape(0)) / batch;
  std::fill_n(frame.output(0), elements(frame.output_shape(0)), 0.0);
  for (std::int64_t n = 0; n < batch; ++n) {
    for (std::int64_t i = 0; i < size; ++i) frame.output(0)[i] += frame.input(0)[n * size + i];
  }
}

}  // namespace lepton::reference
