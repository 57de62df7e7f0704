// An optimizer with its state as a JavaScript object. Synchronous: an update of a chunk takes well under a
// millisecond.
#pragma once

#include <napi.h>

#include <memory>

#include "engine/optimizer.h"

namespace lepton::binding {

class Optimizer : public Napi::ObjectWrap<Optimizer> {
 public:
  static Napi::Function define(Napi::Env env);
  /// new Optimizer(spec, length, {threads?, place?: {memory, at, stride}})
  explicit Optimizer(const Napi::CallbackInfo& info);

 private:
  /// update(parameters, gradients, from, to, options)
  Napi::Value update(const Napi::CallbackInfo& info);
  /// advance(next, previous, [{sum?, parts: [{data, weight, codec?}], from, to, options}])
  Napi::Value advance(const Napi::CallbackInfo& info);

  std::unique_ptr<lepton::Optimizer> optimizer_;
};

}  // namespace lepton::binding
