// From a net to a Program for one mode and batch size.
#pragma once

#include <vector>

#include "graph/builder.h"
#include "graph/graph.h"
#include "graph/layout.h"
#include "graph/program.h"

namespace lepton {

/// Writes the program: live nodes forward, losses, then (kTrain) the gradients of losses and nodes in
/// reverse. `losses` is ignored for kPredict. Throws EngineError with the node's name where the graph makes
/// no sense.
Program compile(const GraphSpec& graph, const ArenaLayout& layout, const std::vector<LossSpec>& losses,
                Mode mode, std::int64_t batch);

/// What the caller feeds and gets, per sample (without batch).
struct Signature {
  struct Target {
    Shape shape;
    DType type;
    std::int64_t classes;  // int32 targets lie in [0, classes)
  };
  std::vector<Shape> outputs;
  std::vector<Target> targets;  // one per loss
  std::vector<std::int64_t>
      index_limits;  // per graph input: int32 values lie in [0, limit); 0 for float inputs
};

Signature signature(const GraphSpec& graph, const std::vector<LossSpec>& losses);

}  // namespace lepton
