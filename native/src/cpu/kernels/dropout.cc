// Sixteen Philox counters side by side: the same words as DropoutMask::words, four times faster.
#include "cpu/kernels/dropout.h"

#include <algorithm>

#include "cpu/kernels/simd.h"

namespace lepton::cpu {
namespace {

constexpr int kCounters = kDropoutGroup / 4;

/// words[4 * i + j] = word j of block first + i. The key must be the same for all of them.
LEPTON_SIMD void draw(std::uint32_t first, const DropoutMask& mask, std::uint64_t key, std::uint32_t* words) {
  std::uint32_t c0[kCounters], c1[kCounters], c2[kCounters], c3[kCounters];
  for (int i = 0; i < kCounters; ++i) {
    c0[i] = first + static_cast<std::uint32_t>(i);
    c1[i] = static_cast<std::uint32_t>(mask.step);
    c2[i] = static_cast<std::uint32_t>(mask.rank);
    c3[i] = static_cast<std::uint32_t>(mask.node);
  }
  auto key0 = static_cast<std::uint32_t>(key), key1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < kCounters; ++i) {
      const std::uint64_t product0 = std::uint64_t{0xD2511F53} * c0[i];
      const std::uint64_t product1 = std::uint64_t{0xCD9E8D57} * c2[i];
      c0[i] = static_cast<std::uint32_t>(product1 >> 32) ^ c1[i] ^ key0;
      c1[i] = static_cast<std::uint32_t>(product1);
      c2[i] = static_cast<std::uint32_t>(product0 >> 32) ^ c3[i] ^ key1;
      c3[i] = static_cast<std::uint32_t>(product0);
    }
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  for (int i = 0; i < kCounters; ++i) {
    words[4 * i] = c0[i];
    words[4 * i + 1] = c1[i];
    words[4 * i + 2] = c2[i];
    words[4 * i + 3] = c3[i];
  }
}

}  // namespace

void dropout(const DropoutMask& mask, double rate, const float* x, float* y, std::int64_t begin,
             std::int64_t end) {
  const auto threshold = static_cast<std::uint32_t>(DropoutMask::threshold(rate));  // rate < 1
  const auto scale = static_cast<float>(1.0 / (1.0 - rate));
  std::uint32_t words[kDropoutGroup];
  for (std::int64_t at = begin; at < end; at += kDropoutGroup) {
    const auto block = static_cast<std::uint64_t>(at / 4);
    draw(static_cast<std::uint32_t>(block), mask, mask.key(block), words);
    const std::int64_t size = std::min(kDropoutGroup, end - at);
    for (std::int64_t i = 0; i < size; ++i) y[at + i] = words[i] >= threshold ? x[at + i] * scale : 0.0f;
  }
}

}  // namespace lepton::cpu
