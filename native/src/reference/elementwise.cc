// Plain loops of add (and of gradients that meet) and multiply. The gradient of one factor is dy times the
// others.
#include "reference/kernels.h"

namespace lepton::reference {

void sum(const Frame& frame) {
  for (std::int64_t i = 0; i < elements(frame.output_shape(0)); ++i) {
    double total = 0;
    for (std::size_t k = 0; k < frame.input_count(); ++k) total += frame.input(k)[i];
    frame.output(0)[i] = total;
  }
}

void product(const Frame& frame) {
  for (std::int64_t i = 0; i < elements(frame.output_shape(0)); ++i) {
    double total = 1;
    for (std::size_t k = 0; k < frame.input_count(); ++k) total *= frame.input(k)[i];
    frame.output(0)[i] = total;
  }
}

}  // namespace lepton::reference
