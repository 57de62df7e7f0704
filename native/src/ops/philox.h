// Philox-4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) and the dropout mask
// made of it. Counter-based: the mask of an element depends on its numbers alone, so every device draws the
// same one.
#pragma once

#include <array>
#include <cstdint>

namespace lepton {

inline std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::uint64_t key) {
  auto key0 = static_cast<std::uint32_t>(key);
  auto key1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {
        static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key0, static_cast<std::uint32_t>(product1),
        static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key1, static_cast<std::uint32_t>(product0)};
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return counter;
}

/// Which elements one dropout node keeps in one step of one worker. Elements are counted row-major in the
/// plain (N, H, W, C) order, whatever layout a device uses; a word of the generator decides one element.
struct DropoutMask {
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
  std::uint64_t rank = 0;
  std::int64_t node = 0;

  /// Words of elements 4 * block to 4 * block + 3.
  std::array<std::uint32_t, 4> words(std::uint64_t block) const {
    return philox({static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(step),
                   static_cast<std::uint32_t>(rank), static_cast<std::uint32_t>(node)},
                  key(block));
  }
  /// The high halves of the counters join the seed.
  std::uint64_t key(std::uint64_t block) const { return seed ^ (step >> 32 << 16) ^ (block >> 32 << 48); }

  /// An element is kept when its word is at least this: word / 2^32 >= rate. Kept elements are scaled by 1 /
  /// (1 - rate).
  static std::uint64_t threshold(double rate) { return static_cast<std::uint64_t>(rate * 4294967296.0); }
};

}  // namespace lepton
