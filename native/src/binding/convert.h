// JavaScript values to plain structs, each checked: what is wrong is said with its path. Nothing else knows
// these names.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "engine/optimizer.h"
#include "engine/session.h"
#include "graph/error.h"
#include "graph/graph.h"

namespace lepton::binding {

/// A JavaScript error with a `code`. Throw it with `throw`.
Napi::Error coded_error(Napi::Env env, const std::string& code, const std::string& message);

/// Runs `work`; an EngineError becomes a JavaScript error with its code.
template <class Work>
auto guarded(Napi::Env env, Work&& work) {
  try {
    return work();
  } catch (const EngineError& error) {
    throw coded_error(env, error.code(), error.what());
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& error) {
    throw coded_error(env, "ENGINE_INTERNAL", error.what());
  }
}

GraphSpec graph_of(const Napi::Value& value);
std::vector<LossSpec> losses_of(const Napi::Value& value);
SessionOptions session_options_of(const Napi::Value& value);
OptimizerSpec optimizer_of(const Napi::Value& value);
UpdateOptions update_of(const Napi::Value& value);
/// Typed arrays whose buffers are there; the pointers are good until JavaScript runs again.
std::vector<FeedArray> feed_of(const Napi::Value& value, const std::string& where);
std::vector<ParameterSpec> parameters_of(const Napi::Value& value, const std::string& where);

struct FloatView {
  float* data;
  std::size_t length;
};
/// A Float32Array that is not detached.
FloatView floats_of(const Napi::Value& value, const std::string& where);
/// A Uint8Array that is not detached.
std::pair<const std::byte*, std::size_t> bytes_of(const Napi::Value& value, const std::string& where);

Napi::Object layout_object(Napi::Env env, const ArenaLayout& layout);
Napi::Array shape_array(Napi::Env env, const Shape& shape);

}  // namespace lepton::binding
