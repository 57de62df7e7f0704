#include "engine/arena.h"

#include <cstdlib>
#include <cstring>
#include <string>

#include "graph/error.h"

namespace lepton {

std::shared_ptr<std::byte[]> allocate_arena(std::size_t bytes) {
  constexpr std::size_t kAlignment = 64;
  const std::size_t rounded = (bytes + kAlignment) / kAlignment * kAlignment;  // never zero
  void* memory = rounded < bytes ? nullptr : std::aligned_alloc(kAlignment, rounded);
  if (memory == nullptr) {
    throw EngineError("ENGINE_MEMORY", "no memory for an arena of " + std::to_string(bytes) + " bytes");
  }
  std::memset(memory, 0, rounded);
  return {static_cast<std::byte*>(memory), [](std::byte* owned) { std::free(owned); }};
}

}  // namespace lepton
