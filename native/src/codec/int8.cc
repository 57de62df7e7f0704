#include <algorithm>
#include <array>
#include <bit>

#include "codec/kernels.h"
#include "codec/wire.h"
#include "engine/clones.h"

namespace lepton::codec::int8 {
namespace {

constexpr std::int64_t kHeader = sizeof(float);
/// Blocks below it are sent as zeros (and kept, with feedback): 127 / magnitude must not overflow.
constexpr float kSmallest = 0x1p-100F;
/// Blocks above it are refused: no byte times its scale may be infinite.
constexpr float kLargest = 0x1p127F;
/// Adding it leaves a whole number, rounded to nearest even, in the low bits.
constexpr float kRounding = 0x1.8p23F;

template <Feedback kFeedback>
[[gnu::always_inline]] inline bool encode_block(const Source& source, std::int64_t start, std::int64_t count,
                                                std::byte* __restrict wire) {
  alignas(64) std::array<float, kBlock> values;
  std::uint32_t largest = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const float value = wanted<kFeedback>(source, start + i);
    values[static_cast<std::size_t>(i)] = value;
    largest = std::max(largest, magnitude(value));
  }
  if (largest > std::bit_cast<std::uint32_t>(kLargest)) return false;
  const auto peak = std::bit_cast<float>(largest);
  const bool silent = peak < kSmallest;
  const float scale = silent ? 0 : peak / 127;
  const float inverse = silent ? 0 : 127 / peak;
  store(wire, 0, scale);
  for (std::int64_t i = 0; i < count; ++i) {
    const float value = values[static_cast<std::size_t>(i)];
    const float shifted = value * inverse + kRounding;
    const std::uint32_t code =
        std::bit_cast<std::uint32_t>(shifted) - std::bit_cast<std::uint32_t>(kRounding);
    wire[kHeader + i] = static_cast<std::byte>(code);
    keep<kFeedback>(source, start + i, value, (shifted - kRounding) * scale);
  }
  return true;
}

template <Feedback kFeedback>
[[gnu::always_inline]] inline bool encode_range(const Source& given, std::int64_t count, std::byte* wire) {
  const Source source = given;
  bool finite = true;
  std::int64_t start = 0;
  // Whole blocks by themselves: their loops have a length that the compiler knows.
  for (; start + kBlock <= count; start += kBlock, wire += kHeader + kBlock) {
    finite &= encode_block<kFeedback>(source, start, kBlock, wire);
  }
  if (start < count) finite &= encode_block<kFeedback>(source, start, count - start, wire);
  return finite;
}

template <class Take>
[[gnu::always_inline]] inline void decode_block(const std::byte* __restrict wire, std::int64_t start,
                                                std::int64_t count, const Take& take) {
  const auto scale = load<float>(wire);
  for (std::int64_t i = 0; i < count; ++i) {
    take(start + i, static_cast<float>(static_cast<std::int8_t>(wire[kHeader + i])) * scale);
  }
}

template <class Take>
[[gnu::always_inline]] inline void decode_range(const std::byte* wire, std::int64_t count, const Take& take) {
  std::int64_t start = 0;
  for (; start + kBlock <= count; start += kBlock, wire += kHeader + kBlock) {
    decode_block(wire, start, kBlock, take);
  }
  if (start < count) decode_block(wire, start, count - start, take);
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
  for (std::int64_t start = 0; start < count; start += kBlock, wire += kHeader + kBlock) {
    largest = std::max(largest, load<std::uint32_t>(wire));  // the sign counts: a negative scale is refused
  }
  return largest <= std::bit_cast<std::uint32_t>(kLargest / 127);
}

LEPTON_CLONES void decode(const std::byte* wire, std::int64_t count, float* to) {
  decode_range(wire, count, Write{to});
}

LEPTON_CLONES void accumulate(const std::byte* wire, std::int64_t count, float weight, float* sum) {
  decode_range(wire, count, Add{sum, weight});
}

}  // namespace lepton::codec::int8
