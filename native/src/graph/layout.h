// Where each parameter lies in the arenas. Trainable ones first, in the order of the graph, then the state.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace lepton {

/// Elements between possible starts: 64 bytes of float, a cache line and the widest vector register.
inline constexpr std::int64_t kArenaAlignment = 16;

struct ArenaEntry {
  std::string name;
  Shape shape;
  bool trainable = true;
  std::int64_t offset = 0;
  std::int64_t length = 0;
};

struct ArenaLayout {
  std::vector<ArenaEntry> entries;    // in arena order
  std::int64_t trainable_length = 0;  // where the state region starts
  std::int64_t length = 0;
};

/// Throws ENGINE_ARGUMENT for empty or repeated names and for sizes that are not positive.
ArenaLayout arena_layout(const std::vector<ParameterSpec>& parameters);

/// Throws ENGINE_SHAPE unless every size is positive and the product fits in memory anyone has.
void check_sizes(const Shape& shape, const std::string& where);

}  // namespace lepton
