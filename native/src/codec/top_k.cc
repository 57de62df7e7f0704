#include <algorithm>
#include <array>
#include <bit>
#include <functional>
#include <vector>

#include "codec/kernels.h"
#include "codec/wire.h"
#include "engine/clones.h"

namespace lepton::codec::top_k {
namespace {

constexpr std::int64_t kSamples = 4096;
/// The threshold is guessed so that this many times the wanted values pass it: among those the choice is
/// exact, and that fewer pass than are wanted is rare.
constexpr double kSpare = 1.5;
constexpr std::int64_t kGroup = 64;
constexpr std::int64_t kEntry = sizeof(std::uint16_t) + sizeof(float);

constexpr std::int64_t blocks_of(std::int64_t count) { return (count + kBlock - 1) / kBlock; }

/// Magnitude above, place below and inverted: of two equal magnitudes the first place is the larger key.
using Key = std::uint64_t;
inline Key key_of(std::uint32_t size, std::int64_t place) {
  return (static_cast<Key>(size) << 32) | ~static_cast<std::uint32_t>(place);
}
inline std::int64_t place_of(Key key) { return ~static_cast<std::uint32_t>(key); }
inline std::uint32_t size_of(Key key) { return static_cast<std::uint32_t>(key >> 32); }

LEPTON_CLONES void gather(const float* values, float factor, float* residual, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) residual[i] = values[i] + factor * residual[i];
}

/// Bit i: |values[i] - without[i]| (`without` may be null) is at least `threshold`, an integer as `magnitude`
/// gives it.
template <bool kDifference>
[[gnu::always_inline]] inline std::uint64_t group_mask(const float* values, const float* without,
                                                       std::uint32_t threshold) {
  alignas(64) std::array<std::uint8_t, kGroup> flags;
  for (std::int64_t i = 0; i < kGroup; ++i) {
    const float value = kDifference ? values[i] - without[i] : values[i];
    flags[static_cast<std::size_t>(i)] = magnitude(value) >= threshold ? 1 : 0;
  }
  std::uint64_t mask = 0;
  for (std::int64_t i = 0; i < kGroup; i += 8) {
    std::uint64_t eight;
    std::memcpy(&eight, flags.data() + i, sizeof eight);
    mask |= ((eight * 0x0102040810204080ULL) >> 56) << i;
  }
  return mask;
}

/// The largest `most` of a stream of keys, in the order of the stream.
class Largest {
 public:
  explicit Largest(std::int64_t most) : most_(static_cast<std::size_t>(most)), limit_(2 * most_ + 1024) {
    keys_.reserve(limit_);
  }

  void add(Key key) {
    if (keys_.size() == limit_) reduce();
    keys_.push_back(key);
  }

  const std::vector<Key>& finish() {
    reduce();
    return keys_;
  }

 private:
  void reduce() {
    if (keys_.size() <= most_) return;
    sorted_ = keys_;
    const auto last = sorted_.begin() + static_cast<std::ptrdiff_t>(most_) - 1;
    std::nth_element(sorted_.begin(), last, sorted_.end(), std::greater<>());
    std::erase_if(keys_, [least = *last](Key key) { return key < least; });
  }

  std::size_t most_, limit_;
  std::vector<Key> keys_, sorted_;
};

/// A magnitude that about kSpare * most values reach, guessed from samples spread by the golden ratio: no
/// stride, so that no row length of a matrix falls in step with them. Never 0: zeros are not sent.
template <bool kDifference>
std::uint32_t threshold_of(const float* values, const float* without, std::int64_t count, std::int64_t most) {
  const std::int64_t samples = std::min(count, kSamples);
  std::vector<std::uint32_t> sizes(static_cast<std::size_t>(samples));
  for (std::int64_t j = 0; j < samples; ++j) {
    const auto spread = static_cast<std::uint64_t>(static_cast<std::uint32_t>(j) * 0x9e3779b9U);
    const auto i =
        samples == count ? j : static_cast<std::int64_t>((spread * static_cast<std::uint64_t>(count)) >> 32);
    sizes[static_cast<std::size_t>(j)] = magnitude(kDifference ? values[i] - without[i] : values[i]);
  }
  const auto share = kSpare * static_cast<double>(most) / static_cast<double>(count);
  const auto rank = static_cast<std::int64_t>(share * static_cast<double>(samples));
  if (rank >= samples) return 1;
  const auto nth = sizes.begin() + rank;
  std::nth_element(sizes.begin(), nth, sizes.end(), std::greater<>());
  return std::max(*nth, 1U);
}

template <bool kDifference>
[[gnu::always_inline]] inline void scan(const float* values, const float* without, std::int64_t count,
                                        std::uint32_t threshold, Largest& largest) {
  const auto take = [&](std::int64_t i) {
    const std::uint32_t size = magnitude(kDifference ? values[i] - without[i] : values[i]);
    if (size >= threshold) largest.add(key_of(size, i));
  };
  std::int64_t start = 0;
  for (; start + kGroup <= count; start += kGroup) {
    std::uint64_t mask =
        group_mask<kDifference>(values + start, kDifference ? without + start : nullptr, threshold);
    for (; mask != 0; mask &= mask - 1) take(start + std::countr_zero(mask));
  }
  for (; start < count; ++start) take(start);
}

LEPTON_CLONES void scan_values(const float* values, std::int64_t count, std::uint32_t threshold,
                               Largest& largest) {
  scan<false>(values, nullptr, count, threshold, largest);
}

LEPTON_CLONES void scan_difference(const float* values, const float* without, std::int64_t count,
                                   std::uint32_t threshold, Largest& largest) {
  scan<true>(values, without, count, threshold, largest);
}

}  // namespace

std::size_t capacity(std::int64_t count, std::int64_t most) {
  return static_cast<std::size_t>(blocks_of(count)) * sizeof(std::uint32_t) +
         static_cast<std::size_t>(std::min(most, count) * kEntry);
}

std::size_t encode(Feedback feedback, const Source& source, std::int64_t count, std::int64_t most,
                   std::byte* wire) {
  Largest largest(most);
  const float* values = source.values;
  if (feedback == Feedback::kView) {
    const auto threshold = threshold_of<true>(values, source.kept, count, most);
    scan_difference(values, source.kept, count, threshold, largest);
    if (source.next != source.kept) std::copy_n(source.kept, count, source.next);
  } else {
    if (feedback == Feedback::kResidual) {
      if (source.next != source.kept) std::copy_n(source.kept, count, source.next);
      gather(values, source.factor, source.next, count);
      values = source.next;
    }
    scan_values(values, count, threshold_of<false>(values, nullptr, count, most), largest);
  }
  const std::vector<Key>& chosen = largest.finish();
  const std::int64_t blocks = blocks_of(count);
  std::byte* places = wire + blocks * static_cast<std::int64_t>(sizeof(std::uint32_t));
  std::byte* numbers = places + chosen.size() * sizeof(std::uint16_t);
  std::vector<std::uint32_t> counts(static_cast<std::size_t>(blocks));
  bool finite = true;
  for (std::size_t e = 0; e < chosen.size(); ++e) {
    const std::int64_t i = place_of(chosen[e]);
    const auto index = static_cast<std::int64_t>(e);
    ++counts[static_cast<std::size_t>(i / kBlock)];
    store(places, index, static_cast<std::uint16_t>(i % kBlock));
    const float value = feedback == Feedback::kView ? values[i] - source.kept[i] : values[i];
    store(numbers, index, value);
    // Numbers that are not finite are the largest of all: what is not chosen is finite.
    finite &= size_of(chosen[e]) < kInfinity;
    if (feedback == Feedback::kView) source.next[i] = source.kept[i] + value;
    if (feedback == Feedback::kResidual) source.next[i] = 0;
  }
  for (std::int64_t block = 0; block < blocks; ++block)
    store(wire, block, counts[static_cast<std::size_t>(block)]);
  return finite ? capacity(count, static_cast<std::int64_t>(chosen.size())) : 0;
}

bool well_formed(const std::byte* wire, std::size_t bytes, std::int64_t count) {
  const std::int64_t blocks = blocks_of(count);
  if (bytes < capacity(count, 0)) return false;
  std::int64_t total = 0;
  for (std::int64_t block = 0; block < blocks; ++block) total += load<std::uint32_t>(wire, block);
  if (total > count || bytes != capacity(count, total)) return false;
  bool good = true;
  std::int64_t least = 0;
  Entries(wire, count).take(blocks * kBlock, [&](std::int64_t place, float value) {
    good &= place >= least && magnitude(value) < kInfinity;
    least = place + 1;
  });
  return good && least <= count;
}

Entries::Entries(const std::byte* wire, std::int64_t count) : wire_(wire), count_(count) {
  const std::int64_t blocks = blocks_of(count);
  std::int64_t total = 0;
  for (std::int64_t block = 0; block < blocks; ++block) total += load<std::uint32_t>(wire, block);
  places_ = wire + blocks * static_cast<std::int64_t>(sizeof(std::uint32_t));
  values_ = places_ + total * static_cast<std::int64_t>(sizeof(std::uint16_t));
  if (blocks > 0) block_end_ = load<std::uint32_t>(wire);
}

void Entries::next_block() {
  start_ += kBlock;
  if (start_ < count_) block_end_ += load<std::uint32_t>(wire_, start_ / kBlock);
}

void decode(const std::byte* wire, std::int64_t count, float* to) {
  std::fill_n(to, count, 0.0F);
  Entries(wire, count).take(count, Write{to});
}

void accumulate(const std::byte* wire, std::int64_t count, float weight, float* sum) {
  Entries(wire, count).take(count, Add{sum, weight});
}

}  // namespace lepton::codec::top_k
