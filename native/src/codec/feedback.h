// What of a range a codec encodes, and what happens to the part that its bytes do not say. With feedback,
// nothing is lost: it is sent later.
#pragma once

#include <bit>
#include <cstdint>

namespace lepton::codec {

enum class Feedback : std::uint8_t {
  kNone,      // values as they are; what is lost is lost
  kResidual,  // values + kept * factor; `next` = that - decoded
  kView,      // values - kept, where `kept` is what receivers have; `next` = kept + decoded
};

/// The arrays of one range, at its first element. `next` may be `kept`.
struct Source {
  const float* values = nullptr;
  const float* kept = nullptr;
  float* next = nullptr;
  float factor = 1;  // of a residual
};

template <Feedback kFeedback>
inline float wanted(const Source& source, std::int64_t i) {
  if constexpr (kFeedback == Feedback::kResidual) return source.values[i] + source.factor * source.kept[i];
  if constexpr (kFeedback == Feedback::kView) return source.values[i] - source.kept[i];
  return source.values[i];
}

template <Feedback kFeedback>
inline void keep(const Source& source, std::int64_t i, float value, float decoded) {
  if constexpr (kFeedback == Feedback::kResidual) source.next[i] = value - decoded;
  if constexpr (kFeedback == Feedback::kView) source.next[i] = source.kept[i] + decoded;
}

constexpr std::uint32_t kMagnitude = 0x7fffffffU;
constexpr std::uint32_t kInfinity = 0x7f800000U;  // magnitudes from here on are infinite or no numbers

/// |value| as an integer: of the same order, and comparisons of integers are vectorised without leave to
/// ignore NaN.
inline std::uint32_t magnitude(float value) { return std::bit_cast<std::uint32_t>(value) & kMagnitude; }

}  // namespace lepton::codec
