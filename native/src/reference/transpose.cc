// Plain loops of transpose: output dimension i is input dimension permutation[i].
#include "reference/kernels.h"

namespace lepton::reference {
namespace {

// Calls visit(x index, y index) for every element of y.
template <typename Visit>
void for_each_pair(const Shape& x, const Shape& y, const std::vector<std::int64_t>& permutation,
                   Visit visit) {
  std::vector<std::int64_t> stride(x.size(), 1);
  for (std::size_t i = x.size() - 1; i-- > 0;) stride[i] = stride[i + 1] * x[i + 1];
  for (std::int64_t iy = 0; iy < elements(y); ++iy) {
    std::int64_t rest = iy;
    std::int64_t ix = 0;
    for (std::size_t i = y.size(); i-- > 0;) {
      ix += rest % y[i] * stride[static_cast<std::size_t>(permutation[i])];
      rest /= y[i];
    }
    visit(ix, iy);
  }
}

}  // namespace

void transpose(const Frame& frame) {
  for_each_pair(frame.input_shape(0), frame.output_shape(0), frame.attributes().permutation,
                [&](std::int64_t ix, std::int64_t iy) { frame.output(0)[iy] = frame.input(0)[ix]; });
}

void transpose_backward(const Frame& frame) {
  for_each_pair(frame.output_shape(0), frame.input_shape(0), frame.attributes().permutation,
                [&](std::int64_t ix, std::int64_t iy) { frame.output(0)[ix] = frame.input(0)[iy]; });
}

}  // namespace lepton::reference
