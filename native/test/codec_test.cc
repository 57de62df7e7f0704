// Codecs at the borders of their memory, for the sanitizers: wire data of exactly its size at every
// alignment, ranges of exactly theirs, bytes that nobody encoded. What the numbers are is tested in
// test/unit/native/codecs.test.ts.
#include "codec/codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "graph/error.h"

namespace lepton::test {
namespace {

constexpr CodecKind kKinds[] = {CodecKind::kBfloat16, CodecKind::kInt8, CodecKind::kOneBit, CodecKind::kTopK};
constexpr double kRatio = 0.05;

std::vector<float> normals(std::mt19937& random, std::int64_t count) {
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

/// Bytes that end where the memory ends and begin `shift` after where it begins.
struct Room {
  Room(std::size_t bytes, std::size_t shift) : memory(bytes + shift), wire(memory.data() + shift, bytes) {}
  std::vector<std::byte> memory;
  std::span<std::byte> wire;
};

class Codecs : public testing::TestWithParam<CodecKind> {};

TEST_P(Codecs, StayInsideOfWireAndRange) {
  std::mt19937 random(1);
  for (const std::int64_t count :
       {0, 1, 3, 17, 255, 256, 257, 511, 513, 1023, 1025, 4099, 65535, 65536, 65539}) {
    for (std::size_t shift = 0; shift < 4; ++shift) {
      std::vector<float> values = normals(random, count);
      Room room(encoded_bytes(GetParam(), count, kRatio), shift);
      Encoder encoder({.kind = GetParam(), .momentum = 0.9}, count);
      encoder.accelerate(values.data(), 0, count, 1);
      const std::size_t written = encoder.encode(values.data(), 0, count, {.ratio = kRatio}, room.wire);
      ASSERT_LE(written, room.wire.size());
      Room exact(written, shift);
      if (written > 0) std::memcpy(exact.wire.data(), room.wire.data(), written);
      std::vector<float> sum(values.size()), plain(values.size()), view(values.size());
      decode_accumulate(GetParam(), exact.wire, 2, sum.data(), count);
      decode(GetParam(), exact.wire, plain.data(), count);
      for (std::size_t i = 0; i < sum.size(); ++i) ASSERT_EQ(sum[i], 2 * plain[i]);
      encode_difference(GetParam(), values.data(), view.data(), view.data(), count, kRatio, room.wire);
      Room flushed(values.size() * sizeof(float), shift);
      encoder.flush(values.data(), 0, count, 1, flushed.wire);
    }
  }
}

TEST_P(Codecs, AnswerForeignBytesWithNumbersOrAnError) {
  std::mt19937 random(2);
  const auto below = [&](std::size_t end) { return end == 0 ? 0 : random() % end; };
  std::size_t refused = 0;
  for (int round = 0; round < 4000; ++round) {
    const auto count = static_cast<std::int64_t>(below(round % 10 == 0 ? 140000 : 2500));
    const std::vector<float> values = normals(random, count);
    Room room(encoded_bytes(GetParam(), count, kRatio), 1);
    const std::size_t written =
        Encoder({.kind = GetParam()}, count).encode(values.data(), 0, count, {.ratio = kRatio}, room.wire);
    const std::size_t size = round % 3 == 0 ? below(2 * written + 2) : written;
    Room foreign(size, 1);
    std::memcpy(foreign.memory.data() + 1, room.wire.data(), std::min(size, written));
    for (std::size_t n = 0; size > 0 && n < (round % 2 == 0 ? 3 : size); ++n) {
      foreign.wire[round % 2 == 0 ? below(std::min<std::size_t>(size, 40)) : n] =
          static_cast<std::byte>(random());
    }
    std::vector<float> sum(values.size());
    try {
      decode_accumulate(GetParam(), foreign.wire, 0.5F, sum.data(), count);
      for (const float value : sum) ASSERT_TRUE(std::isfinite(value));
    } catch (const EngineError& error) {
      ASSERT_EQ(error.code(), "ENGINE_WIRE");
      for (const float value : sum) ASSERT_EQ(value, 0);
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000U);
}

INSTANTIATE_TEST_SUITE_P(All, Codecs, testing::ValuesIn(kKinds));

}  // namespace
}  // namespace lepton::test
