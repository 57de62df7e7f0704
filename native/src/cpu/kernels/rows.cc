// One row at a time, sixteen columns at a time. Sums over a row are kept per lane and joined in a fixed
// order.
#include "cpu/kernels/rows.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "cpu/kernels/lanes.h"
#include "cpu/kernels/simd.h"

namespace lepton::cpu {
namespace {

LEPTON_INLINE float row_max(const float* x, std::int64_t columns) {
  float top = -std::numeric_limits<float>::infinity();
  std::int64_t c = 0;
  if (columns >= kLanes) {
    Lanes tops = load(x);
    for (c = kLanes; c + kLanes <= columns; c += kLanes) tops = larger(load(x + c), tops);
    for (int i = 0; i < kLanes; ++i) top = std::max(top, tops[i]);
  }
  for (; c < columns; ++c) top = std::max(top, x[c]);
  return top;
}

/// The last columns of a row as full lanes, filled up with `fill`.
LEPTON_INLINE Lanes load_tail(const float* x, std::int64_t count, float fill) {
  float padded[kLanes];
  for (std::int64_t i = 0; i < kLanes; ++i) padded[i] = i < count ? x[i] : fill;
  return load(padded);
}

LEPTON_INLINE void store_tail(float* to, std::int64_t count, const Lanes& value) {
  float padded[kLanes];
  store(padded, value);
  for (std::int64_t i = 0; i < count; ++i) to[i] = padded[i];
}

/// Writes e^(x - top) and returns the sum. Lanes past the end stay out of it.
LEPTON_INLINE float exponentiate(const float* x, float* out, std::int64_t columns, float top) {
  Lanes sums{};
  std::int64_t c = 0;
  for (; c + kLanes <= columns; c += kLanes) {
    const Lanes value = exp_of(load(x + c) - top);
    sums += value;
    if (out != nullptr) store(out + c, value);
  }
  float sum = sum_of(sums);
  if (c < columns) {
    const Lanes value = exp_of(load_tail(x + c, columns - c, top) - top);
    for (std::int64_t i = 0; i < columns - c; ++i) sum += value[i];
    if (out != nullptr) store_tail(out + c, columns - c, value);
  }
  return sum;
}

LEPTON_INLINE float dot(const float* a, const float* b, std::int64_t columns) {
  Lanes sums{};
  std::int64_t c = 0;
  for (; c + kLanes <= columns; c += kLanes) sums += load(a + c) * load(b + c);
  float sum = sum_of(sums);
  for (; c < columns; ++c) sum += a[c] * b[c];
  return sum;
}

}  // namespace

LEPTON_SIMD void softmax(const float* x, float* y, std::int64_t rows, std::int64_t columns) {
  for (std::int64_t r = 0; r < rows; ++r, x += columns, y += columns) {
    const float scale = 1.0f / exponentiate(x, y, columns, row_max(x, columns));
    for (std::int64_t c = 0; c < columns; ++c) y[c] *= scale;
  }
}

LEPTON_SIMD void softmax_backward(const float* y, const float* dy, float* dx, std::int64_t rows,
                                  std::int64_t columns) {
  for (std::int64_t r = 0; r < rows; ++r, y += columns, dy += columns, dx += columns) {
    const float projection = dot(y, dy, columns);
#pragma GCC ivdep
    for (std::int64_t c = 0; c < columns; ++c) dx[c] = y[c] * (dy[c] - projection);
  }
}

LEPTON_SIMD double exponentials(const float* x, float* out, std::int64_t columns, double* sum) {
  const float top = row_max(x, columns);
  *sum = static_cast<double>(exponentiate(x, out, columns, top));
  return static_cast<double>(top) + std::log(*sum);
}

LEPTON_SIMD void layer_norm(const float* x, const float* gamma, const float* beta, float* y, float* mean,
                            float* inverse, std::int64_t rows, std::int64_t columns, double epsilon) {
  for (std::int64_t r = 0; r < rows; ++r, x += columns, y += columns) {
    Lanes sums{};
    std::int64_t c = 0;
    for (; c + kLanes <= columns; c += kLanes) sums += load(x + c);
    float sum = sum_of(sums);
    for (; c < columns; ++c) sum += x[c];
    const float center = sum / static_cast<float>(columns);
    Lanes squares{};
    for (c = 0; c + kLanes <= columns; c += kLanes) {
      const Lanes value = load(x + c) - center;
      squares += value * value;
    }
    float square = sum_of(squares);
    for (; c < columns; ++c) square += (x[c] - center) * (x[c] - center);
    const auto variance = static_cast<double>(square) / static_cast<double>(columns);
    const auto scale = static_cast<float>(1.0 / std::sqrt(variance + epsilon));
    if (mean != nullptr) mean[r] = center;
    if (inverse != nullptr) inverse[r] = scale;
#pragma GCC ivdep
    for (c = 0; c < columns; ++c) {
      const float normal = (x[c] - center) * scale;
      y[c] = normal * (gamma == nullptr ? 1.0f : gamma[c]) + (beta == nullptr ? 0.0f : beta[c]);
    }
  }
}

namespace {

/// dx of one row: inverse (g - mean(g) - normal mean(g normal)) with g = dy gamma.
LEPTON_INLINE void layer_norm_row(const float* x, const float* dy, const float* gamma, float mean,
                                  float inverse, float* dx, std::int64_t columns) {
  Lanes sums{}, products{};
  std::int64_t c = 0;
  for (; c + kLanes <= columns; c += kLanes) {
    const Lanes g = gamma == nullptr ? load(dy + c) : load(dy + c) * load(gamma + c);
    sums += g;
    products += g * (load(x + c) - mean);
  }
  float sum = sum_of(sums), product = sum_of(products);
  for (; c < columns; ++c) {
    const float g = gamma == nullptr ? dy[c] : dy[c] * gamma[c];
    sum += g;
    product += g * (x[c] - mean);
  }
  const float average = sum / static_cast<float>(columns);
  const float slope = product * inverse * inverse / static_cast<float>(columns);
#pragma GCC ivdep
  for (c = 0; c < columns; ++c) {
    const float g = gamma == nullptr ? dy[c] : dy[c] * gamma[c];
    dx[c] = inverse * (g - average - (x[c] - mean) * slope);
  }
}

}  // namespace

LEPTON_SIMD void layer_norm_backward(const LayerNormBackward& call, std::int64_t rows, std::int64_t columns) {
  constexpr std::int64_t kRows = 32;  // summed in float before the sums go on in double
  const auto width = static_cast<std::size_t>(columns);
  std::vector<float> dgamma(call.dgamma == nullptr ? 0 : width), dbeta(dgamma.size());
  for (std::int64_t begin = 0; begin < rows; begin += kRows) {
    const std::int64_t end = std::min(rows, begin + kRows);
    std::fill(dgamma.begin(), dgamma.end(), 0.0f);
    std::fill(dbeta.begin(), dbeta.end(), 0.0f);
    for (std::int64_t r = begin; r < end; ++r) {
      const float *x = call.x + r * columns, *dy = call.dy + r * columns;
      const float mean = call.mean[r], inverse = call.inverse[r];
      if (call.dgamma != nullptr) {
        float *to_gamma = dgamma.data(), *to_beta = dbeta.data();
#pragma GCC ivdep
        for (std::int64_t c = 0; c < columns; ++c) {
          to_gamma[c] += dy[c] * (x[c] - mean) * inverse;
          to_beta[c] += dy[c];
        }
      }
      if (call.dx != nullptr)
        layer_norm_row(x, dy, call.gamma, mean, inverse, call.dx + r * columns, columns);
    }
    for (std::size_t c = 0; c < dgamma.size(); ++c) {
      call.dgamma[c] += static_cast<double>(dgamma[c]);
      call.dbeta[c] += static_cast<double>(dbeta[c]);
    }
  }
}

}  // namespace lepton::cpu
