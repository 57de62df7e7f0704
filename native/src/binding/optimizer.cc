#include "binding/optimizer.h"

#include <string>
#include <vector>

#include "binding/arena_view.h"
#include "binding/convert.h"
#include "binding/memory.h"
#include "binding/values.h"
#include "graph/error.h"

namespace lepton::binding {
namespace {

/// Each of exactly `bytes`.
std::vector<WeightedPart> parts_of(const Napi::Value& value, std::size_t bytes) {
  std::vector<WeightedPart> parts;
  for_items(value, "parts", [&](const Napi::Value& item, const std::string& where) {
    const Napi::Object part = object_of(item, where);
    const auto [data, length] = bytes_of(part.Get("data"), where + ".data");
    if (length != bytes) {
      throw EngineError("ENGINE_ARGUMENT", where + ".data: expected " + std::to_string(bytes) +
                                               " bytes, got " + std::to_string(length));
    }
    parts.push_back({data, static_cast<float>(number_of(part.Get("weight"), where + ".weight"))});
  });
  return parts;
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

/// From the border of a page in the memory, which must have room for both versions.
std::unique_ptr<lepton::Optimizer> optimizer_in(const Memory& memory, const OptimizerSpec& spec,
                                                std::int64_t length, std::int64_t at, std::int64_t stride) {
  const auto slots = static_cast<std::int64_t>(lepton::Optimizer::slot_names(spec).size());
  const auto room = static_cast<std::int64_t>(memory.length()) - at;
  if (stride < length || (slots > 0 && (room < 0 || stride > room / (2 * slots)))) {
    throw EngineError("ENGINE_ARGUMENT", "optimizer: expected room for " + std::to_string(2 * slots) +
                                             " times " + std::to_string(length) + " values, got " +
                                             std::to_string(room) + " in strides of " +
                                             std::to_string(stride));
  }
  const std::shared_ptr<std::byte[]> place(memory.memory(), memory.memory().get() + at * sizeof(float));
  return std::make_unique<lepton::Optimizer>(spec, length, place, stride);
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
    optimizer_ = info[2].IsUndefined() ? std::make_unique<lepton::Optimizer>(spec, length)
                                       : optimizer_in(Memory::of(info[2], "memory"), spec, length,
                                                      whole_of(info[3], "at", 0, kLargest),
                                                      whole_of(info[4], "stride", 0, kLargest));
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
    const FloatView sum = info[2].IsUndefined() ? FloatView{nullptr, next.length} : floats_of(info[2], "sum");
    const std::int64_t to = whole_of(info[5], "to", 0, optimizer_->length());
    const std::int64_t from = whole_of(info[4], "from", 0, to);
    const auto end = static_cast<std::size_t>(to);
    if (next.length < end || previous.length < end || sum.length < end) {
      throw EngineError("ENGINE_ARGUMENT",
                        "advance: expected next, previous and sum of at least " + std::to_string(to) +
                            " values, got " + std::to_string(next.length) + ", " +
                            std::to_string(previous.length) + " and " + std::to_string(sum.length));
    }
    const auto parts = parts_of(info[3], static_cast<std::size_t>(to - from) * sizeof(float));
    const bool finite =
        optimizer_->advance(next.data, previous.data, sum.data, parts, from, to, update_of(info[6]));
    return Napi::Boolean::New(env, finite);
  });
}

}  // namespace lepton::binding
