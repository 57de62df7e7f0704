#include "binding/model.h"

#include <utility>

#include "binding/arena_view.h"
#include "binding/convert.h"
#include "binding/environment.h"
#include "binding/memory.h"
#include "binding/values.h"
#include "graph/error.h"

namespace lepton::binding {
namespace {

Mode mode_of(const Napi::Value& value) {
  static constexpr Mode kModes[] = {Mode::kTrain, Mode::kEvaluate, Mode::kPredict};
  return kModes[whole_of(value, "mode", 0, 2)];
}

Napi::Object result_of(Napi::Env env, const Session& session, std::size_t outputs) {
  const Napi::Object result = Napi::Object::New(env);
  result.Set("loss", session.loss());
  const Napi::Array losses = Napi::Array::New(env, session.losses().size());
  for (std::size_t i = 0; i < session.losses().size(); ++i)
    losses.Set(static_cast<std::uint32_t>(i), session.losses()[i]);
  result.Set("losses", losses);
  const Napi::Array views = Napi::Array::New(env, outputs);
  for (std::size_t i = 0; i < outputs; ++i) {
    views.Set(static_cast<std::uint32_t>(i),
              arena_view(env, session.output(i), session.output_length(i), session.float_bytes()));
  }
  result.Set("outputs", views);
  return result;
}

}  // namespace

Napi::Function Model::define(Napi::Env env) {
  return DefineClass(
      env, "Model",
      {InstanceMethod("run", &Model::run), InstanceMethod("bind", &Model::bind),
       InstanceMethod("dispose", &Model::dispose), InstanceMethod("profile", &Model::profile)});
}

Model::Model(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Model>(info) {
  const Napi::Env env = info.Env();
  guarded(env, [&] { session_ = std::make_shared<Session>(graph_of(info[0]), session_options_of(info[1])); });
  const auto length = static_cast<std::size_t>(session_->layout().length);
  Napi::Object self = info.This().As<Napi::Object>();
  self.Set("layout", layout_object(env, session_->layout()));
  self.Set("parameters", arena_view(env, session_->parameters(), length, session_->float_bytes()));
  self.Set("gradients", arena_view(env, session_->gradients(), length, session_->float_bytes()));
  const auto& shapes = session_->signature().outputs;
  const Napi::Array outputs = Napi::Array::New(env, shapes.size());
  for (std::size_t i = 0; i < shapes.size(); ++i)
    outputs.Set(static_cast<std::uint32_t>(i), shape_array(env, shapes[i]));
  self.Set("outputShapes", outputs);
}

Napi::Value Model::run(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    if (!session_) throw EngineError("ENGINE_DISPOSED", "the model was disposed");
    if (*busy_) throw EngineError("ENGINE_BUSY", "a step of this model is still running: await it first");
    auto request = std::make_shared<StepRequest>();
    request->mode = mode_of(info[0]);
    request->batch = whole_of(info[3], "batchSize", 1, std::int64_t{1} << 31);
    request->step = static_cast<std::uint64_t>(whole_of(info[4], "step", 0, std::int64_t{1} << 53));
    session_->feed(*request, feed_of(info[1], "inputs"), feed_of(info[2], "targets"));
    EngineThread& thread = environment(env).thread;
    if (info[5].IsFunction()) {
      auto listener =
          std::make_shared<Napi::FunctionReference>(Napi::Persistent(info[5].As<Napi::Function>()));
      // The engine's thread only hands the shared pointer on; the last owner is a call on the JavaScript
      // thread.
      request->on_gradients = [&thread, listener](std::int64_t from) {
        thread.post([listener, from](Napi::Env js) {
          listener->Call({Napi::Number::New(js, static_cast<double>(from))});
        });
      };
    }
    auto promise = std::make_shared<Napi::Promise::Deferred>(env);
    *busy_ = true;
    Job job;
    job.compute = [session = session_, request] { session->run(*request); };
    job.finish = [session = session_, busy = busy_, promise, request](Napi::Env js) {
      *busy = false;
      promise->Resolve(result_of(js, *session, session->signature().outputs.size()));
    };
    job.fail = [busy = busy_, promise](Napi::Env js, const std::string& code, const std::string& message) {
      *busy = false;
      promise->Reject(coded_error(js, code, message).Value());
    };
    thread.submit(std::move(job));
    return promise->Promise();
  });
}

Napi::Value Model::bind(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (!session_) throw EngineError("ENGINE_DISPOSED", "the model was disposed");
    if (*busy_) throw EngineError("ENGINE_BUSY", "a step of this model is still running: await it first");
    const Memory& parameters = Memory::of(info[0], "parameters");
    const Memory& gradients = Memory::of(info[1], "gradients");
    const auto length = static_cast<std::size_t>(session_->layout().length);
    if (session_->float_bytes() != sizeof(float) || parameters.length() < length ||
        gradients.length() < length) {
      throw EngineError("ENGINE_ARGUMENT", "bind: expected parameters and gradients of at least " +
                                               std::to_string(length) + " floats, got " +
                                               std::to_string(parameters.length()) + " and " +
                                               std::to_string(gradients.length()));
    }
    session_->bind(parameters.memory(), gradients.memory());
    return info.Env().Undefined();
  });
}

Napi::Value Model::dispose(const Napi::CallbackInfo& info) {
  session_.reset();
  return info.Env().Undefined();
}

Napi::Value Model::profile(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    if (!session_) throw EngineError("ENGINE_DISPOSED", "the model was disposed");
    if (*busy_) throw EngineError("ENGINE_BUSY", "a step of this model is still running: await it first");
    const Napi::Object result = Napi::Object::New(env);
    result.Set("library", static_cast<double>(session_->profile().library));
    result.Set("own", static_cast<double>(session_->profile().own));
    result.Set("reorder", static_cast<double>(session_->profile().reorder));
    return result;
  });
}

}  // namespace lepton::binding
