// What `require('lepton.node')` gives: the classes Model, Optimizer, Memory and Encoder, and functions over
// flat arrays.
#include <napi.h>

#include <string>

#include "binding/convert.h"
#include "binding/encoder.h"
#include "binding/environment.h"
#include "binding/memory.h"
#include "binding/model.h"
#include "binding/optimizer.h"
#include "binding/values.h"
#include "device/device.h"
#include "engine/sums.h"
#include "graph/error.h"
#include "sources.h"

namespace lepton::binding {
namespace {

/// accumulate(sum, at, values, weight)
Napi::Value accumulate(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const FloatView sum = floats_of(info[0], "sum");
    const std::int64_t at = whole_of(info[1], "at", 0, static_cast<std::int64_t>(sum.length));
    const auto [values, bytes] = bytes_of(info[2], "values");
    const auto room = (sum.length - static_cast<std::size_t>(at)) * sizeof(float);
    if (bytes % sizeof(float) != 0 || bytes > room) {
      throw EngineError("ENGINE_ARGUMENT", "accumulate: expected at most " + std::to_string(room) +
                                               " bytes of whole floats, got " + std::to_string(bytes));
    }
    lepton::accumulate(sum.data + at, values, static_cast<std::int64_t>(bytes / sizeof(float)),
                       static_cast<float>(number_of(info[3], "weight")));
    return info.Env().Undefined();
  });
}

/// sumOfSquares(values, from, to)
Napi::Value sum_of_squares(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const FloatView values = floats_of(info[0], "values");
    const std::int64_t to = whole_of(info[2], "to", 0, static_cast<std::int64_t>(values.length));
    const std::int64_t from = whole_of(info[1], "from", 0, to);
    return Napi::Number::New(info.Env(), lepton::sum_of_squares(values.data + from, to - from));
  });
}

/// allFinite(values)
Napi::Value all_finite(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto [values, bytes] = bytes_of(info[0], "values");
    if (bytes % sizeof(float) != 0) {
      throw EngineError("ENGINE_ARGUMENT",
                        "allFinite: expected bytes of whole floats, got " + std::to_string(bytes));
    }
    const auto count = static_cast<std::int64_t>(bytes / sizeof(float));
    return Napi::Boolean::New(info.Env(), lepton::all_finite(values, count));
  });
}

Napi::Value arena_layout(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return layout_object(info.Env(), lepton::arena_layout(parameters_of(info[0], "parameters")));
  });
}

/// stop()
Napi::Value stop(const Napi::CallbackInfo& info) {
  environment(info.Env()).thread.stop();
  return info.Env().Undefined();
}

/// createMemory()
Napi::Value create_memory(const Napi::CallbackInfo& info) {
  return guarded(info.Env(),
                 [&]() -> Napi::Value { return Napi::Number::New(info.Env(), lepton::create_memory()); });
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Environment(env));
  exports.Set("Model", Model::define(env));
  exports.Set("Optimizer", Optimizer::define(env));
  exports.Set("Memory", Memory::define(env));
  exports.Set("hostIdentity", host_identity());
  exports.Set("createMemory", Napi::Function::New(env, create_memory, "createMemory"));
  exports.Set("accumulate", Napi::Function::New(env, accumulate, "accumulate"));
  exports.Set("sumOfSquares", Napi::Function::New(env, sum_of_squares, "sumOfSquares"));
  exports.Set("allFinite", Napi::Function::New(env, all_finite, "allFinite"));
  exports.Set("Encoder", Encoder::define(env));
  exports.Set("encodedBytes", Napi::Function::New(env, encoded_bytes, "encodedBytes"));
  exports.Set("encodeDifference", Napi::Function::New(env, encode_difference, "encodeDifference"));
  exports.Set("isEncoded", Napi::Function::New(env, is_encoded, "isEncoded"));
  exports.Set("decode", Napi::Function::New(env, decode, "decode"));
  exports.Set("decodeAccumulate", Napi::Function::New(env, decode_accumulate, "decodeAccumulate"));
  exports.Set("arenaLayout", Napi::Function::New(env, arena_layout, "arenaLayout"));
  exports.Set("stop", Napi::Function::New(env, stop, "stop"));
  const Napi::Object versions = Napi::Object::New(env);
  versions.Set("engine", LEPTON_VERSION);
  versions.Set("library", cpu_device() != nullptr ? cpu_device()->library() : std::string("none"));
  versions.Set("isa", cpu_device() != nullptr ? cpu_device()->isa() : std::string("none"));
  exports.Set("versions", versions);
  exports.Set("sources", LEPTON_SOURCES);
  return exports;
}

}  // namespace
}  // namespace lepton::binding

static Napi::Object Initialize(Napi::Env env, Napi::Object exports) {
  return lepton::binding::initialize(env, exports);
}

NODE_API_MODULE(lepton, Initialize)
