// Plain loops that the compiler vectorises per clone.
#include "cpu/kernels/elementwise.h"

#include <algorithm>

#include "cpu/kernels/simd.h"

namespace lepton::cpu {
namespace {

constexpr std::int64_t kBlock =
    2048;  // floats; a block of the result stays in the first-level cache between passes

// The result may be one of the operands, element for element, which the vectoriser must not have to check.
#define LEPTON_IN_PLACE _Pragma("GCC ivdep")

LEPTON_SIMD void add_pair(const float* a, const float* b, float* out, std::int64_t count) {
  LEPTON_IN_PLACE
  for (std::int64_t i = 0; i < count; ++i) out[i] = a[i] + b[i];
}

LEPTON_SIMD void add_pair_relu(const float* a, const float* b, float* out, std::int64_t count) {
  LEPTON_IN_PLACE
  for (std::int64_t i = 0; i < count; ++i) {
    const float sum = a[i] + b[i];
    out[i] = sum > 0 ? sum : 0;
  }
}

LEPTON_SIMD void multiply_pair(const float* a, const float* b, float* out, std::int64_t count) {
  LEPTON_IN_PLACE
  for (std::int64_t i = 0; i < count; ++i) out[i] = a[i] * b[i];
}

template <class Pair, class Last>
void fold(std::span<const float* const> inputs, float* out, std::int64_t count, Pair pair, Last last) {
  for (std::int64_t at = 0; at < count; at += kBlock) {
    const std::int64_t size = std::min(kBlock, count - at);
    for (std::size_t i = 1; i < inputs.size(); ++i) {
      const float* left = (i == 1 ? inputs[0] : out) + at;
      (i + 1 == inputs.size() ? last : pair)(left, inputs[i] + at, out + at, size);
    }
  }
}

}  // namespace

void add(std::span<const float* const> inputs, float* out, std::int64_t count, bool relu) {
  if (inputs.size() == 1)
    return relu ? leaky_relu(inputs[0], out, count, 0) : void(std::copy_n(inputs[0], count, out));
  fold(inputs, out, count, add_pair, relu ? add_pair_relu : add_pair);
}

void multiply(std::span<const float* const> inputs, float* out, std::int64_t count) {
  if (inputs.size() == 1) return void(std::copy_n(inputs[0], count, out));
  fold(inputs, out, count, multiply_pair, multiply_pair);
}

LEPTON_SIMD void leaky_relu(const float* x, float* out, std::int64_t count, float slope) {
  LEPTON_IN_PLACE
  for (std::int64_t i = 0; i < count; ++i) out[i] = x[i] > 0 ? x[i] : slope * x[i];
}

LEPTON_SIMD void leaky_relu_backward(const float* y, const float* dy, float* dx, std::int64_t count,
                                     float slope) {
  LEPTON_IN_PLACE
  for (std::int64_t i = 0; i < count; ++i) dx[i] = y[i] > 0 ? dy[i] : slope * dy[i];
}

}  // namespace lepton::cpu
