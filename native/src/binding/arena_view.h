// Engine memory as typed arrays, without a copy: the array's buffer holds a reference to the memory.
#pragma once

#include <napi.h>

#include <cstddef>
#include <memory>

namespace lepton::binding {

/// A Float32Array (float_bytes 4) or Float64Array (8) of `length` elements over `memory`.
inline Napi::Value arena_view(Napi::Env env, const std::shared_ptr<std::byte[]>& memory, std::size_t length,
                              std::size_t float_bytes) {
  auto* owner = new std::shared_ptr<std::byte[]>(memory);
  const Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(
      env, memory.get(), length * float_bytes,
      [](Napi::BasicEnv, void*, std::shared_ptr<std::byte[]>* held) { delete held; }, owner);
  if (float_bytes == 8) return Napi::Float64Array::New(env, length, buffer, 0);
  return Napi::Float32Array::New(env, length, buffer, 0);
}

}  // namespace lepton::binding
