// Sums that servers and clipping need, in a fixed order so that the result does not depend on the machine.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lepton {

/// sum[i] += weight * values[i] for `count` little-endian floats at any alignment.
void accumulate(float* sum, const std::byte* values, std::int64_t count, float weight);

/// Sum of squares in double, in blocks of 4096 elements: the sum over any split at block borders is the same
/// bits.
double sum_of_squares(const float* values, std::int64_t count);

/// Whether none of `count` little-endian floats at any alignment is infinite or not a number.
bool all_finite(const std::byte* values, std::int64_t count);

}  // namespace lepton
