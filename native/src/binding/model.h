// A Session as a JavaScript object: steps become promises.
#pragma once

#include <napi.h>

#include <memory>

#include "engine/session.h"

namespace lepton::binding {

class Model : public Napi::ObjectWrap<Model> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit Model(const Napi::CallbackInfo& info);

 private:
  /// run(mode, inputs, targets, batchSize, step, onGradients?) -> Promise<{loss, losses, outputs}>
  Napi::Value run(const Napi::CallbackInfo& info);
  /// bind(parameters, gradients): memories
  Napi::Value bind(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);
  Napi::Value profile(const Napi::CallbackInfo& info);

  std::shared_ptr<Session> session_;  // a running job keeps its own reference
  std::shared_ptr<bool> busy_ = std::make_shared<bool>(false);
};

}  // namespace lepton::binding
