// Sums run in float over at most kChunk rows and go on in double, so long batches lose nothing and the result
// does not depend on the number of lanes. Work is cut by rows into one slice per thread; slices are joined in
// order.
#include "cpu/kernels/batch_norm.h"

#include <algorithm>

#include "cpu/kernels/lanes.h"
#include "cpu/kernels/simd.h"

namespace lepton::cpu {
namespace {

constexpr std::int64_t kChunk = 128;

/// Rows of one block of one image: `count` rows, `stride` floats apart.
struct Rows {
  std::int64_t offset, count;
};

/// Visits the chunks [begin, end) of a block; chunks are numbered over images and pieces of kChunk pixels.
template <class Visit>
void visit(const ChannelBlocks& blocks, std::int64_t block, std::int64_t begin, std::int64_t end,
           Visit&& visit) {
  const std::int64_t per_image = (blocks.pixels + kChunk - 1) / kChunk;
  for (std::int64_t chunk = begin; chunk < end; ++chunk) {
    const std::int64_t image = chunk / per_image, pixel = chunk % per_image * kChunk;
    const std::int64_t row = (image * blocks.blocks + block) * blocks.pixels + pixel;
    visit(Rows{row * blocks.width, std::min(kChunk, blocks.pixels - pixel)});
  }
}

std::int64_t chunks(const ChannelBlocks& blocks) {
  return blocks.images * ((blocks.pixels + kChunk - 1) / kChunk);
}

/// Two sums of `lanes` neighbouring columns. Full lanes keep them in registers.
struct Columns {
  float first[kLanes], second[kLanes];
};

LEPTON_SIMD void moments(const float* x, const Rows& rows, std::int64_t stride, std::int64_t lanes,
                         const float* shift, Columns& out) {
  if (lanes == kLanes) {
    Lanes sums[4] = {}, squares[4] = {};
    const Lanes origin = load(shift);
    std::int64_t row = 0;
    for (; row + 4 <= rows.count; row += 4) {
      for (int k = 0; k < 4; ++k) {
        const Lanes value = load(x + (row + k) * stride) - origin;
        sums[k] += value;
        squares[k] += value * value;
      }
    }
    for (; row < rows.count; ++row) {
      const Lanes value = load(x + row * stride) - origin;
      sums[0] += value;
      squares[0] += value * value;
    }
    store(out.first, (sums[0] + sums[1]) + (sums[2] + sums[3]));
    store(out.second, (squares[0] + squares[1]) + (squares[2] + squares[3]));
    return;
  }
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    float sum = 0, square = 0;
    for (std::int64_t row = 0; row < rows.count; ++row) {
      const float value = x[row * stride + lane] - shift[lane];
      sum += value;
      square += value * value;
    }
    out.first[lane] = sum;
    out.second[lane] = square;
  }
}

LEPTON_SIMD void products(const float* x, const float* dy, const float* y, const Rows& rows,
                          std::int64_t stride, std::int64_t lanes, const float* mean, Columns& out) {
  if (lanes == kLanes) {
    Lanes sums[4] = {}, with_x[4] = {};
    const Lanes origin = load(mean), zero{};
    const auto add = [&](std::int64_t row, int k) __attribute__((always_inline)) {
      Lanes gradient = load(dy + row * stride);
      if (y != nullptr) gradient = load(y + row * stride) > zero ? gradient : zero;
      sums[k] += gradient;
      with_x[k] += gradient * (load(x + row * stride) - origin);
    };
    std::int64_t row = 0;
    for (; row + 4 <= rows.count; row += 4) {
      for (int k = 0; k < 4; ++k) add(row + k, k);
    }
    for (; row < rows.count; ++row) add(row, 0);
    store(out.first, (sums[0] + sums[1]) + (sums[2] + sums[3]));
    store(out.second, (with_x[0] + with_x[1]) + (with_x[2] + with_x[3]));
    return;
  }
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    float sum = 0, product = 0;
    for (std::int64_t row = 0; row < rows.count; ++row) {
      const std::int64_t at = row * stride + lane;
      const float gradient = y == nullptr || y[at] > 0 ? dy[at] : 0.0f;
      sum += gradient;
      product += gradient * (x[at] - mean[lane]);
    }
    out.first[lane] = sum;
    out.second[lane] = product;
  }
}

/// Runs `column(rows, stride, first channel, offset of the tile in its row, lanes, out)` over everything and
/// adds up.
template <class Column>
void reduce(const NormGeometry& geometry, int threads, NormSums& sums, Column&& column) {
  const ChannelBlocks& blocks = geometry.blocks;
  const std::int64_t channels = geometry.channels(), total = chunks(blocks);
  const std::int64_t slices = std::min<std::int64_t>(threads, total);
  sums.first.assign(static_cast<std::size_t>(slices * channels), 0.0);
  sums.second.assign(static_cast<std::size_t>(slices * channels), 0.0);
  const auto work = [&](std::int64_t slice) {
    double* first = sums.first.data() + slice * channels;
    double* second = sums.second.data() + slice * channels;
    for (std::int64_t block = 0; block < blocks.blocks; ++block) {
      visit(blocks, block, total * slice / slices, total * (slice + 1) / slices, [&](const Rows& rows) {
        for (std::int64_t tile = 0; tile < blocks.width; tile += kLanes) {
          const std::int64_t lanes = std::min(kLanes, blocks.width - tile),
                             channel = block * blocks.width + tile;
          Columns out;
          column(rows, channel, rows.offset + tile, lanes, out);
          for (std::int64_t lane = 0; lane < lanes; ++lane) {
            first[channel + lane] += static_cast<double>(out.first[lane]);
            second[channel + lane] += static_cast<double>(out.second[lane]);
          }
        }
      });
    }
  };
  parallel_slices(slices, threads, total * kChunk * channels, [&](auto begin, auto end) {
    for (auto slice = begin; slice < end; ++slice) work(slice);
  });
  for (std::int64_t slice = 1; slice < slices; ++slice) {
    for (std::int64_t channel = 0; channel < channels; ++channel) {
      const auto to = static_cast<std::size_t>(channel),
                 from = static_cast<std::size_t>(slice * channels + channel);
      sums.first[to] += sums.first[from];
      sums.second[to] += sums.second[from];
    }
  }
}

/// A guess of each channel's mean, so that the sum of squares cancels little.
void guess_means(const float* x, const NormGeometry& geometry, float* guess) {
  const ChannelBlocks& blocks = geometry.blocks;
  const std::int64_t rows = std::min<std::int64_t>(blocks.pixels, 32);
  for (std::int64_t channel = 0; channel < geometry.channels(); ++channel) {
    const float* column = x + channel / blocks.width * blocks.pixels * blocks.width + channel % blocks.width;
    float sum = 0;
    for (std::int64_t row = 0; row < rows; ++row) sum += column[row * blocks.width];
    guess[channel] = sum / static_cast<float>(rows);
  }
}

/// `width` is a constant where it matters: the compiler then keeps the factors in registers over the rows.
template <std::int64_t kWidth>
LEPTON_INLINE void apply_rows(const NormApply& call, std::int64_t offset, std::int64_t rows,
                              std::int64_t channel, std::int64_t dynamic_width) {
  const std::int64_t width = kWidth > 0 ? kWidth : dynamic_width;
  const float *mean = call.mean + channel, *scale = call.scale + channel, *shift = call.shift + channel;
  const float floor = call.relu ? 0.0f : -__builtin_inff();
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* x = call.x + offset + row * width;
    float* y = call.y + offset + row * width;
    if (call.residual != nullptr) {
      const float* residual = call.residual + offset + row * width;
#pragma GCC ivdep
      for (std::int64_t i = 0; i < width; ++i) {
        const float value = (x[i] - mean[i]) * scale[i] + shift[i] + residual[i];
        y[i] = value > floor ? value : floor;
      }
    } else {
#pragma GCC ivdep
      for (std::int64_t i = 0; i < width; ++i) {
        const float value = (x[i] - mean[i]) * scale[i] + shift[i];
        y[i] = value > floor ? value : floor;
      }
    }
  }
}

LEPTON_SIMD void apply_block(const NormApply& call, std::int64_t offset, std::int64_t rows,
                             std::int64_t channel, std::int64_t width) {
  if (width == 16) return apply_rows<16>(call, offset, rows, channel, width);
  apply_rows<0>(call, offset, rows, channel, width);
}

template <std::int64_t kWidth>
LEPTON_INLINE void backward_rows(const NormBackward& call, std::int64_t offset, std::int64_t rows,
                                 std::int64_t channel, std::int64_t dynamic_width) {
  const std::int64_t width = kWidth > 0 ? kWidth : dynamic_width;
  const float *mean = call.mean + channel, *a = call.a + channel, *b = call.b + channel,
              *c = call.c + channel;
  for (std::int64_t row = 0; row < rows; ++row) {
    const float *x = call.x + offset + row * width, *dy = call.dy + offset + row * width;
    const float* y = call.y == nullptr ? nullptr : call.y + offset + row * width;
    float* dx = call.dx + offset + row * width;
    if (y != nullptr) {
#pragma GCC ivdep
      for (std::int64_t i = 0; i < width; ++i) {
        dx[i] = a[i] * (y[i] > 0 ? dy[i] : 0.0f) + (b[i] * (x[i] - mean[i]) + c[i]);
      }
    } else {
#pragma GCC ivdep
      for (std::int64_t i = 0; i < width; ++i) dx[i] = a[i] * dy[i] + (b[i] * (x[i] - mean[i]) + c[i]);
    }
  }
}

LEPTON_SIMD void backward_block(const NormBackward& call, std::int64_t offset, std::int64_t rows,
                                std::int64_t channel, std::int64_t width) {
  if (width == 16) return backward_rows<16>(call, offset, rows, channel, width);
  backward_rows<0>(call, offset, rows, channel, width);
}

/// block(offset, rows, channel, width) over all rows, cut between threads.
template <class Block>
void for_blocks(const NormGeometry& geometry, int threads, Block&& block) {
  const ChannelBlocks& blocks = geometry.blocks;
  parallel_slices(chunks(blocks), threads, kChunk * geometry.channels(), [&](auto begin, auto end) {
    for (std::int64_t at = 0; at < blocks.blocks; ++at) {
      visit(blocks, at, begin, end,
            [&](const Rows& rows) { block(rows.offset, rows.count, at * blocks.width, blocks.width); });
    }
  });
}

}  // namespace

void batch_statistics(const float* x, const NormGeometry& geometry, int threads, NormSums& sums, float* mean,
                      float* variance) {
  guess_means(x, geometry, mean);
  reduce(geometry, threads, sums, [&](const Rows& rows, auto channel, auto offset, auto lanes, Columns& out) {
    moments(x + offset, rows, geometry.blocks.width, lanes, mean + channel, out);
  });
  const auto count = static_cast<double>(geometry.rows());
  for (std::int64_t channel = 0; channel < geometry.channels(); ++channel) {
    const auto at = static_cast<std::size_t>(channel);
    const double difference = sums.first[at] / count;
    variance[channel] = static_cast<float>(std::max(0.0, sums.second[at] / count - difference * difference));
    mean[channel] = static_cast<float>(static_cast<double>(mean[channel]) + difference);
  }
}

void batch_apply(const NormApply& call, const NormGeometry& geometry, int threads) {
  for_blocks(geometry, threads, [&](auto offset, auto rows, auto channel, auto width) {
    apply_block(call, offset, rows, channel, width);
  });
}

void batch_gradient_sums(const float* x, const float* dy, const float* y, const float* mean,
                         const NormGeometry& geometry, int threads, NormSums& sums) {
  reduce(geometry, threads, sums, [&](const Rows& rows, auto channel, auto offset, auto lanes, Columns& out) {
    products(x + offset, dy + offset, y == nullptr ? nullptr : y + offset, rows, geometry.blocks.width, lanes,
             mean + channel, out);
  });
}

void batch_backward(const NormBackward& call, const NormGeometry& geometry, int threads) {
  for_blocks(geometry, threads, [&](auto offset, auto rows, auto channel, auto width) {
    backward_block(call, offset, rows, channel, width);
  });
}

}  // namespace lepton::cpu
