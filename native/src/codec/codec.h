// Codecs of gradients and parameters by name: sizes, checks of what comes from outside, encoders with
// feedback. DGC is Lin et al. 2018 (arXiv 1712.01887); error feedback is Karimireddy et al. 2019 (arXiv
// 1901.09847).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "engine/aligned_buffer.h"
#include "engine/optimizer.h"

namespace lepton {

enum class CodecKind : std::uint8_t { kBfloat16, kInt8, kOneBit, kTopK };

struct CodecSpec {
  CodecKind kind = CodecKind::kBfloat16;
  /// Of the velocity that takes the place of the optimizer's momentum. 0: no velocity.
  double momentum = 0;
};

struct EncodeOptions {
  /// topK: share of the values that is sent.
  double ratio = 1;
  /// What the residual is multiplied by before values are added to it.
  double factor = 1;
};

/// Room that `count` encoded values need at most; for all but topK exactly. `ratio` (topK): share of the
/// values that is sent, rounded up to a whole value.
std::size_t encoded_bytes(CodecKind kind, std::int64_t count, double ratio);

/// Whether `wire` can be `count` encoded values: length, places, numbers that are finite.
bool is_encoded(CodecKind kind, std::span<const std::byte> wire, std::int64_t count);

/// to[0..count) = the decoded values. Throws EngineError ENGINE_WIRE when `wire` cannot be theirs (length,
/// places, numbers that are not finite), and has written nothing then; so does decode_accumulate.
void decode(CodecKind kind, std::span<const std::byte> wire, float* to, std::int64_t count);
/// sum[0..count) += weight * the decoded values.
void decode_accumulate(CodecKind kind, std::span<const std::byte> wire, float weight, float* sum,
                       std::int64_t count);

/// What `decode_accumulate` adds, to be added block by block; `wire` must outlive it. Throws as that does.
std::unique_ptr<Part> encoded_part(CodecKind kind, std::span<const std::byte> wire, float weight,
                                   std::int64_t count);

/// Encodes values - view, where `view` is what every receiver has, and writes the receivers' next view: view
/// + decoded, in their bits. So what a codec loses is in the next difference. `next_view` may be `view`.
/// Answers the bytes written. Throws EngineError ENGINE_NOT_FINITE; the next view is of no use then.
std::size_t encode_difference(CodecKind kind, const float* values, const float* view, float* next_view,
                              std::int64_t count, double ratio, std::span<std::byte> wire);

/// Gradients of one sender. Keeps what was not sent yet, value by value: sum of decoded = sum of encoded -
/// residual (to rounding). bfloat16 has no residual: its error is relative to each value, at most 2^-9 of it.
class Encoder {
 public:
  Encoder(const CodecSpec& spec, std::int64_t length);

  std::int64_t length() const { return length_; }
  const CodecSpec& spec() const { return spec_; }
  /// `length` floats, or none.
  const std::shared_ptr<AlignedBuffer>& residual() const { return residual_; }
  const std::shared_ptr<AlignedBuffer>& velocity() const { return velocity_; }

  /// Momentum before the codec (momentum correction, DGC section 3.1): elements [from, to) of the velocity
  /// become momentum * factor * velocity + gradients, and so do the gradients. Without a velocity nothing
  /// happens.
  void accelerate(float* gradients, std::int64_t from, std::int64_t to, double factor);
  /// Elements [from, to) of `gradients`; answers the bytes written. `wire` has room for encoded_bytes. Throws
  /// EngineError ENGINE_NOT_FINITE; the residual of the range is of no use then.
  std::size_t encode(const float* gradients, std::int64_t from, std::int64_t to, const EncodeOptions& options,
                     std::span<std::byte> wire);
  /// wire = gradients + factor * residual in full precision, 4 bytes a value; the residual is 0 then.
  void flush(const float* gradients, std::int64_t from, std::int64_t to, double factor,
             std::span<std::byte> wire);

 private:
  CodecSpec spec_;
  std::int64_t length_;
  std::shared_ptr<AlignedBuffer> residual_, velocity_;
};

}  // namespace lepton
