// Plain loop of dropout, forward and backward: kept elements times 1 / (1 - rate), the others 0.
#include "reference/kernels.h"

namespace lepton::reference {

void dropout(const Frame& frame) {
  const double rate = frame.attributes().alpha;
  const std::uint64_t threshold = DropoutMask::threshold(rate);
  for (std::int64_t i = 0; i < elements(frame.input_shape(0)); ++i) {
    const auto index = static_cast<std::uint64_t>(i);
    const bool kept = frame.mask().words(index / 4)[index % 4] >= threshold;
    frame.output(0)[i] = kept ? frame.input(0)[i] / (1 - rate) : 0;
  }
}

}  // namespace lepton::reference
