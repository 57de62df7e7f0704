#include "engine/sums.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "engine/clones.h"

namespace lepton {
namespace {

constexpr std::int64_t kBlock = 4096;
constexpr std::int64_t kLanes = 16;

// Counts floats whose exponent has all bits set.
LEPTON_CLONES std::uint32_t odd_ones(const std::byte* values, std::int64_t count) {
  constexpr std::uint32_t kExponent = 0x7f800000;
  std::uint32_t found = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, values + i * static_cast<std::int64_t>(sizeof(bits)), sizeof(bits));
    found += static_cast<std::uint32_t>((bits & kExponent) == kExponent);
  }
  return found;
}

// Lane l adds elements l, l + 16, ...; then lanes are added in order.
LEPTON_CLONES double block_sum(const float* values, std::int64_t count) {
  std::array<double, kLanes> lanes{};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::int64_t l = 0; l < kLanes; ++l) {
      const auto value = static_cast<double>(values[i + l]);
      lanes[static_cast<std::size_t>(l)] += value * value;
    }
  }
  for (std::int64_t l = 0; i + l < count; ++l) {
    const auto value = static_cast<double>(values[i + l]);
    lanes[static_cast<std::size_t>(l)] += value * value;
  }
  double total = 0;
  for (const double lane : lanes) total += lane;
  return total;
}

}  // namespace

LEPTON_CLONES void accumulate(float* sum, const std::byte* values, std::int64_t count, float weight) {
  for (std::int64_t i = 0; i < count; ++i) {
    float value;
    std::memcpy(&value, values + i * static_cast<std::int64_t>(sizeof(float)), sizeof(float));
    sum[i] += weight * value;
  }
}

double sum_of_squares(const float* values, std::int64_t count) {
  double total = 0;
  for (std::int64_t start = 0; start < count; start += kBlock) {
    total += block_sum(values + start, std::min(kBlock, count - start));
  }
  return total;
}

bool all_finite(const std::byte* values, std::int64_t count) {
  for (std::int64_t start = 0; start < count; start += kBlock) {
    const std::int64_t length = std::min(kBlock, count - start);
    if (odd_ones(values + start * static_cast<std::int64_t>(sizeof(float)), length) != 0) return false;
  }
  return true;
}

}  // namespace lepton
