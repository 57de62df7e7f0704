// Sums over flat arrays that a parameter server needs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lepton {

/// sum[i] += weight * values[i]; `values` are little-endian floats at any alignment. With weight 1 it is a
/// plain sum.
void accumulate(float* sum, const std::byte* values, std::int64_t count, float weight);

/// Sum of squares in double, by blocks of 4096 elements counted from the start, each block in eight
/// interleaved partial sums: the same order on every machine.
double sum_of_squares(const float* values, std::int64_t count);

}  // namespace lepton
