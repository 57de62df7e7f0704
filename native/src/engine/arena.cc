#include "engine/arena.h"

#include <cstdlib>
#include <memory>
#include <string>

#include "graph/error.h"

namespace lepton {

std::shared_ptr<std::byte[]> allocate_arena(std::size_t bytes) {
  constexpr std::size_t kAlignment = 64;
  const std::size_t total = bytes + kAlignment;
  // Large blocks come from the kernel as zeros that cost nothing until they are touched.
  void* owned = total < bytes ? nullptr : std::calloc(total, 1);
  if (owned == nullptr) {
    throw EngineError("ENGINE_MEMORY", "no memory for an arena of " + std::to_string(bytes) + " bytes");
  }
  void* memory = owned;
  std::size_t space = total;
  std::align(kAlignment, bytes, memory, space);
  return {static_cast<std::byte*>(memory), [owned](std::byte*) { std::free(owned); }};
}

}  // namespace lepton
