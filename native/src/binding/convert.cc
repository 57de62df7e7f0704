#include "binding/convert.h"

#include <cmath>
#include <limits>
#include <map>

#include "graph/error.h"

namespace lepton::binding {
namespace {

constexpr std::int64_t kLargest = std::int64_t{1} << 40;
constexpr std::uint32_t kMostItems = 1'000'000;

[[noreturn]] void refuse(const std::string& where, const std::string& expected) {
  throw EngineError("ENGINE_ARGUMENT", where + ": expected " + expected);
}

Napi::Object object_of(const Napi::Value& value, const std::string& where) {
  if (!value.IsObject() || value.IsFunction()) refuse(where, "an object");
  return value.As<Napi::Object>();
}

/// Calls each(item, path) for every item of an array.
template <class Each>
void for_items(const Napi::Value& value, const std::string& where, Each&& each) {
  if (!value.IsArray()) refuse(where, "an array");
  const auto array = value.As<Napi::Array>();
  const std::uint32_t length = array.Length();
  if (length > kMostItems) refuse(where, "at most " + std::to_string(kMostItems) + " items");
  for (std::uint32_t i = 0; i < length; ++i) {
    const Napi::HandleScope scope(value.Env());
    each(array.Get(i), where + "[" + std::to_string(i) + "]");
  }
}

std::string text_of(const Napi::Value& value, const std::string& where) {
  if (!value.IsString()) refuse(where, "text");
  return value.As<Napi::String>().Utf8Value();
}

bool flag_of(const Napi::Value& value, const std::string& where) {
  if (!value.IsBoolean()) refuse(where, "true or false");
  return value.As<Napi::Boolean>().Value();
}

std::vector<std::string> texts_of(const Napi::Value& value, const std::string& where) {
  std::vector<std::string> texts;
  for_items(value, where,
            [&](const Napi::Value& item, const std::string& path) { texts.push_back(text_of(item, path)); });
  return texts;
}

std::vector<std::int64_t> wholes_of(const Napi::Value& value, const std::string& where) {
  std::vector<std::int64_t> numbers;
  for_items(value, where, [&](const Napi::Value& item, const std::string& path) {
    numbers.push_back(whole_of(item, path, 0, kLargest));
  });
  return numbers;
}

std::array<std::int64_t, 2> pair_of(const Napi::Value& value, const std::string& where) {
  const auto numbers = wholes_of(value, where);
  if (numbers.size() != 2) refuse(where, "two numbers");
  return {numbers[0], numbers[1]};
}

PaddingSpec padding_of(const Napi::Value& value, const std::string& where) {
  PaddingSpec padding;
  if (value.IsString()) {
    const std::string rule = text_of(value, where);
    if (rule != "valid" && rule != "same") refuse(where, "valid, same or [[top, bottom], [left, right]]");
    padding.rule = rule == "same" ? PaddingSpec::Rule::kSame : PaddingSpec::Rule::kValid;
    return padding;
  }
  padding.rule = PaddingSpec::Rule::kExplicit;
  std::size_t next = 0;
  for_items(value, where, [&](const Napi::Value& item, const std::string& path) {
    const auto pair = pair_of(item, path);
    if (next < 4) {
      padding.sizes[next] = pair[0];
      padding.sizes[next + 1] = pair[1];
    }
    next += 2;
  });
  if (next != 4) refuse(where, "[[top, bottom], [left, right]]");
  return padding;
}

/// Reads one attribute of a node when the node has it.
template <class Target, class Read>
void read_into(Target& target, const Napi::Object& node, const char* name, const std::string& where,
               Read&& read) {
  const Napi::Value value = node.Get(name);
  if (!value.IsUndefined()) target = read(value, where + "." + name);
}

OperationOptions options_of(const Napi::Object& node, const std::string& where) {
  OperationOptions options;
  read_into(options.pool_size, node, "poolSize", where, pair_of);
  read_into(options.strides, node, "strides", where, pair_of);
  read_into(options.dilation, node, "dilation", where, pair_of);
  read_into(options.padding, node, "padding", where, padding_of);
  read_into(options.shape, node, "shape", where, wholes_of);
  read_into(options.permutation, node, "permutation", where, wholes_of);
  const auto whole = [](const Napi::Value& value, const std::string& path) {
    return whole_of(value, path, -kLargest, kLargest);
  };
  read_into(options.groups, node, "groups", where, whole);
  read_into(options.axis, node, "axis", where, whole);
  read_into(options.momentum, node, "momentum", where, number_of);
  read_into(options.epsilon, node, "epsilon", where, number_of);
  read_into(options.rate, node, "rate", where, number_of);
  read_into(options.negative_slope, node, "negativeSlope", where, number_of);
  read_into(options.alpha, node, "alpha", where, number_of);
  read_into(options.scale, node, "scale", where, flag_of);
  read_into(options.center, node, "center", where, flag_of);
  read_into(options.approximate, node, "approximate", where, flag_of);
  return options;
}

NodeSpec node_of(const Napi::Value& value, const std::string& where) {
  const Napi::Object node = object_of(value, where);
  NodeSpec spec;
  spec.op = text_of(node.Get("op"), where + ".op");
  spec.name = text_of(node.Get("name"), where + ".name");
  spec.inputs = texts_of(node.Get("inputs"), where + ".inputs");
  read_into(spec.parameters, node, "parameters", where, texts_of);
  spec.options = options_of(node, where);
  return spec;
}

InputSpec input_of(const Napi::Value& value, const std::string& where) {
  const Napi::Object input = object_of(value, where);
  InputSpec spec;
  spec.name = text_of(input.Get("name"), where + ".name");
  spec.shape = wholes_of(input.Get("shape"), where + ".shape");
  const std::string type = text_of(input.Get("type"), where + ".type");
  if (type != "float32" && type != "int32") refuse(where + ".type", "float32 or int32");
  spec.type = type == "int32" ? DType::kInt32 : DType::kFloat;
  return spec;
}

LossSpec loss_of(const Napi::Value& value, const std::string& where) {
  static const std::map<std::string, LossKind> kKinds = {
      {"categoricalCrossentropy", LossKind::kCategoricalCrossentropy},
      {"sparseCategoricalCrossentropy", LossKind::kSparseCategoricalCrossentropy},
      {"binaryCrossentropy", LossKind::kBinaryCrossentropy},
      {"meanSquaredError", LossKind::kMeanSquaredError},
      {"meanAbsoluteError", LossKind::kMeanAbsoluteError},
      {"huber", LossKind::kHuber},
  };
  const Napi::Object loss = object_of(value, where);
  LossSpec spec;
  spec.output = text_of(loss.Get("output"), where + ".output");
  const auto kind = kKinds.find(text_of(loss.Get("loss"), where + ".loss"));
  if (kind == kKinds.end()) refuse(where + ".loss", "the name of a loss");
  spec.loss = kind->second;
  read_into(spec.from_logits, loss, "fromLogits", where, flag_of);
  read_into(spec.delta, loss, "delta", where, number_of);
  read_into(spec.label_smoothing, loss, "labelSmoothing", where, number_of);
  read_into(spec.weight, loss, "weight", where, number_of);
  return spec;
}

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

std::int64_t whole_of(const Napi::Value& value, const std::string& where, std::int64_t minimum,
                      std::int64_t maximum) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (std::floor(number) == number && number >= static_cast<double>(minimum) &&
      number <= static_cast<double>(maximum)) {
    return static_cast<std::int64_t>(number);
  }
  refuse(where, "a whole number of " + std::to_string(minimum) + " to " + std::to_string(maximum));
}

double number_of(const Napi::Value& value, const std::string& where) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (!std::isfinite(number)) refuse(where, "a finite number");
  return number;
}

std::vector<ParameterSpec> parameters_of(const Napi::Value& value, const std::string& where) {
  std::vector<ParameterSpec> parameters;
  for_items(value, where, [&](const Napi::Value& item, const std::string& path) {
    const Napi::Object parameter = object_of(item, path);
    parameters.push_back({text_of(parameter.Get("name"), path + ".name"),
                          wholes_of(parameter.Get("shape"), path + ".shape"),
                          flag_of(parameter.Get("trainable"), path + ".trainable")});
  });
  return parameters;
}

GraphSpec graph_of(const Napi::Value& value) {
  const Napi::Object object = object_of(value, "graph");
  GraphSpec graph;
  for_items(object.Get("inputs"), "graph.inputs", [&](const Napi::Value& item, const std::string& path) {
    graph.inputs.push_back(input_of(item, path));
  });
  graph.parameters = parameters_of(object.Get("parameters"), "graph.parameters");
  for_items(object.Get("nodes"), "graph.nodes", [&](const Napi::Value& item, const std::string& path) {
    graph.nodes.push_back(node_of(item, path));
  });
  graph.outputs = texts_of(object.Get("outputs"), "graph.outputs");
  return graph;
}

std::vector<LossSpec> losses_of(const Napi::Value& value) {
  std::vector<LossSpec> losses;
  for_items(value, "losses",
            [&](const Napi::Value& item, const std::string& path) { losses.push_back(loss_of(item, path)); });
  return losses;
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
