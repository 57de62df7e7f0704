#include <algorithm>
#include <array>
#include <bit>

#include "codec/kernels.h"
#include "codec/wire.h"
#include "engine/clones.h"

namespace lepton::codec::one_bit {
namespace {

constexpr std::int64_t kHeader = sizeof(float);
constexpr std::int64_t kLanes = 16;
constexpr std::uint32_t kSign = 0x80000000U;

/// Bytes of `count` values' bits.
constexpr std::int64_t packed(std::int64_t count) { return (count + 7) / 8; }

/// Eight bytes of 0 or 1 to eight bits, the first byte lowest.
inline std::uint8_t pack(const std::uint8_t* flags) {
  std::uint64_t eight;
  std::memcpy(&eight, flags, sizeof eight);
  return static_cast<std::uint8_t>((eight * 0x0102040810204080ULL) >> 56);
}

template <Feedback kFeedback>
[[gnu::always_inline]] inline bool encode_block(const Source& source, std::int64_t start, std::int64_t count,
                                                std::byte* __restrict wire) {
  alignas(64) std::array<float, kBlock> values;
  alignas(64) std::array<std::uint8_t, kBlock> negative;
  for (std::int64_t i = 0; i < count; ++i) {
    values[static_cast<std::size_t>(i)] = wanted<kFeedback>(source, start + i);
  }
  const std::int64_t padded = packed(count) * 8;
  // Lane l adds values l, l + 16, ...; then lanes are added in order: the same bits on every machine.
  std::array<float, kLanes> lanes{};
  std::int64_t at = 0;
  for (; at + kLanes <= count; at += kLanes) {
    for (std::int64_t l = 0; l < kLanes; ++l) {
      lanes[static_cast<std::size_t>(l)] +=
          std::bit_cast<float>(magnitude(values[static_cast<std::size_t>(at + l)]));
    }
  }
  for (std::int64_t l = 0; at + l < count; ++l) {
    lanes[static_cast<std::size_t>(l)] +=
        std::bit_cast<float>(magnitude(values[static_cast<std::size_t>(at + l)]));
  }
  float total = 0;
  for (const float lane : lanes) total += lane;
  const float scale = total / static_cast<float>(count);
  if (magnitude(scale) >= kInfinity) return false;
  store(wire, 0, scale);
  for (std::int64_t i = 0; i < count; ++i) {
    const float value = values[static_cast<std::size_t>(i)];
    const std::uint32_t sign = std::bit_cast<std::uint32_t>(value) & kSign;
    negative[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(sign >> 31);
    keep<kFeedback>(source, start + i, value,
                    std::bit_cast<float>(std::bit_cast<std::uint32_t>(scale) | sign));
  }
  for (std::int64_t i = count; i < padded; ++i) negative[static_cast<std::size_t>(i)] = 0;
  for (std::int64_t i = 0; i < padded; i += 8) {
    wire[kHeader + i / 8] = static_cast<std::byte>(pack(negative.data() + i));
  }
  return true;
}

template <Feedback kFeedback>
[[gnu::always_inline]] inline bool encode_range(const Source& given, std::int64_t count, std::byte* wire) {
  const Source source = given;
  bool finite = true;
  std::int64_t start = 0;
  for (; start + kBlock <= count; start += kBlock, wire += kHeader + packed(kBlock)) {
    finite &= encode_block<kFeedback>(source, start, kBlock, wire);
  }
  if (start < count) finite &= encode_block<kFeedback>(source, start, count - start, wire);
  return finite;
}

inline float signed_scale(std::uint32_t scale, std::uint32_t word, std::int64_t bit) {
  return std::bit_cast<float>(scale | ((word << (31 - bit)) & kSign));
}

template <class Take>
[[gnu::always_inline]] inline void decode_range(const std::byte* __restrict wire, std::int64_t count,
                                                const Take& take) {
  for (std::int64_t start = 0; start < count; start += kBlock, wire += kHeader + packed(kBlock)) {
    const auto scale = load<std::uint32_t>(wire);
    const std::byte* bits = wire + kHeader;
    const std::int64_t end = std::min(start + kBlock, count);
    std::int64_t at = start;
    for (; at + 32 <= end; at += 32, bits += 4) {
      const auto word = load<std::uint32_t>(bits);
      for (std::int64_t bit = 0; bit < 32; ++bit) take(at + bit, signed_scale(scale, word, bit));
    }
    for (std::int64_t i = 0; at + i < end; ++i) {
      take(at + i, signed_scale(scale, static_cast<std::uint32_t>(bits[i / 8]), i % 8));
    }
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

bool well_formed(const std::byte* wire, std::int64_t count) {
  std::uint32_t largest = 0;
  for (std::int64_t start = 0; start < count; start += kBlock, wire += kHeader + packed(kBlock)) {
    largest = std::max(largest, load<std::uint32_t>(wire));  // the sign counts: a negative scale is refused
  }
  return largest < kInfinity;
}

LEPTON_CLONES void decode(const std::byte* wire, std::int64_t count, float* to) {
  decode_range(wire, count, Write{to});
}

LEPTON_CLONES void accumulate(const std::byte* wire, std::int64_t count, float weight, float* sum) {
  decode_range(wire, count, Add{sum, weight});
}

}  // namespace lepton::codec::one_bit
