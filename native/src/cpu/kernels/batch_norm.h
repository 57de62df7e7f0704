// Batch normalisation over rows of neighbouring channels, whatever the layout (cpu/layout.h, ChannelBlocks).
// Per-channel arrays are as long as the padded channels; padding lanes come out as zero because their factors
// are zero.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/layout.h"

namespace lepton::cpu {

/// Where the rows are and how they are cut into pieces of work.
struct NormGeometry {
  ChannelBlocks blocks;
  std::int64_t channels() const { return blocks.blocks * blocks.width; }  // padded
  std::int64_t rows() const { return blocks.images * blocks.pixels; }     // values per channel
};

/// Two sums per channel, in double, reused between runs.
struct NormSums {
  std::vector<double> first, second;  // by slice and channel
};

/// Mean and biased variance of each channel: single pass, shifted by the mean of the first rows.
void batch_statistics(const float* x, const NormGeometry& geometry, int threads, NormSums& sums, float* mean,
                      float* variance);

/// y = (x - mean) * scale + shift; then + residual if given; then relu if asked for.
struct NormApply {
  const float *x, *residual, *mean, *scale, *shift;
  float* y;
  bool relu;
};
void batch_apply(const NormApply& call, const NormGeometry& geometry, int threads);

/// sums: first = sum dy, second = sum dy * (x - mean), where dy counts as 0 where `y` (optional) is not
/// positive.
void batch_gradient_sums(const float* x, const float* dy, const float* y, const float* mean,
                         const NormGeometry& geometry, int threads, NormSums& sums);

/// dx = a * dy + b * (x - mean) + c, with dy as above. dx may be dy.
struct NormBackward {
  const float *x, *dy, *y, *mean, *a, *b, *c;
  float* dx;
};
void batch_backward(const NormBackward& call, const NormGeometry& geometry, int threads);

}  // namespace lepton::cpu
