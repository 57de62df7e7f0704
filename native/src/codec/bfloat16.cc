#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "codec/kernels.h"
#include "codec/wire.h"
#include "engine/clones.h"

namespace lepton::codec::bfloat16 {
namespace {

constexpr std::uint32_t kHalfInfinity = kInfinity >> 16;

// Unaligned stores of 16 bits are not vectorised: halves are gathered here and copied at once.
constexpr std::int64_t kBlock = 512;

/// Answers the largest magnitude, as the upper half of a float.
template <Feedback kFeedback>
[[gnu::always_inline]] inline std::uint32_t encode_block(const Source& source, std::int64_t start,
                                                         std::int64_t count, std::byte* __restrict wire) {
  alignas(64) std::array<std::uint16_t, kBlock> halves;
  std::uint32_t largest = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const float value = wanted<kFeedback>(source, start + i);
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
    // A large NaN could round up over the sign: its own magnitude tells.
    largest = std::max(largest, std::max(rounded & 0x7fffU, (bits & kMagnitude) >> 16));
    halves[static_cast<std::size_t>(i)] = static_cast<std::uint16_t>(rounded);
    keep<kFeedback>(source, start + i, value, std::bit_cast<float>(rounded << 16));
  }
  std::memcpy(wire, halves.data(), static_cast<std::size_t>(count) * sizeof(std::uint16_t));
  return largest;
}

template <Feedback kFeedback>
[[gnu::always_inline]] inline bool encode_range(const Source& given, std::int64_t count, std::byte* wire) {
  const Source source = given;
  std::uint32_t largest = 0;
  std::int64_t start = 0;
  for (; start + kBlock <= count; start += kBlock) {
    largest = std::max(largest, encode_block<kFeedback>(source, start, kBlock, wire + 2 * start));
  }
  if (start < count) {
    largest = std::max(largest, encode_block<kFeedback>(source, start, count - start, wire + 2 * start));
  }
  return largest < kHalfInfinity;
}

template <class Take>
[[gnu::always_inline]] inline void decode_range(const std::byte* __restrict wire, std::int64_t count,
                                                const Take& take) {
  for (std::int64_t i = 0; i < count; ++i) {
    take(i, std::bit_cast<float>(static_cast<std::uint32_t>(load<std::uint16_t>(wire, i)) << 16));
  }
}

}  // namespace

LEPTON_CLONES bool encode(Feedback feedback, const Source& source, std::int64_t count, std::byte* wire) {
  switch (feedback) {
    case Feedback::kNone:
      return encode_range<Feedback::kNone>(source, count, wire);
    case Feedback::kResidual:
      return encode_range<Feedback::kResidual>(source, count, wire);
    case Feedback::kView:
      return encode_range<Feedback::kView>(source, count, wire);
  }
  return false;
}

LEPTON_CLONES bool well_formed(const std::byte* wire, std::int64_t count) {
  std::uint16_t largest = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto bits = static_cast<std::uint16_t>(load<std::uint16_t>(wire, i) & 0x7fffU);
    largest = std::max(largest, bits);
  }
  return largest < kHalfInfinity;
}

LEPTON_CLONES void decode(const std::byte* wire, std::int64_t count, float* to) {
  decode_range(wire, count, Write{to});
}

LEPTON_CLONES void accumulate(const std::byte* wire, std::int64_t count, float weight, float* sum) {
  decode_range(wire, count, Add{sum, weight});
}

}  // namespace lepton::codec::bfloat16
