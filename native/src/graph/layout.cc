#include "graph/layout.h"

#include <unordered_set>

#include "graph/error.h"

namespace lepton {
namespace {

constexpr std::int64_t kMaxElements = std::int64_t{1} << 40;

std::int64_t aligned(std::int64_t offset) {
  return (offset + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
}

void append(const std::vector<ParameterSpec>& parameters, bool trainable, ArenaLayout& layout) {
  for (const ParameterSpec& parameter : parameters) {
    if (parameter.trainable != trainable) continue;
    const std::int64_t length = elements(parameter.shape);
    layout.entries.push_back({parameter.name, parameter.shape, trainable, layout.length, length});
    layout.length = aligned(layout.length + length);
  }
}

}  // namespace

void check_sizes(const Shape& shape, const std::string& where) {
  std::int64_t product = 1;
  for (const std::int64_t size : shape) {
    if (size <= 0)
      throw EngineError("ENGINE_SHAPE", where + ": expected positive sizes, got " + to_string(shape));
    if (size > kMaxElements / product) {
      throw EngineError("ENGINE_SHAPE", where + ": expected at most 2^40 elements, got " + to_string(shape));
    }
    product *= size;
  }
}

ArenaLayout arena_layout(const std::vector<ParameterSpec>& parameters) {
  std::unordered_set<std::string> names;
  for (const ParameterSpec& parameter : parameters) {
    if (parameter.name.empty()) throw EngineError("ENGINE_ARGUMENT", "parameter: expected a name, got ''");
    if (!names.insert(parameter.name).second) {
      throw EngineError("ENGINE_ARGUMENT", "parameter '" + parameter.name + "': the name is used twice");
    }
    check_sizes(parameter.shape, "parameter '" + parameter.name + "'");
  }
  ArenaLayout layout;
  append(parameters, true, layout);
  layout.trainable_length = layout.length;
  append(parameters, false, layout);
  return layout;
}

}  // namespace lepton
