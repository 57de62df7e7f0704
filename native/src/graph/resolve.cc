// Names to nodes, shapes through the net: everything that can be wrong with a graph is found here.
#include <unordered_map>

#include "graph/error.h"
#include "graph/layout.h"
#include "graph/node.h"
#include "ops/op.h"

namespace lepton {
namespace {

using Names = std::unordered_map<std::string, std::size_t>;

struct Produced {
  Shape shape;
  DType type;
};

void define(Names& names, const std::string& name, const std::string& what) {
  if (name.empty()) throw EngineError("ENGINE_ARGUMENT", what + ": expected a name, got ''");
  if (!names.emplace(name, names.size()).second) {
    throw EngineError("ENGINE_ARGUMENT", what + " '" + name + "': the name is used twice");
  }
}

std::string counted(std::size_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

void check_counts(const Node& node) {
  const NodeSpec& spec = *node.spec;
  const std::size_t least = node.op->fewest_inputs();
  const bool open = node.op->most_inputs() == kAnyNumber;
  if (spec.inputs.size() < least || spec.inputs.size() > node.op->most_inputs()) {
    argument_error(node, "wrong number of inputs", std::to_string(least) + (open ? " or more" : ""),
                   std::to_string(spec.inputs.size()));
  }
  const std::size_t fewest = node.op->fewest_parameters(spec);
  const std::size_t most = node.op->most_parameters(spec);
  if (spec.parameters.size() < fewest || spec.parameters.size() > most) {
    argument_error(
        node, "wrong number of parameters",
        fewest == most ? counted(most, "parameter") : std::to_string(fewest) + " to " + std::to_string(most),
        std::to_string(spec.parameters.size()));
  }
}

void connect(Node& node, const Names& names, const std::vector<Produced>& produced) {
  for (const std::string& input : node.spec->inputs) {
    const auto found = names.find(input);
    if (found == names.end()) {
      argument_error(node, "unknown input", "a graph input or an earlier node", "'" + input + "'");
    }
    const Produced& source = produced[found->second];
    if (source.type != node.op->input_type()) {
      const bool wants_int = node.op->input_type() == DType::kInt32;
      argument_error(node, "input '" + input + "' has the wrong type", wants_int ? "int32" : "float32",
                     wants_int ? "float32" : "int32");
    }
    node.sources.push_back(found->second);
    node.input_shapes.push_back(source.shape);
  }
}

void attach_parameters(Node& node, const Names& names, const GraphSpec& graph) {
  for (const std::string& parameter : node.spec->parameters) {
    const auto found = names.find(parameter);
    if (found == names.end()) {
      argument_error(node, "unknown parameter", "a name in the graph's parameters", "'" + parameter + "'");
    }
    node.parameter_indices.push_back(found->second);
    node.parameter_shapes.push_back(graph.parameters[found->second].shape);
  }
}

void check_outputs(const GraphSpec& graph, const Names& names, const std::vector<Produced>& produced) {
  if (graph.outputs.empty())
    throw EngineError("ENGINE_ARGUMENT", "graph: expected at least one output, got none");
  for (const std::string& output : graph.outputs) {
    const auto found = names.find(output);
    if (found == names.end()) {
      throw EngineError("ENGINE_ARGUMENT",
                        "graph output '" + output + "': expected the name of a node, got an unknown name");
    }
    if (produced[found->second].type != DType::kFloat) {
      throw EngineError("ENGINE_ARGUMENT", "graph output '" + output + "': expected float32, got int32");
    }
  }
}

// State that a training step replaces has one writer.
void check_state_owners(const GraphSpec& graph, const std::vector<Node>& nodes) {
  std::unordered_map<std::size_t, const Node*> owners;
  for (const Node& node : nodes) {
    if (node.spec->op != "batchNormalization") continue;
    const std::size_t count = node.parameter_indices.size();
    for (const std::size_t index : {node.parameter_indices[count - 2], node.parameter_indices[count - 1]}) {
      const ParameterSpec& parameter = graph.parameters[index];
      if (parameter.trainable) {
        argument_error(node, "moving statistics '" + parameter.name + "' are marked trainable",
                       "trainable: false", "true");
      }
      const auto [owner, fresh] = owners.emplace(index, &node);
      if (!fresh) {
        argument_error(node, "moving statistics '" + parameter.name + "' have two writers", "one node",
                       "'" + owner->second->spec->name + "' as well");
      }
    }
  }
}

}  // namespace

void shape_error(const Node& node, const std::string& what, const std::string& expected,
                 const std::string& got) {
  throw EngineError("ENGINE_SHAPE", node.where() + what + ": expected " + expected + ", got " + got);
}

void argument_error(const Node& node, const std::string& what, const std::string& expected,
                    const std::string& got) {
  throw EngineError("ENGINE_ARGUMENT", node.where() + what + ": expected " + expected + ", got " + got);
}

std::vector<Node> resolve(const GraphSpec& graph, std::int64_t batch) {
  Names names;
  Names parameters;
  std::vector<Produced> produced;
  for (const InputSpec& input : graph.inputs) {
    define(names, input.name, "graph input");
    check_sizes(input.shape, "graph input '" + input.name + "'");
    Shape shape{batch};
    shape.insert(shape.end(), input.shape.begin(), input.shape.end());
    produced.push_back({shape, input.type});
  }
  for (const ParameterSpec& parameter : graph.parameters) define(parameters, parameter.name, "parameter");
  std::vector<Node> nodes;
  for (const NodeSpec& spec : graph.nodes) {
    Node node;
    node.spec = &spec;
    node.op = find_op(spec.op);
    if (node.op == nullptr)
      argument_error(node, "unknown operation", "one of " + op_names(), "'" + spec.op + "'");
    node.attributes.node = static_cast<std::int64_t>(nodes.size());
    check_counts(node);
    connect(node, names, produced);
    attach_parameters(node, parameters, graph);
    node.op->infer(node);
    check_sizes(node.shape, node.where() + "output");
    define(names, spec.name, "node");
    produced.push_back({node.shape, DType::kFloat});
    nodes.push_back(std::move(node));
  }
  check_outputs(graph, names, produced);
  check_state_owners(graph, nodes);
  return nodes;
}

}  // namespace lepton
