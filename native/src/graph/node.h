// A node of the net once its names are resolved and its shapes known: what an operation reasons about.
#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/program.h"

namespace lepton {

class Op;

struct Node {
  const NodeSpec* spec = nullptr;
  const Op* op = nullptr;
  Attributes attributes;            // attributes.node is the node's index
  std::vector<Shape> input_shapes;  // batch included
  std::vector<Shape> parameter_shapes;
  std::vector<std::size_t> sources;            // producers: graph input i is i, node j is inputs.size() + j
  std::vector<std::size_t> parameter_indices;  // into GraphSpec::parameters
  Shape shape;                                 // of the output, batch included

  // Filled while a program is written.
  std::vector<ValueId> inputs;
  std::vector<ValueId> parameters;
  ValueId output = kNone;
  std::vector<ValueId> saved;  // further results of forward that backward reads

  /// "[conv2d 'conv1'] ": how every message about this node begins.
  std::string where() const { return "[" + spec->op + " '" + spec->name + "'] "; }
};

/// Throws ENGINE_SHAPE: "[op 'name'] what: expected ..., got ...".
[[noreturn]] void shape_error(const Node& node, const std::string& what, const std::string& expected,
                              const std::string& got);
/// Throws ENGINE_ARGUMENT in the same form.
[[noreturn]] void argument_error(const Node& node, const std::string& what, const std::string& expected,
                                 const std::string& got);

/// Checks names, counts, types and shapes of a whole graph for one batch size; nodes in the order of the
/// graph.
std::vector<Node> resolve(const GraphSpec& graph, std::int64_t batch);

}  // namespace lepton
