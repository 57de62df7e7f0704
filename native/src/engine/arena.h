// Memory that the engine and its caller both see: aligned, zeroed, shared by reference count.
#pragma once

#include <cstddef>
#include <memory>

namespace lepton {

/// `bytes` zeroed bytes at a 64-byte boundary. Throws EngineError ENGINE_MEMORY.
std::shared_ptr<std::byte[]> allocate_arena(std::size_t bytes);

}  // namespace lepton
