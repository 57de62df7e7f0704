#include "codec/codec.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "codec/kernels.h"
#include "codec/wire.h"
#include "graph/error.h"

namespace lepton {
namespace {

using codec::Feedback;
using codec::Source;

std::int64_t most_of(std::int64_t count, double ratio) {
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::ceil(ratio * static_cast<double>(count))), 1,
                                  std::max<std::int64_t>(count, 1));
}

std::int64_t blocks_of(std::int64_t count, std::int64_t block) { return (count + block - 1) / block; }

/// Answers the bytes written.
std::size_t encode(CodecKind kind, Feedback feedback, const Source& source, std::int64_t count,
                   std::int64_t most, std::span<std::byte> wire) {
  if (count == 0) return 0;
  std::size_t written = encoded_bytes(kind, count, 0);
  bool finite = true;
  switch (kind) {
    case CodecKind::kBfloat16:
      finite = codec::bfloat16::encode(feedback, source, count, wire.data());
      break;
    case CodecKind::kInt8:
      finite = codec::int8::encode(feedback, source, count, wire.data());
      break;
    case CodecKind::kOneBit:
      finite = codec::one_bit::encode(feedback, source, count, wire.data());
      break;
    case CodecKind::kTopK:
      written = codec::top_k::encode(feedback, source, count, most, wire.data());
      finite = written > 0;
      break;
  }
  if (!finite) throw EngineError("ENGINE_NOT_FINITE", "encode: expected finite values, got infinity or NaN");
  return written;
}

const char* name_of(CodecKind kind) {
  switch (kind) {
    case CodecKind::kBfloat16:
      return "bfloat16";
    case CodecKind::kInt8:
      return "int8";
    case CodecKind::kOneBit:
      return "oneBit";
    case CodecKind::kTopK:
      return "topK";
  }
  return "";
}

void check(CodecKind kind, std::span<const std::byte> wire, std::int64_t count) {
  if (is_encoded(kind, wire, count)) return;
  throw EngineError("ENGINE_WIRE", std::string(name_of(kind)) + ": expected the bytes of " +
                                       std::to_string(count) + " finite values, got " +
                                       std::to_string(wire.size()) + " bytes that are not");
}

/// sum[0..count) += weight * the values that `wire`, of this length, begins with.
void add(CodecKind kind, const std::byte* wire, float weight, float* sum, std::int64_t count) {
  switch (kind) {
    case CodecKind::kBfloat16:
      return codec::bfloat16::accumulate(wire, count, weight, sum);
    case CodecKind::kInt8:
      return codec::int8::accumulate(wire, count, weight, sum);
    case CodecKind::kOneBit:
      return codec::one_bit::accumulate(wire, count, weight, sum);
    case CodecKind::kTopK:
      return codec::top_k::accumulate(wire, count, weight, sum);
  }
}

/// Of a codec in which a whole number of its blocks is one of a part's, each of the same size.
class DensePart : public Part {
 public:
  DensePart(CodecKind kind, const std::byte* wire, float weight)
      : kind_(kind), wire_(wire), weight_(weight) {}
  void add_to(float* sum, std::int64_t start, std::int64_t count) override {
    add(kind_, wire_ + encoded_bytes(kind_, start, 0), weight_, sum, count);
  }

 private:
  CodecKind kind_;
  const std::byte* wire_;
  float weight_;
};
static_assert(Part::kBlock % codec::int8::kBlock == 0 && Part::kBlock % codec::one_bit::kBlock == 0);

/// Of topK: goes through the entries once.
class SparsePart : public Part {
 public:
  SparsePart(const std::byte* wire, float weight, std::int64_t count)
      : entries_(wire, count), weight_(weight) {}
  void add_to(float* sum, std::int64_t start, std::int64_t count) override {
    entries_.take(start + count,
                  [&](std::int64_t place, float value) { sum[place - start] += weight_ * value; });
  }

 private:
  codec::top_k::Entries entries_;
  float weight_;
};

float* floats(const std::shared_ptr<AlignedBuffer>& buffer) {
  return buffer == nullptr ? nullptr : static_cast<float*>(buffer->data());
}

std::shared_ptr<AlignedBuffer> zeros(std::int64_t length) {
  return std::make_shared<AlignedBuffer>(static_cast<std::size_t>(length) * sizeof(float));
}

}  // namespace

std::size_t encoded_bytes(CodecKind kind, std::int64_t count, double ratio) {
  std::int64_t bytes = 0;
  switch (kind) {
    case CodecKind::kBfloat16:
      bytes = 2 * count;
      break;
    case CodecKind::kInt8:
      bytes = blocks_of(count, codec::int8::kBlock) * 4 + count;
      break;
    case CodecKind::kOneBit:
      bytes = blocks_of(count, codec::one_bit::kBlock) * 4 + blocks_of(count, 8);
      break;
    case CodecKind::kTopK:
      return codec::top_k::capacity(count, most_of(count, ratio));
  }
  return static_cast<std::size_t>(bytes);
}

bool is_encoded(CodecKind kind, std::span<const std::byte> wire, std::int64_t count) {
  if (kind == CodecKind::kTopK) return codec::top_k::well_formed(wire.data(), wire.size(), count);
  if (wire.size() != encoded_bytes(kind, count, 0)) return false;
  switch (kind) {
    case CodecKind::kBfloat16:
      return codec::bfloat16::well_formed(wire.data(), count);
    case CodecKind::kInt8:
      return codec::int8::well_formed(wire.data(), count);
    default:
      return codec::one_bit::well_formed(wire.data(), count);
  }
}

void decode(CodecKind kind, std::span<const std::byte> wire, float* to, std::int64_t count) {
  check(kind, wire, count);
  switch (kind) {
    case CodecKind::kBfloat16:
      return codec::bfloat16::decode(wire.data(), count, to);
    case CodecKind::kInt8:
      return codec::int8::decode(wire.data(), count, to);
    case CodecKind::kOneBit:
      return codec::one_bit::decode(wire.data(), count, to);
    case CodecKind::kTopK:
      return codec::top_k::decode(wire.data(), count, to);
  }
}

void decode_accumulate(CodecKind kind, std::span<const std::byte> wire, float weight, float* sum,
                       std::int64_t count) {
  check(kind, wire, count);
  add(kind, wire.data(), weight, sum, count);
}

std::unique_ptr<Part> encoded_part(CodecKind kind, std::span<const std::byte> wire, float weight,
                                   std::int64_t count) {
  check(kind, wire, count);
  if (kind == CodecKind::kTopK) return std::make_unique<SparsePart>(wire.data(), weight, count);
  return std::make_unique<DensePart>(kind, wire.data(), weight);
}

std::size_t encode_difference(CodecKind kind, const float* values, const float* view, float* next_view,
                              std::int64_t count, double ratio, std::span<std::byte> wire) {
  const Source source{.values = values, .kept = view, .next = next_view};
  return encode(kind, Feedback::kView, source, count, most_of(count, ratio), wire);
}

Encoder::Encoder(const CodecSpec& spec, std::int64_t length) : spec_(spec), length_(length) {
  if (spec.kind != CodecKind::kBfloat16) residual_ = zeros(length);
  if (spec.momentum != 0) velocity_ = zeros(length);
}

void Encoder::accelerate(float* gradients, std::int64_t from, std::int64_t to, double factor) {
  if (velocity_ == nullptr) return;
  const auto share = static_cast<float>(spec_.momentum * factor);
  codec::accelerate(share, floats(velocity_) + from, gradients + from, to - from);
}

std::size_t Encoder::encode(const float* gradients, std::int64_t from, std::int64_t to,
                            const EncodeOptions& options, std::span<std::byte> wire) {
  const std::int64_t count = to - from;
  float* residual = residual_ == nullptr ? nullptr : floats(residual_) + from;
  const Source source{.values = gradients + from,
                      .kept = residual,
                      .next = residual,
                      .factor = static_cast<float>(options.factor)};
  const Feedback feedback = residual == nullptr ? Feedback::kNone : Feedback::kResidual;
  return lepton::encode(spec_.kind, feedback, source, count, most_of(count, options.ratio), wire);
}

void Encoder::flush(const float* gradients, std::int64_t from, std::int64_t to, double factor,
                    std::span<std::byte> wire) {
  float* residual = floats(residual_);
  for (std::int64_t i = from; i < to; ++i) {
    float value = gradients[i];
    if (residual != nullptr) {
      value += static_cast<float>(factor) * residual[i];
      residual[i] = 0;
    }
    codec::store(wire.data(), i - from, value);
  }
}

}  // namespace lepton
