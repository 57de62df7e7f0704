// What the addon keeps per JavaScript environment: its engine thread. Nothing is global, so worker threads
// each have their own.
#pragma once

#include <napi.h>

#include "binding/engine_thread.h"

namespace lepton::binding {

struct Environment {
  explicit Environment(Napi::Env env) : thread(env) {}
  EngineThread thread;
};

inline Environment& environment(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

}  // namespace lepton::binding
