// Codecs of gradients for JavaScript: an encoder with its state as an object, and functions over flat arrays.
// Synchronous: a chunk takes well under a millisecond.
#pragma once

#include <napi.h>

#include <memory>
#include <string>

#include "codec/codec.h"

namespace lepton::binding {

class Encoder : public Napi::ObjectWrap<Encoder> {
 public:
  static Napi::Function define(Napi::Env env);
  /// new Encoder({codec, momentum?}, length); `residual` and `velocity` are its arrays, where it has them.
  explicit Encoder(const Napi::CallbackInfo& info);

 private:
  /// accelerate(gradients, from, to, factor?)
  Napi::Value accelerate(const Napi::CallbackInfo& info);
  /// encode(gradients, from, to, wire, ratio?, factor?) -> bytes written
  Napi::Value encode(const Napi::CallbackInfo& info);
  /// flush(gradients, from, to, wire, factor?)
  Napi::Value flush(const Napi::CallbackInfo& info);

  std::unique_ptr<lepton::Encoder> encoder_;
};

/// bfloat16, int8, oneBit or topK.
CodecKind codec_of(const Napi::Value& value, const std::string& where);

/// encodedBytes(codec, count, ratio?) -> bytes
Napi::Value encoded_bytes(const Napi::CallbackInfo& info);
/// encodeDifference(codec, values, view, nextView, from, to, wire, ratio?) -> bytes written
Napi::Value encode_difference(const Napi::CallbackInfo& info);
/// isEncoded(codec, wire, count) -> boolean
Napi::Value is_encoded(const Napi::CallbackInfo& info);
/// decode(codec, wire, target, at, count)
Napi::Value decode(const Napi::CallbackInfo& info);
/// decodeAccumulate(codec, wire, sum, at, count, weight)
Napi::Value decode_accumulate(const Napi::CallbackInfo& info);

}  // namespace lepton::binding
