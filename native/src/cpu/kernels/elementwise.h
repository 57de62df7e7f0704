// Sums, products and rectifiers over flat arrays of floats. `out` may be `a` or `b`.
#pragma once

#include <cstdint>
#include <span>

namespace lepton::cpu {

/// out = inputs[0] + inputs[1] + ..., in this order; then max(out, 0) if `relu`.
void add(std::span<const float* const> inputs, float* out, std::int64_t count, bool relu);
/// out = inputs[0] * inputs[1] * ...
void multiply(std::span<const float* const> inputs, float* out, std::int64_t count);
/// out = x > 0 ? x : slope * x
void leaky_relu(const float* x, float* out, std::int64_t count, float slope);
/// dx = y > 0 ? dy : slope * dy
void leaky_relu_backward(const float* y, const float* dy, float* dx, std::int64_t count, float slope);

}  // namespace lepton::cpu
