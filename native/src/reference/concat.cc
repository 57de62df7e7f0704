// Plain loops of concat and its gradient: blocks of consecutive elements side by side.
#include <algorithm>

#include "reference/kernels.h"

namespace lepton::reference {
namespace {

struct Blocks {
  std::int64_t count = 1;  // product of the dimensions before the axis
  std::int64_t inner = 1;  // product of those after it
  std::int64_t along = 0;  // length of the whole along the axis
};

Blocks blocks(const Shape& whole, std::int64_t axis) {
  Blocks result;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    if (static_cast<std::int64_t>(i) < axis) result.count *= whole[i];
    if (static_cast<std::int64_t>(i) > axis) result.inner *= whole[i];
  }
  result.along = whole[static_cast<std::size_t>(axis)];
  return result;
}

}  // namespace

void concat(const Frame& frame) {
  const std::int64_t axis = frame.attributes().axis;
  const Blocks whole = blocks(frame.output_shape(0), axis);
  std::int64_t start = 0;
  for (std::size_t k = 0; k < frame.input_count(); ++k) {
    const std::int64_t length = frame.input_shape(k)[static_cast<std::size_t>(axis)] * whole.inner;
    for (std::int64_t b = 0; b < whole.count; ++b) {
      std::copy_n(frame.input(k) + b * length, length,
                  frame.output(0) + b * whole.along * whole.inner + start);
    }
    start += length;
  }
}

void split(const Frame& frame) {
  const Blocks whole = blocks(frame.input_shape(0), frame.attributes().axis);
  std::int64_t start = 0;
  for (std::size_t k = 0; k < frame.output_count(); ++k) {
    const std::int64_t length = frame.attributes().sizes[k] * whole.inner;
    for (std::int64_t b = 0; b < whole.count && frame.output(k) != nullptr; ++b) {
      std::copy_n(frame.input(0) + b * whole.along * whole.inner + start, length,
                  frame.output(k) + b * length);
    }
    start += length;
  }
}

}  // namespace lepton::reference
