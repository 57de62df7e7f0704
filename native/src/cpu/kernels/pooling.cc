// Sums over pixels run in float over short stretches and are joined in float: an image has few pixels at this
// depth.
#include "cpu/kernels/pooling.h"

#include <algorithm>
#include <vector>

#include "cpu/kernels/simd.h"

namespace lepton::cpu {
namespace {

LEPTON_SIMD void add_row(const float* x, float* sums, std::int64_t width) {
  for (std::int64_t i = 0; i < width; ++i) sums[i] += x[i];
}

}  // namespace

void global_average(const float* x, float* y, const ChannelBlocks& blocks, std::int64_t channels,
                    std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kStretch = 64;
  std::vector<float> stretch(static_cast<std::size_t>(blocks.width)), sums(stretch.size());
  const float scale = 1.0f / static_cast<float>(blocks.pixels);
  for (std::int64_t image = begin; image < end; ++image) {
    for (std::int64_t block = 0; block < blocks.blocks; ++block) {
      const float* from = x + (image * blocks.blocks + block) * blocks.pixels * blocks.width;
      std::fill(sums.begin(), sums.end(), 0.0f);
      for (std::int64_t pixel = 0; pixel < blocks.pixels; pixel += kStretch) {
        std::fill(stretch.begin(), stretch.end(), 0.0f);
        const std::int64_t last = std::min(blocks.pixels, pixel + kStretch);
        for (std::int64_t at = pixel; at < last; ++at)
          add_row(from + at * blocks.width, stretch.data(), blocks.width);
        add_row(stretch.data(), sums.data(), blocks.width);
      }
      const std::int64_t channel = block * blocks.width, count = std::min(blocks.width, channels - channel);
      for (std::int64_t i = 0; i < count; ++i) {
        y[image * channels + channel + i] = sums[static_cast<std::size_t>(i)] * scale;
      }
    }
  }
}

void global_average_backward(const float* dy, float* dx, const ChannelBlocks& blocks, std::int64_t channels,
                             std::int64_t begin, std::int64_t end) {
  std::vector<float> row(static_cast<std::size_t>(blocks.width));
  const float scale = 1.0f / static_cast<float>(blocks.pixels);
  for (std::int64_t image = begin; image < end; ++image) {
    for (std::int64_t block = 0; block < blocks.blocks; ++block) {
      const std::int64_t channel = block * blocks.width;
      for (std::int64_t i = 0; i < blocks.width; ++i) {
        row[static_cast<std::size_t>(i)] =
            channel + i < channels ? dy[image * channels + channel + i] * scale : 0.0f;
      }
      float* to = dx + (image * blocks.blocks + block) * blocks.pixels * blocks.width;
      for (std::int64_t pixel = 0; pixel < blocks.pixels; ++pixel) to = std::copy(row.begin(), row.end(), to);
    }
  }
}

}  // namespace lepton::cpu
