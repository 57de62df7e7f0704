// Shared segments and paged arenas as JavaScript objects with a Float32Array each.
#pragma once

#include <napi.h>

#include <memory>
#include <optional>

#include "engine/shared_memory.h"

namespace lepton::binding {

/// new Memory('share', length) | new Memory('open', length, address) | new Memory('keep', length, path) |
/// new Memory('arena', length).
/// `values`: its `length` floats; `address`: of a segment.
class Memory : public Napi::ObjectWrap<Memory> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit Memory(const Napi::CallbackInfo& info);

  /// Throws EngineError ENGINE_ARGUMENT for any other object.
  static Memory& of(const Napi::Value& value, const std::string& where);

  const std::shared_ptr<std::byte[]>& memory() const;
  std::size_t length() const { return length_; }

 private:
  /// lay(at, segment, from, length), in elements
  Napi::Value lay(const Napi::CallbackInfo& info);

  std::size_t length_ = 0;  // floats
  std::optional<Segment> segment_;
  std::optional<PagedArena> arena_;
};

}  // namespace lepton::binding
