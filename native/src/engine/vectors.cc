#include "engine/vectors.h"

#include <algorithm>
#include <cstring>

#include "engine/clones.h"

namespace lepton {
namespace {

LEPTON_CLONES void add(float* __restrict sum, const std::byte* __restrict values, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    float value;
    std::memcpy(&value, values + 4 * i, 4);
    sum[i] += value;
  }
}

LEPTON_CLONES void add_weighted(float* __restrict sum, const std::byte* __restrict values, std::int64_t count,
                                float weight) {
  for (std::int64_t i = 0; i < count; ++i) {
    float value;
    std::memcpy(&value, values + 4 * i, 4);
    sum[i] += weight * value;
  }
}

constexpr std::int64_t kLanes = 8;

LEPTON_CLONES double block_squares(const float* values, std::int64_t count) {
  double lanes[kLanes] = {};
  const std::int64_t whole = count / kLanes * kLanes;
  for (std::int64_t i = 0; i < whole; i += kLanes) {
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      const double value = values[i + lane];
      lanes[lane] += value * value;
    }
  }
  for (std::int64_t i = whole; i < count; ++i) {
    const double value = values[i];
    lanes[i - whole] += value * value;
  }
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

}  // namespace

void accumulate(float* sum, const std::byte* values, std::int64_t count, float weight) {
  if (weight == 1.0F) return add(sum, values, count);
  add_weighted(sum, values, count, weight);
}

double sum_of_squares(const float* values, std::int64_t count) {
  constexpr std::int64_t kBlock = 4096;
  double sum = 0;
  for (std::int64_t from = 0; from < count; from += kBlock) {
    sum += block_squares(values + from, std::min(kBlock, count - from));
  }
  return sum;
}

}  // namespace lepton
