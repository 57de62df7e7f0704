#include "binding/optimizer.h"

#include <algorithm>
#include <string>
#include <vector>

#include "binding/arena_view.h"
#include "binding/convert.h"
#include "binding/encoder.h"
#include "binding/memory.h"
#include "binding/values.h"
#include "codec/codec.h"
#include "graph/error.h"

namespace lepton::binding {
namespace {

/// Each of `count` elements.
std::vector<std::unique_ptr<Part>> parts_of(const Napi::Value& value, const std::string& name,
                                            std::int64_t count) {
  std::vector<std::unique_ptr<Part>> parts;
  for_items(value, name, [&](const Napi::Value& item, const std::string& where) {
    const Napi::Object object = object_of(item, where);
    const auto [data, length] = bytes_of(object.Get("data"), where + ".data");
    const auto weight = static_cast<float>(number_of(object.Get("weight"), where + ".weight"));
    const Napi::Value codec = object.Get("codec");
    if (!codec.IsUndefined()) {
      parts.push_back(encoded_part(codec_of(codec, where + ".codec"), {data, length}, weight, count));
      return;
    }
    const auto bytes = static_cast<std::size_t>(count) * sizeof(float);
    if (length != bytes) {
      throw EngineError("ENGINE_ARGUMENT", where + ".data: expected " + std::to_string(bytes) +
                                               " bytes, got " + std::to_string(length));
    }
    parts.push_back(std::make_unique<PlainPart>(data, weight));
  });
  return parts;
}

/// In arrays of `length`.
Advance advance_of(const Napi::Value& value, const std::string& where, std::int64_t length) {
  const Napi::Object object = object_of(value, where);
  Advance advance;
  advance.to = whole_of(object.Get("to"), where + ".to", 0, length);
  advance.from = whole_of(object.Get("from"), where + ".from", 0, advance.to);
  const Napi::Value sum = object.Get("sum");
  if (!sum.IsUndefined()) {
    const FloatView floats = floats_of(sum, where + ".sum");
    if (floats.length < static_cast<std::size_t>(advance.to))
      refuse(where + ".sum", "at least " + std::to_string(advance.to) + " values");
    advance.sum = floats.data;
  }
  advance.parts = parts_of(object.Get("parts"), where + ".parts", advance.to - advance.from);
  advance.options = update_of(object.Get("options"));
  return advance;
}

Napi::Object slots_of(Napi::Env env, const std::vector<lepton::Optimizer::Slot>& slots, std::int64_t length) {
  const Napi::Object object = Napi::Object::New(env);
  for (const auto& [name, values] : slots) {
    object.Set(
        name,
        arena_view(env, std::shared_ptr<std::byte[]>(values, reinterpret_cast<std::byte*>(values.get())),
                   static_cast<std::size_t>(length), sizeof(float)));
  }
  return object;
}

/// At most so many threads for one optimizer: a few reach the limits of the memory.
constexpr std::int64_t kMostThreads = 64;

/// From the border of a page in the memory, which must have room for both versions.
std::unique_ptr<lepton::Optimizer> optimizer_in(const Napi::Object& place, const OptimizerSpec& spec,
                                                std::int64_t length) {
  const Memory& memory = Memory::of(place.Get("memory"), "place.memory");
  const std::int64_t at = whole_of(place.Get("at"), "place.at", 0, kLargest);
  const std::int64_t stride = whole_of(place.Get("stride"), "place.stride", 0, kLargest);
  const auto slots = static_cast<std::int64_t>(lepton::Optimizer::slot_names(spec).size());
  const auto room = static_cast<std::int64_t>(memory.length()) - at;
  if (stride < length || (slots > 0 && (room < 0 || stride > room / (2 * slots)))) {
    throw EngineError("ENGINE_ARGUMENT", "optimizer: expected room for " + std::to_string(2 * slots) +
                                             " times " + std::to_string(length) + " values, got " +
                                             std::to_string(room) + " in strides of " +
                                             std::to_string(stride));
  }
  const std::shared_ptr<std::byte[]> start(memory.memory(), memory.memory().get() + at * sizeof(float));
  return std::make_unique<lepton::Optimizer>(spec, length, start, stride);
}

}  // namespace

Napi::Function Optimizer::define(Napi::Env env) {
  return DefineClass(
      env, "Optimizer",
      {InstanceMethod("update", &Optimizer::update), InstanceMethod("advance", &Optimizer::advance)});
}

Optimizer::Optimizer(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Optimizer>(info) {
  const Napi::Env env = info.Env();
  guarded(env, [&] {
    const std::int64_t length = whole_of(info[1], "length", 0, std::int64_t{1} << 40);
    const OptimizerSpec spec = optimizer_of(info[0]);
    const Napi::Object options =
        info[2].IsUndefined() ? Napi::Object::New(env) : object_of(info[2], "options");
    const Napi::Value place = options.Get("place");
    optimizer_ = place.IsUndefined() ? std::make_unique<lepton::Optimizer>(spec, length)
                                     : optimizer_in(object_of(place, "place"), spec, length);
    const Napi::Value threads = options.Get("threads");
    if (!threads.IsUndefined()) optimizer_->share_with(whole_of(threads, "threads", 1, kMostThreads) - 1);
    Napi::Object self = info.This().As<Napi::Object>();
    const Napi::Object slots = slots_of(env, optimizer_->slots(), length);
    self.Set("slots", slots);
    self.Set("oddSlots", optimizer_->keeps_two() ? slots_of(env, optimizer_->odd_slots(), length) : slots);
  });
}

Napi::Value Optimizer::update(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const FloatView parameters = floats_of(info[0], "parameters");
    const FloatView gradients = floats_of(info[1], "gradients");
    const std::int64_t to = whole_of(info[3], "to", 0, optimizer_->length());
    const std::int64_t from = whole_of(info[2], "from", 0, to);
    const auto end = static_cast<std::size_t>(to);
    if (optimizer_->keeps_two())
      throw EngineError("ENGINE_ARGUMENT", "update: expected an optimizer that keeps one version, got two");
    if (parameters.length < end || gradients.length < end) {
      throw EngineError("ENGINE_ARGUMENT", "update: expected parameters and gradients of at least " +
                                               std::to_string(to) + " values, got " +
                                               std::to_string(parameters.length) + " and " +
                                               std::to_string(gradients.length));
    }
    optimizer_->update(parameters.data, gradients.data, from, to, update_of(info[4]));
    return env.Undefined();
  });
}

Napi::Value Optimizer::advance(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const FloatView next = floats_of(info[0], "next");
    const FloatView previous = floats_of(info[1], "previous");
    if (next.length < previous.length) refuse("next", "as many values as previous");
    const auto length = static_cast<std::int64_t>(previous.length);
    std::vector<Advance> ranges;
    for_items(info[2], "ranges", [&](const Napi::Value& item, const std::string& where) {
      ranges.push_back(advance_of(item, where, std::min(length, optimizer_->length())));
    });
    const std::int64_t first = optimizer_->advance(next.data, previous.data, ranges);
    return Napi::Number::New(env, static_cast<double>(first));
  });
}

}  // namespace lepton::binding
