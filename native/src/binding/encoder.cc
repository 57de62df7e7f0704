#include "binding/encoder.h"

#include <algorithm>
#include <map>
#include <span>
#include <string>

#include "binding/arena_view.h"
#include "binding/convert.h"
#include "binding/values.h"
#include "graph/error.h"

namespace lepton::binding {
namespace {

/// Of topK; undefined is 1.
double ratio_of(const Napi::Value& value) {
  if (value.IsUndefined()) return 1;
  const double ratio = number_of(value, "ratio");
  if (!(ratio > 0 && ratio <= 1)) refuse("ratio", "a share above 0, up to 1");
  return ratio;
}

/// Of what was kept; undefined is 1.
double factor_of(const Napi::Value& value) {
  if (value.IsUndefined()) return 1;
  const double factor = number_of(value, "factor");
  if (!(factor >= 0)) refuse("factor", "a number from 0 on");
  return factor;
}

struct Range {
  std::int64_t from, to;
  std::int64_t count() const { return to - from; }
};

Range range_of(const Napi::Value& from, const Napi::Value& to, std::size_t length) {
  Range range{};
  range.to = whole_of(to, "to", 0, static_cast<std::int64_t>(length));
  range.from = whole_of(from, "from", 0, range.to);
  return range;
}

std::span<std::byte> room_of(const Napi::Value& value, std::size_t needed) {
  const auto [data, bytes] = bytes_of(value, "wire");
  if (bytes < needed) {
    throw EngineError("ENGINE_ARGUMENT", "wire: expected room for " + std::to_string(needed) +
                                             " bytes, got " + std::to_string(bytes));
  }
  return {const_cast<std::byte*>(data), bytes};
}

struct Target {
  float* values;
  std::int64_t count;
};

Target target_of(const Napi::Value& value, const Napi::Value& at, const Napi::Value& count) {
  const FloatView view = floats_of(value, "target");
  const std::int64_t start = whole_of(at, "at", 0, static_cast<std::int64_t>(view.length));
  return {view.data + start, whole_of(count, "count", 0, static_cast<std::int64_t>(view.length) - start)};
}

std::span<const std::byte> wire_of(const Napi::Value& value) {
  const auto [data, bytes] = bytes_of(value, "wire");
  return {data, bytes};
}

}  // namespace

CodecKind codec_of(const Napi::Value& value, const std::string& where) {
  static const std::map<std::string, CodecKind> kKinds = {
      {"bfloat16", CodecKind::kBfloat16},
      {"int8", CodecKind::kInt8},
      {"oneBit", CodecKind::kOneBit},
      {"topK", CodecKind::kTopK},
  };
  const auto kind = kKinds.find(text_of(value, where));
  if (kind == kKinds.end()) refuse(where, "bfloat16, int8, oneBit or topK");
  return kind->second;
}

Napi::Function Encoder::define(Napi::Env env) {
  return DefineClass(env, "Encoder",
                     {InstanceMethod("accelerate", &Encoder::accelerate),
                      InstanceMethod("encode", &Encoder::encode), InstanceMethod("flush", &Encoder::flush)});
}

Encoder::Encoder(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Encoder>(info) {
  const Napi::Env env = info.Env();
  guarded(env, [&] {
    const Napi::Object options = object_of(info[0], "codec");
    CodecSpec spec{.kind = codec_of(options.Get("codec"), "codec.codec")};
    read_into(spec.momentum, options, "momentum", "codec", number_of);
    if (!(spec.momentum >= 0 && spec.momentum < 1)) refuse("codec.momentum", "a number from 0 to below 1");
    const std::int64_t length = whole_of(info[1], "length", 0, kLargest);
    encoder_ = std::make_unique<lepton::Encoder>(spec, length);
    const auto show = [&](const char* name, const std::shared_ptr<AlignedBuffer>& values) {
      if (values == nullptr) return;
      const std::shared_ptr<std::byte[]> memory(values, static_cast<std::byte*>(values->data()));
      info.This().As<Napi::Object>().Set(
          name, arena_view(env, memory, static_cast<std::size_t>(length), sizeof(float)));
    };
    show("residual", encoder_->residual());
    show("velocity", encoder_->velocity());
  });
}

Napi::Value Encoder::accelerate(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const FloatView gradients = floats_of(info[0], "gradients");
    const auto length = static_cast<std::size_t>(encoder_->length());
    const Range range = range_of(info[1], info[2], std::min(gradients.length, length));
    encoder_->accelerate(gradients.data, range.from, range.to, factor_of(info[3]));
    return info.Env().Undefined();
  });
}

Napi::Value Encoder::encode(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const FloatView gradients = floats_of(info[0], "gradients");
    const auto length = static_cast<std::size_t>(encoder_->length());
    const Range range = range_of(info[1], info[2], std::min(gradients.length, length));
    const EncodeOptions options{.ratio = ratio_of(info[4]), .factor = factor_of(info[5])};
    const auto wire =
        room_of(info[3], lepton::encoded_bytes(encoder_->spec().kind, range.count(), options.ratio));
    const std::size_t written = encoder_->encode(gradients.data, range.from, range.to, options, wire);
    return Napi::Number::New(info.Env(), static_cast<double>(written));
  });
}

Napi::Value Encoder::flush(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const FloatView gradients = floats_of(info[0], "gradients");
    const auto length = static_cast<std::size_t>(encoder_->length());
    const Range range = range_of(info[1], info[2], std::min(gradients.length, length));
    const auto wire = room_of(info[3], static_cast<std::size_t>(range.count()) * sizeof(float));
    encoder_->flush(gradients.data, range.from, range.to, factor_of(info[4]), wire);
    return info.Env().Undefined();
  });
}

Napi::Value encoded_bytes(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::int64_t count = whole_of(info[1], "count", 0, kLargest);
    const std::size_t bytes = lepton::encoded_bytes(codec_of(info[0], "codec"), count, ratio_of(info[2]));
    return Napi::Number::New(info.Env(), static_cast<double>(bytes));
  });
}

Napi::Value encode_difference(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const CodecKind kind = codec_of(info[0], "codec");
    const FloatView values = floats_of(info[1], "values");
    const FloatView view = floats_of(info[2], "view");
    const FloatView next = floats_of(info[3], "nextView");
    const Range range = range_of(info[4], info[5], std::min({values.length, view.length, next.length}));
    const double ratio = ratio_of(info[7]);
    const auto wire = room_of(info[6], lepton::encoded_bytes(kind, range.count(), ratio));
    const std::size_t written =
        lepton::encode_difference(kind, values.data + range.from, view.data + range.from,
                                  next.data + range.from, range.count(), ratio, wire);
    return Napi::Number::New(info.Env(), static_cast<double>(written));
  });
}

Napi::Value is_encoded(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::int64_t count = whole_of(info[2], "count", 0, kLargest);
    return Napi::Boolean::New(info.Env(),
                              lepton::is_encoded(codec_of(info[0], "codec"), wire_of(info[1]), count));
  });
}

Napi::Value decode(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Target target = target_of(info[2], info[3], info[4]);
    lepton::decode(codec_of(info[0], "codec"), wire_of(info[1]), target.values, target.count);
    return info.Env().Undefined();
  });
}

Napi::Value decode_accumulate(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Target target = target_of(info[2], info[3], info[4]);
    lepton::decode_accumulate(codec_of(info[0], "codec"), wire_of(info[1]),
                              static_cast<float>(number_of(info[5], "weight")), target.values, target.count);
    return info.Env().Undefined();
  });
}

}  // namespace lepton::binding
