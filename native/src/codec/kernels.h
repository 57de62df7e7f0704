// The loops of each codec over one range that the caller has checked: sizes are right, arrays are long
// enough. Wire data may lie at any alignment; all numbers in it are little-endian.
#pragma once

#include <cstddef>
#include <cstdint>

#include "codec/feedback.h"
#include "codec/wire.h"

namespace lepton::codec {

// Encoders answer false when a value is not finite (or would not be when decoded): what they have written is
// then of no use. `well_formed` looks at everything that can be wrong but the length; decoders trust it.

/// velocity = share * velocity + values, and so do the values become.
void accelerate(float share, float* velocity, float* values, std::int64_t count);

/// The upper half of a float, rounded to nearest even. 2 bytes a value.
namespace bfloat16 {
bool encode(Feedback feedback, const Source& source, std::int64_t count, std::byte* wire);
bool well_formed(const std::byte* wire, std::int64_t count);
void decode(const std::byte* wire, std::int64_t count, float* to);
void accumulate(const std::byte* wire, std::int64_t count, float weight, float* sum);
}  // namespace bfloat16

/// Blocks of 256: the largest magnitude / 127 as a float, then a signed byte a value.
namespace int8 {
constexpr std::int64_t kBlock = 256;
bool encode(Feedback feedback, const Source& source, std::int64_t count, std::byte* wire);
bool well_formed(const std::byte* wire, std::int64_t count);
void decode(const std::byte* wire, std::int64_t count, float* to);
void accumulate(const std::byte* wire, std::int64_t count, float weight, float* sum);
}  // namespace int8

/// Blocks of 1024: the mean magnitude as a float, then a bit a value, set where it is negative. One scale for
/// a whole chunk would mix layers whose gradients differ by orders of magnitude; 1024 values lie in one row
/// or one layer nearly always and cost 3 % of the bytes (31.0x of 32x).
namespace one_bit {
constexpr std::int64_t kBlock = 1024;
bool encode(Feedback feedback, const Source& source, std::int64_t count, std::byte* wire);
bool well_formed(const std::byte* wire, std::int64_t count);
void decode(const std::byte* wire, std::int64_t count, float* to);
void accumulate(const std::byte* wire, std::int64_t count, float weight, float* sum);
}  // namespace one_bit

/// The values of largest magnitude. Per block of 65536: how many follow (32 bits); then for all their places
/// in the block, rising (16 bits each); then their values as floats.
namespace top_k {
constexpr std::int64_t kBlock = 65536;
/// Writes at most `most` of the values that are not 0, so capacity(count, most) bytes at most, and answers
/// how many bytes, or 0 for a value that is not finite.
/// Chooses exactly among those that pass a guessed threshold; of equal magnitudes the first come first.
/// Without feedback or with a residual, `next` may be `kept`.
std::size_t encode(Feedback feedback, const Source& source, std::int64_t count, std::int64_t most,
                   std::byte* wire);
std::size_t capacity(std::int64_t count, std::int64_t most);
/// Looks at the length too.
bool well_formed(const std::byte* wire, std::size_t bytes, std::int64_t count);
void decode(const std::byte* wire, std::int64_t count, float* to);
void accumulate(const std::byte* wire, std::int64_t count, float weight, float* sum);

/// The entries of well-formed bytes, from the first to the last.
class Entries {
 public:
  Entries(const std::byte* wire, std::int64_t count);

  /// Calls take(place, value) for all that are left and lie before `end`.
  template <class Take>
  void take(std::int64_t end, Take&& take) {
    for (; start_ < end && start_ < count_; next_block()) {
      for (; at_ < block_end_; ++at_) {
        const std::int64_t place = start_ + load<std::uint16_t>(places_, at_);
        if (place >= end) return;
        take(place, load<float>(values_, at_));
      }
      if (end < start_ + kBlock) return;
    }
  }

 private:
  void next_block();

  const std::byte* wire_;
  std::int64_t count_;
  const std::byte* places_;
  const std::byte* values_;
  std::int64_t start_ = 0;      // of the present block
  std::int64_t at_ = 0;         // the next entry
  std::int64_t block_end_ = 0;  // of the entries
};
}  // namespace top_k

}  // namespace lepton::codec
