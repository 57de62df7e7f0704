#include "binding/optimizer.h"

#include <string>

#include "binding/arena_view.h"
#include "binding/convert.h"
#include "binding/values.h"
#include "graph/error.h"

namespace lepton::binding {

Napi::Function Optimizer::define(Napi::Env env) {
  return DefineClass(env, "Optimizer", {InstanceMethod("update", &Optimizer::update)});
}

Optimizer::Optimizer(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Optimizer>(info) {
  const Napi::Env env = info.Env();
  guarded(env, [&] {
    const std::int64_t length = whole_of(info[1], "length", 0, std::int64_t{1} << 40);
    optimizer_ = std::make_unique<lepton::Optimizer>(optimizer_of(info[0]), length);
    const Napi::Object slots = Napi::Object::New(env);
    for (const auto& [name, values] : optimizer_->slots()) {
      slots.Set(name,
                arena_view(env, std::shared_ptr<std::byte[]>(values, static_cast<std::byte*>(values->data())),
                           static_cast<std::size_t>(length), sizeof(float)));
    }
    info.This().As<Napi::Object>().Set("slots", slots);
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

}  // namespace lepton::binding
