#include "binding/convert.h"

#include <map>

#include "binding/values.h"
#include "graph/error.h"

namespace lepton::binding {
namespace {

FeedArray::Type feed_type(const Napi::TypedArray& array, const std::string& where) {
  switch (array.TypedArrayType()) {
    case napi_float32_array:
      return FeedArray::Type::kFloat32;
    case napi_float64_array:
      return FeedArray::Type::kFloat64;
    case napi_int32_array:
      return FeedArray::Type::kInt32;
    default:
      refuse(where, "a Float32Array, Float64Array or Int32Array");
  }
}

/// The typed array and its bytes. A detached buffer has length zero although the array was made longer:
/// refused.
std::pair<Napi::TypedArray, std::byte*> typed_array_of(const Napi::Value& value, const std::string& where,
                                                       const char* expected) {
  if (!value.IsTypedArray()) refuse(where, expected);
  const auto array = value.As<Napi::TypedArray>();
  void* data = nullptr;
  size_t length = 0;
  napi_value buffer;
  size_t offset = 0;
  napi_typedarray_type type;
  if (napi_get_typedarray_info(value.Env(), value, &type, &length, &data, &buffer, &offset) != napi_ok) {
    refuse(where, expected);
  }
  bool detached = false;
  if (napi_is_detached_arraybuffer(value.Env(), buffer, &detached) == napi_ok && detached) {
    refuse(where, "an array whose buffer is not detached");
  }
  return {array, static_cast<std::byte*>(data)};
}

}  // namespace

Napi::Error coded_error(Napi::Env env, const std::string& code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

SessionOptions session_options_of(const Napi::Value& value) {
  const Napi::Object object = object_of(value, "options");
  SessionOptions options;
  read_into(options.device, object, "device", "options", text_of);
  if (const Napi::Value losses = object.Get("losses"); !losses.IsUndefined())
    options.losses = losses_of(losses);
  const auto counter = [](const Napi::Value& item, const std::string& path) {
    return static_cast<std::uint64_t>(whole_of(item, path, 0, std::int64_t{1} << 53));
  };
  read_into(options.seed, object, "seed", "options", counter);
  read_into(options.rank, object, "rank", "options", counter);
  read_into(options.compile.threads, object, "threads", "options",
            [](const Napi::Value& item, const std::string& path) {
              return static_cast<int>(whole_of(item, path, 1, 1024));
            });
  read_into(options.compile.profile, object, "profile", "options", flag_of);
  return options;
}

OptimizerSpec optimizer_of(const Napi::Value& value) {
  static const std::map<std::string, OptimizerKind> kKinds = {
      {"sgd", OptimizerKind::kSgd},
      {"adam", OptimizerKind::kAdam},
      {"adamW", OptimizerKind::kAdamW},
      {"rmsprop", OptimizerKind::kRmsprop},
  };
  const Napi::Object object = object_of(value, "optimizer");
  const auto kind = kKinds.find(text_of(object.Get("optimizer"), "optimizer.optimizer"));
  if (kind == kKinds.end()) refuse("optimizer.optimizer", "sgd, adam, adamW or rmsprop");
  OptimizerSpec spec;
  spec.kind = kind->second;
  read_into(spec.nesterov, object, "nesterov", "optimizer", flag_of);
  read_into(spec.momentum, object, "momentum", "optimizer", number_of);
  read_into(spec.beta1, object, "beta1", "optimizer", number_of);
  read_into(spec.beta2, object, "beta2", "optimizer", number_of);
  read_into(spec.rho, object, "rho", "optimizer", number_of);
  read_into(spec.epsilon, object, "epsilon", "optimizer", number_of);
  read_into(spec.weight_decay, object, "weightDecay", "optimizer", number_of);
  return spec;
}

UpdateOptions update_of(const Napi::Value& value) {
  const Napi::Object object = object_of(value, "options");
  UpdateOptions update;
  update.learning_rate = number_of(object.Get("learningRate"), "options.learningRate");
  update.iteration = whole_of(object.Get("iteration"), "options.iteration", 1, std::int64_t{1} << 53);
  read_into(update.scale, object, "scale", "options", number_of);
  read_into(update.clip_value, object, "clipValue", "options", number_of);
  return update;
}

std::vector<FeedArray> feed_of(const Napi::Value& value, const std::string& where) {
  std::vector<FeedArray> feed;
  for_items(value, where, [&](const Napi::Value& item, const std::string& path) {
    const auto [array, data] = typed_array_of(item, path, "a Float32Array, Float64Array or Int32Array");
    feed.push_back({feed_type(array, path), data, array.ElementLength()});
  });
  return feed;
}

FloatView floats_of(const Napi::Value& value, const std::string& where) {
  const auto [array, data] = typed_array_of(value, where, "a Float32Array");
  if (array.TypedArrayType() != napi_float32_array) refuse(where, "a Float32Array");
  return {reinterpret_cast<float*>(data), array.ElementLength()};
}

std::pair<const std::byte*, std::size_t> bytes_of(const Napi::Value& value, const std::string& where) {
  const auto [array, data] = typed_array_of(value, where, "a Uint8Array");
  if (array.TypedArrayType() != napi_uint8_array) refuse(where, "a Uint8Array");
  return {data, array.ByteLength()};
}

Napi::Array shape_array(Napi::Env env, const Shape& shape) {
  const Napi::Array array = Napi::Array::New(env, shape.size());
  for (std::size_t i = 0; i < shape.size(); ++i) {
    array.Set(static_cast<std::uint32_t>(i), Napi::Number::New(env, static_cast<double>(shape[i])));
  }
  return array;
}

Napi::Object layout_object(Napi::Env env, const ArenaLayout& layout) {
  const Napi::Array entries = Napi::Array::New(env, layout.entries.size());
  for (std::size_t i = 0; i < layout.entries.size(); ++i) {
    const ArenaEntry& entry = layout.entries[i];
    const Napi::Object object = Napi::Object::New(env);
    object.Set("name", entry.name);
    object.Set("shape", shape_array(env, entry.shape));
    object.Set("trainable", entry.trainable);
    object.Set("offset", static_cast<double>(entry.offset));
    object.Set("length", static_cast<double>(entry.length));
    entries.Set(static_cast<std::uint32_t>(i), object);
  }
  const Napi::Object result = Napi::Object::New(env);
  result.Set("entries", entries);
  result.Set("trainableLength", static_cast<double>(layout.trainable_length));
  result.Set("length", static_cast<double>(layout.length));
  return result;
}

}  // namespace lepton::binding
