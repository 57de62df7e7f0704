// Global average pooling over the pixels of images in block layouts. Rows of y and dy are plain (images,
// channels).
#pragma once

#include <cstdint>

#include "cpu/layout.h"

namespace lepton::cpu {

/// y[image][channel] = mean over pixels, for images [begin, end).
void global_average(const float* x, float* y, const ChannelBlocks& blocks, std::int64_t channels,
                    std::int64_t begin, std::int64_t end);
/// dx[image][pixel][channel] = dy[image][channel] / pixels; padding channels become zero.
void global_average_backward(const float* dy, float* dx, const ChannelBlocks& blocks, std::int64_t channels,
                             std::int64_t begin, std::int64_t end);

}  // namespace lepton::cpu
